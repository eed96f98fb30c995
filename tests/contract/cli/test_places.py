"""Places: a path that is not what it must be is said with the repair, costs no other command, and makes none wait."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_clients.client import Client
from maestro_clients.processes.broker_process import find
from support.cli_shell import Shell, open_shell, stop_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli_shell import Ran

FILES = (
    "broker-start.log",
    "broker.lock",
    "endpoints",
    "format",
    "heads",
    "logs/broker.log",
    "server-url",
    "gateway.lock",
    "start.lock",
    "../config.toml",
)
DIRECTORIES = (
    "",
    "logs",
    "messages",
    "messages/by-receiver",
    "messages/by-sender",
    "messages/journal",
    "messages/quarantine",
    "sessions",
    "timeline",
    "outbox",
    "dead-letters",
    "../run",
)
FIFO = "a FIFO"


def put(path: str, kind: str) -> None:
    """Replace what is at a path."""
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)
    match kind:
        case "a file":
            with open(path, "w", encoding="ascii"):
                pass
        case "a directory":
            os.makedirs(os.path.join(path, "x"))
        case "a FIFO":
            os.mkfifo(path)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as made, tempfile.TemporaryDirectory(dir="/tmp") as short:
                # By a link, since a socket's path has at most 107 bytes.
                os.symlink(os.path.dirname(path), os.path.join(short, "d"))
                made.bind(os.path.join(short, "d", "s"))
                os.rename(os.path.join(short, "d", "s"), path)
        case "a link":
            os.symlink("/nonexistent/there", path)


def is_said(ran: Ran, path: str) -> bool:
    """Whether an error names the path and the repair, and is no defect of ours."""
    defect = any(sign in ran.err for sign in ("fault in maestro", "Traceback", "Errno", "Error("))
    return path in ran.err and "next: " in ran.err and not defect


@pytest.fixture(scope="module")
def template() -> Iterator[Shell]:
    """A post office that has mail, and whose broker has ended: the cases work on copies of it."""
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
        alice.send(bob, "hello")
        person.done("down")
        yield alice


@contextmanager
def copied(template: Shell) -> Iterator[Shell]:
    """A copy of the post office, in the shell of its sender."""
    root = tempfile.mkdtemp(prefix="mpl-", dir="/tmp")
    environ = {name: value.replace(template.root, root) for name, value in template.environ.items()}
    shutil.copytree(template.data, os.path.join(root, "data"), symlinks=True)
    os.mkdir(os.path.join(root, "run"))
    shell = Shell(root, environ, [])
    try:
        yield shell
    finally:
        stop_broker(shell.data)
        shutil.rmtree(root, ignore_errors=True)


@pytest.mark.parametrize("place", FILES)
def test_a_file_s_place_is_taken(template: Shell, place: str) -> None:
    """Whatever stands there: the command works, or says the path; it never waits."""
    for kind in ("a directory", FIFO, "a socket", "a link"):
        with copied(template) as shell:
            path = os.path.normpath(os.path.join(shell.data, place))
            put(path, kind)
            ran = shell.run("up")
            assert ran.code == exit_codes.DONE or is_said(ran, path), (kind, ran)


@pytest.mark.parametrize("place", DIRECTORIES)
def test_a_directory_s_place_is_taken(template: Shell, place: str) -> None:
    for kind in ("a file", FIFO, "a socket", "a link"):
        with copied(template) as shell:
            path = os.path.normpath(os.path.join(shell.data, place))
            put(path, kind)
            ran = shell.run("up")
            assert ran.code != exit_codes.DONE
            assert is_said(ran, path), (kind, ran)
            assert "must be a directory" in ran.err
            # What needs no broker still answers.
            assert shell.run("status").code != exit_codes.DONE


def test_endpoints_that_are_a_fifo_stop_no_command(template: Shell) -> None:
    with copied(template) as shell:
        put(os.path.join(shell.data, "endpoints"), FIFO)
        assert shell.run("status").code == exit_codes.UNREACHABLE
        assert shell.run("down").code == exit_codes.DONE
        off = shell.like(MAESTRO_AUTOSTART="0")
        assert "Queued in the outbox" in off.done("send", "--to", "bob", "-m", "later").out
        assert "later" in shell.done("outbox").out
        assert shell.done("inbox").out == "No new messages.\n"
        assert find(shell.data) is not None, "the broker has replaced it"


@pytest.mark.parametrize("kind", ["a directory", FIFO, "a socket", "a link"])
def test_doctor_names_each_place(template: Shell, kind: str) -> None:
    """All at once, and no finding is lost by another one."""
    taken = ("broker.lock", "format", "logs", "outbox", "keys", "server-url", "hooks")
    with copied(template) as shell:
        for name in taken:
            put(os.path.join(shell.data, name), kind)
        found = shell.run("doctor", "--json").json()["findings"]
        words = "\n".join(finding["what"] for finding in found if finding["name"] == "places")
        for name in taken:
            is_right = kind == "a directory" and name in ("logs", "outbox", "keys", "hooks")
            assert (f"{shell.data}/{name} is {kind}" in words) != is_right, (name, words)
        assert {"versions", "data directory", "file system", "broker", "HTTP gateway"} <= {f["name"] for f in found}
        assert not any("fault in maestro" in finding["what"] for finding in found)


@pytest.mark.parametrize("kind", ["a directory", FIFO, "a socket"])
def test_one_message_s_file_is_no_fault_of_the_others(template: Shell, kind: str) -> None:
    with copied(template) as shell:
        with shell.client() as client:
            bob = client.session("bob")["id"]
        shell.done("send", "--to", "bob", "-m", "second")
        shell.anonymous().done("down")
        folder = os.path.join(shell.data, "messages", "by-receiver", bob)
        first = min(name for name in os.listdir(folder) if not name.startswith("."))
        put(os.path.join(folder, first), kind)
        with shell.client() as client, Client(client.address) as operator:
            shown = [message["message"] for message in operator.inbox(session=bob)["messages"]]
            assert shown == ["second"]
            pid = operator.hello()["pid"]
        assert shell.broker_pid() == pid
        quarantine = os.listdir(os.path.join(shell.data, "messages", "quarantine"))
        assert [name for name in quarantine if first in name]


@pytest.mark.parametrize("kind", ["a directory", FIFO, "a socket"])
@pytest.mark.parametrize("place", ["timeline", "messages/journal"])
def test_a_log_s_file_is_taken(template: Shell, place: str, kind: str) -> None:
    with copied(template) as shell:
        folder = os.path.join(shell.data, place)
        path = os.path.join(folder, min(os.listdir(folder)))
        put(path, kind)
        ran = shell.run("up")
        assert ran.code == exit_codes.DONE or is_said(ran, path), ran
        shell.anonymous().run("down")
        exported = shell.run("spool", "export")
        assert exported.code == exit_codes.DONE or is_said(exported, path), exported
        assert "Traceback" not in shell.run("spool", "verify").err


@pytest.mark.parametrize("kind", ["a file", FIFO, "a link"])
def test_keys_and_outbox_are_not_empty_but_wrong(template: Shell, kind: str) -> None:
    """They said "there are none" before."""
    with copied(template) as shell:
        put(os.path.join(shell.data, "keys"), kind)
        made = shell.run("keys", "new", "far", "--out", os.path.join(shell.root, "far.key"))
        assert is_said(made, os.path.join(shell.data, "keys"))
        put(os.path.join(shell.data, "outbox"), kind)
        off = shell.like(MAESTRO_AUTOSTART="0")
        for command in (("outbox",), ("send", "--to", "bob", "-m", "x")):
            ran = off.run(*command)
            assert ran.code != exit_codes.DONE
            assert is_said(ran, os.path.join(shell.data, "outbox")), ran


def test_a_socket_s_place_is_taken(template: Shell) -> None:
    with copied(template) as shell:
        shell.anonymous().done("up")
        found = find(shell.data)
        assert found is not None
        path = found.router.removeprefix("ipc://")
        shell.anonymous().done("down")
        put(path, "a directory")
        ran = shell.run("up")
        assert is_said(ran, path)
        assert "must be a file" in ran.err


def test_a_directory_that_may_not_be_entered(other_user: Any) -> None:
    """With the owner's own mode, and another one's."""
    data = other_user.path("data")
    os.mkdir(data, 0o500)
    os.chown(data, other_user.uid, other_user.gid)
    up = other_user.maestro("up", MAESTRO_DATA_DIR=data)
    assert up.returncode != exit_codes.DONE
    assert data in up.stderr
    assert "chmod u+rwx" in up.stderr
    os.mkdir(other_user.path("roots"), 0o700)
    up = other_user.maestro("up", MAESTRO_DATA_DIR=other_user.path("roots", "data"))
    assert up.returncode != exit_codes.DONE
    assert "roots may not be entered: it belongs to uid 0" in up.stderr
    config = other_user.maestro("config", "show", MAESTRO_CONFIG=other_user.path("roots", "config.toml"))
    assert "roots may not be entered" in config.stderr


# --- bytes that are no UTF-8 -------------------------------------------------------------------------------


@pytest.fixture
def odd() -> Iterator[Shell]:
    """A shell whose data directory and config file have a byte that is no UTF-8."""
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        top = os.fsdecode(b"d\xff")
        data = os.path.join(person.root, top, "data")
        os.mkdir(os.path.join(person.root, top))
        config = os.path.join(person.root, top, "config.toml")
        with open(config, "w", encoding="ascii") as file:
            file.write("[limits]\npending_max = 7\n[projects.shop]\nretention = '2d'\n")
        shell = person.like(MAESTRO_DATA_DIR=data, MAESTRO_CONFIG=config)
        try:
            yield shell
        finally:
            stop_broker(data)


def test_no_reply_that_names_a_path_ends_the_broker(odd: Shell) -> None:
    odd.done("up")
    pid = odd.broker_pid()
    status = odd.done("status", "--json").json()
    assert status["dataDir"].endswith("/d\\xff/data")
    assert "config.toml" in odd.done("config", "show").out
    assert "pending_max" in odd.done("status", "--all").out
    with odd.client() as client:
        assert client.hello()["dataDir"].endswith("/d\\xff/data")
    alice, bob = odd.session("alice", role="orchestrator"), odd.session("bob")
    alice.done("send", "--to", "bob", "-m", "hello")
    assert "hello" in bob.done("inbox").out
    found = odd.run("doctor", "--json").json()["findings"]
    assert {finding["name"]: finding["state"] for finding in found}["broker"] == "ok"
    assert odd.done("spool", "verify").out
    assert "hello" in odd.done("spool", "export").out
    assert odd.broker_pid() == pid
    odd.done("down")


def test_a_refusal_from_the_outbox_does_not_end_the_broker_either(odd: Shell) -> None:
    """Its notice names the entry's folder, in a record of the journal."""
    odd.done("up")
    alice, _ = odd.session("alice", role="orchestrator"), odd.session("bob")
    odd.done("down")
    off = alice.like(MAESTRO_AUTOSTART="0")
    off.done("send", "--to", "no_such_session", "-m", "to none")
    odd.done("up")
    shown = alice.done("inbox").out
    assert "refused" in shown
    assert find(odd.data) is not None
    # A start replays it.
    odd.done("down")
    odd.done("up")


def test_settings_of_agents_and_units_cannot_hold_such_a_path(odd: Shell) -> None:
    home = os.path.join(odd.root, "home")
    os.mkdir(home)
    for command in (("hooks", "install", "claude-code"), ("service", "install", "--print")):
        ran = odd.like(HOME=home).run(*command)
        assert ran.code == exit_codes.USAGE, ran
        assert "\\xff" in ran.err
        assert "MAESTRO_DATA_DIR" in ran.err
    assert not os.path.exists(os.path.join(home, ".claude"))


def test_the_sockets_directory_must_be_text(person: Shell) -> None:
    ran = person.like(MAESTRO_RUNTIME_DIR=os.path.join(person.root, os.fsdecode(b"r\xff"))).run("up")
    assert ran.code != exit_codes.DONE
    assert "r\\xff" in ran.err
    assert "MAESTRO_RUNTIME_DIR" in ran.err


# --- the current directory ---------------------------------------------------------------------------------


def in_directory(shell: Shell, directory: bytes, *arguments: str, stdin: bytes = b"") -> Ran:
    """Run a command in a directory."""
    where = Shell(os.fsdecode(directory), shell.environ, [])
    return where.run(*arguments, stdin=stdin)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9", "caf\\xe9"),
        (b"two\nlines", "two\\nlines"),
        ("r\u202el".encode(), "r\\u202el"),
        (b"\x1b[2J", "\\x1b[2J"),
    ],
)
def test_a_session_starts_in_any_directory(person: Shell, name: bytes, shown: str) -> None:
    directory = os.path.join(os.fsencode(person.root), name)
    os.mkdir(directory)
    ran = in_directory(person, directory, "session", "start", "--json")
    assert ran.code == exit_codes.DONE, ran
    assert ran.json()["cwd"].endswith(f"/{shown}")


def test_a_session_starts_without_a_directory_that_is_too_long(person: Shell) -> None:
    script = (
        "import os\n"
        "for _ in range(30):\n"
        "    os.mkdir('d' * 200); os.chdir('d' * 200)\n"
        "os.execv(os.sys.executable, [os.sys.executable, '-m', 'maestro_cli', 'session', 'start', '--json'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=person.environ, cwd=person.root, capture_output=True, check=False
    )
    assert done.returncode == exit_codes.DONE, done
    assert b'"cwd"' not in done.stdout


def test_no_command_needs_a_current_directory(person: Shell) -> None:
    """Only a project's settings, and relative paths, do."""
    home = os.path.join(person.root, "home")
    os.mkdir(home)
    shell = person.like(HOME=home, XDG_CONFIG_HOME="", XDG_DATA_HOME="")
    script = f"""
        mkdir {person.root}/gone && cd {person.root}/gone && rmdir {person.root}/gone
        run() {{
            printf '%s: ' "$*"
            "$python" -m maestro_cli "$@" > "$root/out" 2>&1 < /dev/null
            echo $?
            grep -h "fault in maestro" "$root/out"
        }}
        run up
        run session start --id ann --role orchestrator
        run session list
        run send --help
        run hooks install claude-code
        run hooks show codex
        run hooks uninstall claude-code
        run config show
        run config init
        run completion bash
        run completion bash --install
        run status
        run spool verify
        run doctor
        run keys list
        run hooks install claude-code --scope project
        cat "$root/out"
        run keys new far
        cat "$root/out"
        MAESTRO_DATA_DIR=data run status
        cat "$root/out"
        run down
    """
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={**shell.environ, "python": sys.executable, "root": person.root, "MAESTRO_CONFIG": f"{home}/c.toml"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "fault in maestro" not in done.stdout
    lines = done.stdout.splitlines()
    ends = {
        line.rpartition(": ")[0]: line.rpartition(": ")[2] for line in lines if line.rpartition(": ")[2].isdigit()
    }
    refused = {"hooks install claude-code --scope project", "keys new far"}
    assert {command for command, code in ends.items() if code != "0"} == refused | {"status"}, done.stdout
    assert "the current directory does not exist any more" in done.stdout
    assert "--out is the relative path 'far.key'" in done.stdout
    assert "MAESTRO_DATA_DIR is the relative path 'data'" in done.stdout


def test_doctor_in_a_directory_that_was_removed_keeps_its_findings(person: Shell) -> None:
    script = f'mkdir g && cd g && rmdir ../g && exec "{sys.executable}" -m maestro_cli doctor --all'
    done = subprocess.run(
        ["/bin/sh", "-c", script], env=person.environ, cwd=person.root, capture_output=True, text=True, check=False
    )
    assert "current directory: it does not exist any more" in done.stdout
    assert "broker: none runs" in done.stdout
    assert "this shell: " in done.stdout


def test_an_unreadable_current_directory(other_user: Any) -> None:
    closed = other_user.path("closed")
    os.mkdir(closed, 0o700)
    os.chown(closed, other_user.uid, other_user.gid)
    script = 'cd closed && chmod 0 . && exec "$0" -m maestro_cli session start --json'
    done = other_user.run("/bin/sh", "-c", script, other_user.python)
    assert done.returncode == exit_codes.DONE, done
    assert '"id"' in done.stdout
