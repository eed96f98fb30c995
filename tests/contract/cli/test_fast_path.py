"""The quick way of two commands: what it says is what the usual way says, and where it can't, the usual way does.

Mail that is shown is in test_cli_quick_inbox.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import msgpack
import pytest

from maestro_cli import exit_codes, fast_path
from maestro_clients.channel import one_shot
from maestro_clients.processes.broker_process import find
from maestro_clients.protocol.commands import BYTES_ALWAYS_TAKEN
from maestro_schemas.limits import DOCS
from maestro_wire import zmtp
from support.cli_shell import Ran, Shell, open_shell
from support.fast_path import ALLOWED, BOTH, loaded
from support.post_office import eventually


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


def both(shell: Shell, *arguments: str) -> Ran:
    """What a command says, the same by both ways but for ids, numbers and times."""
    said = []
    for way in ("1", "0"):
        ran = shell.run(*arguments, environ={"MAESTRO_QUICK": way})
        said.append(Ran(ran.code, _without_numbers(ran.out), _without_numbers(ran.err)))
    assert said[0] == said[1]
    return said[0]


def _without_numbers(text: str) -> str:
    return re.sub(r"number \d+", "number N", re.sub(r"msg_\d+_\w{9}", "MSG", text))


@pytest.mark.parametrize("arguments", [["--quiet"], [], ["--json", "-q"], ["--mark-read"]], ids=" ".join)
def test_an_empty_inbox(alice: Shell, arguments: list[str]) -> None:
    assert both(alice, "inbox", *arguments).code == 0
    assert loaded(alice, "inbox", *arguments) <= ALLOWED


@pytest.mark.parametrize(
    "arguments", ["status", "status --json", "session list", "session show --json", "inbox --unread"]
)
def test_the_other_commands_import_what_they_use(alice: Shell, arguments: str) -> None:
    """Beside the parser, and what that imports."""
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


def test_refusals_are_told_alike(person: Shell, alice: Shell, bob: Shell) -> None:
    assert both(alice, "send", "--to", "nobody", "--message", "x").code == exit_codes.NOT_FOUND
    assert both(alice.like(MAESTRO_SESSION_TOKEN="wrong"), "inbox", "-q").code == exit_codes.REFUSED
    assert both(alice.like(MAESTRO_SESSION_TOKEN="wrong"), "send", "-t", "x", "-m", "x").code == exit_codes.REFUSED
    assert both(alice.like(MAESTRO_SESSION_ID="unknown"), "send", "-t", "x", "-m", "x").code == exit_codes.REFUSED
    assert both(person.anonymous(), "inbox", "-q").code == exit_codes.REFUSED
    assert both(alice, "send", "-t", bob.session_id, "-m", "x", "--priority", "urgent").code == exit_codes.USAGE
    assert both(alice, "send", "-t", "-x", "-m", "x").code == exit_codes.USAGE
    bob.done("session", "end")
    assert both(alice, "send", "-t", bob.session_id, "-m", "x").code == exit_codes.REFUSED
    assert both(bob, "send", "-t", alice.session_id, "-m", "x").code == exit_codes.REFUSED
    both(bob, "inbox", "-q")


@BOTH
def test_no_broker(way: str) -> None:
    """One is started, as for any command; where that is turned off, the outbox and the exit code say so."""
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
    """The message keeps its id when the usual way takes over, so that it arrives once."""
    os.kill(alice.broker_pid(), signal.SIGSTOP)
    try:
        sending = alice.start("send", "-t", bob.session_id, "-m", "once")
        # Only the usual way loads msgpack's extension module.
        maps = Path(f"/proc/{sending.pid}/maps")
        eventually(lambda: "_cmsgpack" in maps.read_text(), "the usual way took over")
    finally:
        os.kill(alice.broker_pid(), signal.SIGCONT)
    out, err = sending.communicate(timeout=30)
    assert (sending.returncode, err) == (0, b"")
    [message] = bob.inbox()
    assert message["message"] == "once"
    assert message["id"] in out.decode()


class Peer:
    """Somebody at the broker's place who says `words` to the first caller, and hangs up once it has heard back."""

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
def test_an_odd_peer_is_left_to_the_usual_way(person: Shell, words: bytes) -> None:
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
def test_endpoints_that_are_not_for_it(person: Shell, endpoints: bytes) -> None:
    directory = os.path.join(person.root, "elsewhere")
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "endpoints"), "wb") as file:
        file.write(endpoints)
    assert one_shot.router_path(directory) is None


SHAPES = [
    [],
    ["status"],
    ["inbox", "--watch"],
    ["inbox", "-q", "--quiet"],
    ["inbox", "--unread"],
    ["inbox", "--mark-read", "--clear"],
    ["inbox", "--limit", "1"],
    ["send", "--to", "bob"],
    ["send", "--to", "bob", "--message", ""],
    ["send", "--to", "b ob", "--message", "x"],
    ["send", "--to", "bób", "--message", "x"],
    ["send", "--to", "-b", "--message", "x"],
    ["send", "--to", "bob", "--to", "bob", "--message", "x"],
    ["send", "--to", "bob", "--message=x"],
    ["send", "--to", "bob", "--message", "x", "--json"],
    ["send", "--to", "bob", "--message", "x", "--priority", "urgent"],
    ["session", "send", "--to", "bob", "--file", "x"],
    ["session", "list"],
]


@pytest.mark.parametrize("tokens", SHAPES, ids=" ".join)
def test_other_shapes_are_left_alone(monkeypatch: pytest.MonkeyPatch, tokens: list[str]) -> None:
    monkeypatch.setenv("MAESTRO_SESSION_ID", "sess_1")
    monkeypatch.setattr(one_shot, "router_path", _must_not_be_asked)
    with pytest.raises(fast_path.NotFastError) as left:
        fast_path.run(list(tokens))
    assert left.value.tokens == tokens


def _must_not_be_asked(data: str) -> str:
    raise AssertionError(data)


@pytest.mark.parametrize(
    "variable", ["MAESTRO_QUICK=0", "MAESTRO_QUICK=off", "MAESTRO_BROKER=x", "MAESTRO_SESSION_ID="]
)
def test_variables_that_turn_it_off(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("MAESTRO_SESSION_ID", "sess_1")
    monkeypatch.setenv(*variable.split("=", 1))
    monkeypatch.setattr(one_shot, "router_path", _must_not_be_asked)
    with pytest.raises(fast_path.NotFastError):
        fast_path.run(["inbox", "-q"])


ANSWERS: list[tuple[list[str], tuple[int, dict[str, object]]]] = [
    (["inbox"], (401, {"code": "UNKNOWN_SESSION"})),
    (["inbox"], (200, {"messages": 1, "hasMore": False})),
    (["inbox"], (200, {"messages": [], "hasMore": True})),
    (["send", "-t", "b", "-m", "x"], (200, {})),
    (["send", "-t", "b", "-m", "x"], (200, {"results": [{}, {}]})),
    (["send", "-t", "b", "-m", "x"], (503, {"code": "STOPPING", "message": "x"})),
    (["send", "-t", "b", "-m", "x"], (200, {"results": [{"error": {"code": "BUSY", "message": "x"}}]})),
]


@pytest.mark.parametrize(("tokens", "answer"), ANSWERS)
def test_answers_that_need_the_usual_way(
    person: Shell, monkeypatch: pytest.MonkeyPatch, tokens: list[str], answer: tuple[int, dict[str, object]]
) -> None:
    status, body = answer
    directory = tempfile.mkdtemp(dir=person.root)
    path = os.path.join(directory, "s")
    with open(os.path.join(directory, "endpoints"), "w", encoding="ascii") as file:
        file.write(f"router=ipc://{path}\nnotices=ipc://{path}\npid=1\n")
    monkeypatch.setenv("MAESTRO_SESSION_ID", "sess_1")
    monkeypatch.setenv("MAESTRO_DATA_DIR", directory)
    frames = [b"M1", b"1", str(status).encode(), msgpack.packb(body)]
    peer = Peer(path, GREETING + READY + zmtp.message(frames))
    try:
        with pytest.raises(fast_path.NotFastError) as left:
            fast_path.run(list(tokens))
    finally:
        peer.join()
    kept = left.value.tokens
    assert kept[: len(tokens)] == tokens
    added = kept[len(tokens) :]
    assert added == [] if tokens[0] == "inbox" else (added[0] == "--id" and added[1].startswith("msg_"))


def _calls(command: list[str], environ: dict[str, str]) -> int:
    ran = subprocess.run(
        ["strace", "-f", "-c", "-o", "/dev/stdout", *command], env=environ, capture_output=True, text=True, check=True
    )
    total = next(line for line in ran.stdout.splitlines() if line.endswith(" total"))
    return int(total.split()[3 if len(total.split()) > 4 else 2])


@pytest.mark.parametrize("arguments", ["inbox --quiet", "session send --to BOB --message x"])
def test_it_costs_little_over_a_bare_interpreter(alice: Shell, bob: Shell, arguments: str) -> None:
    """Counted in system calls, since seconds wander: 1.7 times when this was written, and 8 times the usual way."""
    if shutil.which("strace") is None:
        if os.environ.get("CI"):
            pytest.fail("strace is not installed")
        pytest.skip("strace is not installed")
    command = [sys.executable, "-c", "from maestro_cli.main import main; raise SystemExit(main())"]
    environ = {**alice.environ, "PYTHONDONTWRITEBYTECODE": ""}
    words = [word.replace("BOB", bob.session_id) for word in arguments.split()]
    _calls([*command, *words], environ)
    bare = _calls([sys.executable, "-c", "pass"], environ)
    assert _calls([*command, *words], environ) < 2.2 * bare


def test_the_script_imports_nothing_but_us() -> None:
    """A generated wrapper would import `re`."""
    folder = os.path.join(os.path.dirname(__file__), *[os.pardir] * 3, "cli", "scripts")
    bodies = []
    for name in ("maestro", "maestro-messaging"):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            bodies.append(file.read())
    assert bodies[0] == bodies[1] == "#!python\nimport sys\n\nfrom maestro_cli.main import main\n\nsys.exit(main())\n"
