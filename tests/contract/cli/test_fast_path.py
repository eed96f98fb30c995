"""The fast path of two commands: its output equals the usual path's, which takes over where it can't do it.

`test_fast_path_inbox.py` has the tests of shown mail.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import msgpack
import pytest

from maestro_cli import exit_codes
from maestro_cli.commands import inbox
from maestro_cli.sending import send_flow
from maestro_clients.channel import one_shot
from maestro_clients.processes.broker_process import find
from maestro_clients.protocol.commands import BYTES_ALWAYS_TAKEN
from maestro_schemas.limits import DOCS
from maestro_schemas.names import short_id
from maestro_wire import zmtp
from support import components
from support.cli_shell import Ran, Shell, open_shell
from support.fast_path import ALLOWED, BOTH, closed_pipe, loaded
from support.post_office import eventually


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


def both(shell: Shell, *arguments: str) -> Ran:
    """The output of a command. Both paths must agree, except in ids, numbers and times."""
    said = []
    for way in ("1", "0"):
        ran = shell.run(*arguments, environ={"MAESTRO_QUICK": way})
        said.append(Ran(ran.code, _without_numbers(ran.out), _without_numbers(ran.err)))
    assert said[0] == said[1]
    return said[0]


def _without_numbers(text: str) -> str:
    return re.sub(r"msg_\d+_\w{9}|(?<=\()\w{4}(?=\))", "MSG", text)


@pytest.mark.parametrize("arguments", [["--quiet"], [], ["--json", "-q"], ["--mark-read"]], ids=" ".join)
def test_an_empty_inbox(alice: Shell, arguments: list[str]) -> None:
    assert both(alice, "inbox", *arguments).code == 0
    assert loaded(alice, "inbox", *arguments) <= ALLOWED


@pytest.mark.parametrize(
    "arguments", ["status", "status --json", "session list", "session show --json", "inbox --unread"]
)
def test_other_commands_import_only_their_own_modules(alice: Shell, arguments: str) -> None:
    """They also import the parser and its imports."""
    spared = {"asyncio", "maestro_schemas.limits", "msgspec", "rich", "socket", "subprocess", "tenacity", "zmq"}
    assert loaded(alice, *arguments.split()).isdisjoint(spared)


def test_a_send(alice: Shell, bob: Shell) -> None:
    arguments = ("session", "send", "--to", bob.session_id, "--message", "hello")
    both(alice, *arguments)
    assert loaded(alice, *arguments) <= ALLOWED
    assert loaded(alice, "send", "-t", bob.session_id, "-m", "x", "--priority", "high") <= ALLOWED
    received = bob.inbox()
    assert [message["message"] for message in received] == ["x", "hello", "hello", "hello"]
    assert received[0]["metadata"] == {"priority": "high"}


@pytest.mark.parametrize("text", ["--json", "", "two\nlines 👍", "x" * 20_000])
def test_any_text(alice: Shell, bob: Shell, text: str) -> None:
    ran = both(alice, "send", "--to", bob.session_id, "--message", text)
    assert [message["message"] for message in bob.inbox()] == ([text] * 2 if ran.code == 0 else [])


def test_refusals_are_reported_alike(person: Shell, alice: Shell, bob: Shell) -> None:
    assert both(alice, "send", "--to", "absent", "--message", "x").code == exit_codes.NOT_FOUND
    assert both(alice.like(MAESTRO_SESSION_TOKEN="wrong"), "inbox", "-q").code == exit_codes.REFUSED
    assert both(alice.like(MAESTRO_SESSION_TOKEN="wrong"), "send", "-t", "x", "-m", "x").code == exit_codes.REFUSED
    assert both(alice.like(MAESTRO_SESSION_ID="unknown"), "send", "-t", "x", "-m", "x").code == exit_codes.REFUSED
    assert both(person.anonymous(), "send", "-t", "x", "-m", "x").code == exit_codes.REFUSED
    assert both(person.like(CLAUDECODE="1"), "inbox", "-q").code == exit_codes.REFUSED
    assert both(person.like(CLAUDECODE="1"), "inbox", "-q", "--yes").code == exit_codes.DONE
    assert both(person, "send", "-t", "absent", "-m", "x", "--as", "operator").code == exit_codes.NOT_FOUND
    assert both(person, "send", "-t", "absent", "-m", "x", "--as", "bob").code == exit_codes.USAGE
    assert both(alice, "send", "-t", bob.session_id, "-m", "x", "--priority", "urgent").code == exit_codes.USAGE
    assert both(alice, "send", "-t", "-x", "-m", "x").code == exit_codes.USAGE
    bob.done("session", "end")
    assert both(alice, "send", "-t", bob.session_id, "-m", "x").code == exit_codes.REFUSED
    assert both(bob, "send", "-t", alice.session_id, "-m", "x").code == exit_codes.REFUSED
    both(bob, "inbox", "-q")


@BOTH
def test_no_broker(way: str) -> None:
    """A broker is started, as for any command. Without autostart, the outbox and the exit code show that none
    runs."""
    with open_shell(MAESTRO_QUICK=way) as person:
        alice, bob = person.session(role="orchestrator"), person.session()
        person.kill_broker()
        eventually(lambda: find(person.data) is None, "the broker is gone")
        offline = alice.like(MAESTRO_AUTOSTART="0")
        assert "Queued in the outbox" in offline.done("send", "-t", bob.session_id, "-m", "first").out
        assert offline.run("inbox", "-q").code == exit_codes.UNREACHABLE
        assert alice.done("inbox", "-q").out == ""
        assert find(person.data) is not None
        alice.done("send", "-t", bob.session_id, "-m", "second")
        eventually(lambda: len(bob.inbox("--unread")) == 2, "both arrived")


def test_a_broker_that_does_not_answer_in_time(alice: Shell, bob: Shell) -> None:
    """The message keeps its id when the usual path takes over, so it arrives once."""
    os.kill(alice.broker_pid(), signal.SIGSTOP)
    try:
        sending = alice.start("send", "-t", bob.session_id, "-m", "once")
        # Only the usual path loads msgpack's extension module.
        maps = Path(f"/proc/{sending.pid}/maps")
        eventually(lambda: "_cmsgpack" in maps.read_text(), "the usual path took over")
    finally:
        os.kill(alice.broker_pid(), signal.SIGCONT)
    out, err = sending.communicate(timeout=30)
    assert (sending.returncode, err) == (0, b"")
    [message] = bob.inbox()
    assert message["message"] == "once"
    assert f"({short_id(message['id'])})" in out.decode()


class Peer:
    """A listener in place of the broker. It sends `words` to the first client and closes after the reply."""

    def __init__(self, path: str, words: bytes) -> None:
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(path)
        self._server.listen()
        self._words = words
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._server, self._server.accept()[0] as caller, contextlib.suppress(OSError):
            caller.settimeout(5)
            caller.sendall(self._words)
            caller.recv(65_536)
            caller.recv(65_536)

    def join(self) -> None:
        self._thread.join(10)


GREETING = zmtp.DEALER_OPENING[:64]
_WORDS = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"
READY = bytes([4, len(_WORDS)]) + _WORDS


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"SSH-2.0-x\r\n",
        GREETING,
        GREETING + READY,
        GREETING + READY + zmtp.message([b"M2", b"1", b"200", b"\x80"]),
        GREETING + READY + zmtp.message([b"M1", b"2", b"200", b"\x80"]),
        GREETING + READY + zmtp.message([b"M1", b"1", b"200"]),
        GREETING + READY + zmtp.message([b"M1", b"1", b"ok", b"\x80"]),
        GREETING + READY + zmtp.message([b"M1", b"1", b"200", b"\x90"]),
        GREETING + READY + zmtp.message([b"M1", b"1", b"200", b"\xc1"]),
    ],
)
def test_a_faulty_peer_is_left_to_the_usual_path(person: Shell, words: bytes) -> None:
    path = os.path.join(person.root, "odd.sock")
    peer = Peer(path, words)
    try:
        assert one_shot.ask(path, b"hello", {}, 0.3) is None
    finally:
        peer.join()
        os.unlink(path)


def test_a_peer_that_answers(person: Shell) -> None:
    path = os.path.join(person.root, "good.sock")
    peer = Peer(path, GREETING + READY + zmtp.message([b"M1", b"1", b"404", b"\x81\xa1x\x01"]))
    try:
        assert one_shot.ask(path, b"hello", {}) == (404, {"x": 1})
    finally:
        peer.join()
    assert one_shot.ask(os.path.join(person.root, "none.sock"), b"hello", {}) is None
    assert one_shot.ask(path, b"hello", {"text": "x" * one_shot.BODY_BYTES_MAX}) is None
    assert one_shot.BODY_BYTES_MAX == BYTES_ALWAYS_TAKEN == 4 * DOCS["wire_bytes_max"].low


@pytest.mark.parametrize(
    "endpoints", [b"", b"router=tcp://1.2.3.4:5\npid=1\n", b"router=ipc://@x\npid=1\n", b"router=ipc:///x\n", b"\xff"]
)
def test_endpoints_that_the_fast_path_leaves_to_the_usual_path(person: Shell, endpoints: bytes) -> None:
    directory = os.path.join(person.root, "elsewhere")
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "endpoints"), "wb") as file:
        file.write(endpoints)
    assert one_shot.router_path(directory) is None


ANSWERS: list[tuple[int, dict[str, object]]] = [
    (200, {}),
    (200, {"results": [{}, {}]}),
    (200, {"results": [1]}),
    (503, {"code": "STOPPING", "message": "x"}),
    (200, {"results": [{"error": {"code": "BUSY", "message": "x"}}]}),
    (200, {"results": [{"error": {"code": "STORAGE_FULL", "message": "x"}}]}),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_that_need_another_attempt(person: Shell, answer: tuple[int, dict[str, object]]) -> None:
    """The full client continues with the same id; it retries, then queues."""
    status, body = answer
    path = os.path.join(tempfile.mkdtemp(dir=person.root), "s")
    peer = Peer(path, GREETING + READY + zmtp.message([b"M1", b"1", str(status).encode(), msgpack.packb(body)]))
    try:
        assert send_flow.judged(one_shot.ask(path, b"send", {})) is None
    finally:
        peer.join()


@pytest.mark.parametrize(
    "body", [{"messages": 1, "hasMore": False}, {"hasMore": True}, {"code": "UNKNOWN_SESSION", "message": "x"}]
)
def test_answers_without_a_page_of_mail(person: Shell, body: dict[str, object]) -> None:
    status = 401 if "code" in body else 200
    path = os.path.join(tempfile.mkdtemp(dir=person.root), "s")
    peer = Peer(path, GREETING + READY + zmtp.message([b"M1", b"1", str(status).encode(), msgpack.packb(body)]))
    connection = one_shot.OneShotConnection(path)
    assert inbox.first_page(connection, {"session": "sess_1"}, {"status": ["pending"]}) is None
    connection.close()
    peer.join()


def _calls(command: list[str], environ: dict[str, str]) -> int:
    ran = subprocess.run(
        ["strace", "-f", "-c", "-o", "/dev/stdout", *command], env=environ, capture_output=True, text=True, check=True
    )
    total = next(line for line in ran.stdout.splitlines() if line.endswith(" total"))
    return int(total.split()[3 if len(total.split()) > 4 else 2])


@pytest.mark.parametrize("arguments", ["inbox --quiet", "session send --to BOB --message x"])
def test_it_costs_little_over_a_bare_interpreter(alice: Shell, bob: Shell, arguments: str) -> None:
    """The cost is counted in system calls, because times vary. It was 1.7 to 2.25 times the bare interpreter's, by
    the length of the import path, and the usual path's 8 times."""
    components.require_tools("strace")
    command = [sys.executable, "-c", "from maestro_cli.main import main; raise SystemExit(main())"]
    environ = {**alice.environ, "PYTHONDONTWRITEBYTECODE": ""}
    words = [word.replace("BOB", bob.session_id) for word in arguments.split()]
    _calls([*command, *words], environ)
    bare = _calls([sys.executable, "-c", "pass"], environ)
    assert _calls([*command, *words], environ) < 2.4 * bare


def test_the_script_imports_only_our_main() -> None:
    """A generated wrapper would import `re`."""
    script = os.path.join(os.path.dirname(__file__), *[os.pardir] * 3, "cli", "scripts", "maestro")
    with open(script, encoding="utf-8") as file:
        assert file.read() == "#!python\nfrom maestro_cli.main import leave, main\n\nleave(main())\n"


@pytest.mark.parametrize(
    ("before", "printed"),
    [("print('text', end='')", "text"), ("import atexit; atexit.register(print, 'at the end')", "at the end\n")],
    ids=["nothing-registered", "atexit"],
)
def test_a_command_ends_with_its_code_after_all_that_it_printed(before: str, printed: str) -> None:
    """Also where the interpreter is not taken down piece by piece."""
    script = f"{before}\nfrom maestro_cli.main import leave\nleave(7)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, printed, "")


def test_a_closed_pipe_at_the_end_is_reported_as_by_the_interpreter() -> None:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    writing = closed_pipe()
    try:
        ended = [
            subprocess.run(
                [sys.executable, "-c", f"print('text', end='')\n{end}"],
                stdout=writing,
                stderr=subprocess.PIPE,
                env=environ,
                check=False,
            )
            for end in ("from maestro_cli.main import leave; leave(0)", "raise SystemExit(0)")
        ]
    finally:
        os.close(writing)
    assert [(done.returncode, done.stderr) for done in ended] == [(120, ended[1].stderr)] * 2


@pytest.mark.parametrize(("closed", "code"), [(">&-", 141), ("2>&-", 0)])
@pytest.mark.parametrize("arguments", ["session list", "inbox", "send --to BOB --message x"])
def test_a_closed_stream_ends_a_command_as_the_usual_way_does(
    alice: Shell, bob: Shell, arguments: str, closed: str, code: int
) -> None:
    """Python has None for a stream whose descriptor was closed before the start."""
    words = arguments.replace("BOB", bob.session_id)
    for quick in ("1", "0"):
        done = subprocess.run(
            ["sh", "-c", f'exec "$0" -m maestro_cli {words} {closed}', sys.executable],
            env={**alice.environ, "MAESTRO_QUICK": quick},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, ""), f"MAESTRO_QUICK={quick}"
