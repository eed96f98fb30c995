"""`maestro who`: what six agents do, in a terminal and in JSON, from the real hook script and real processes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli.hooks import shell_script
from support import components
from support.agent_forms import said
from support.cli_shell import Lines, Shell
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_schemas.documents import SessionPresenceDoc

_PATIENCE_S = 30.0


class Agent:
    """A process that belongs to a session, and calls the real hook script as an agent does: as its parent."""

    def __init__(self, shell: Shell, kind: str = "claude-code") -> None:
        self.shell = shell
        self._kind = kind
        self.process = subprocess.Popen(
            ["/bin/sh"], env=shell.environ, cwd=shell.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def hook(self, event: str, **more: Any) -> None:
        """Call a hook, and wait for its end."""
        given = os.path.join(self.shell.root, f"in-{self.process.pid}")
        with open(given, "w", encoding="utf-8") as file:
            json.dump(said(self._kind, event, session_id=f"own-{self.process.pid}", **more), file)
        line = shell_script.command(shell_script.script_path(self.shell.data), self._kind, event)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"/bin/sh -c {_quoted(line)} < {given} > /dev/null; echo done\n".encode())
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"done\n"

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.communicate()


def _quoted(line: str) -> str:
    return "'" + line.replace("'", "'\\''") + "'"


class Screen:
    """A tmux server with one window of a given width, in which a command runs."""

    def __init__(self, shell: Shell, columns: int, *command: str) -> None:
        self._socket = os.path.join(shell.root, f"tmux-{os.urandom(4).hex()}")
        self._environ = shell.environ
        size = ["-x", str(columns), "-y", "30"]
        self._tmux(
            "-f", os.devnull, "new-session", "-d", *size, "sh", "-c", 'sh -c "$1"; exec sleep 600', "sh", *command
        )

    def lines(self) -> list[str]:
        return [line for line in self._tmux("capture-pane", "-p").splitlines() if line.strip()]

    def wait_for(self, *patterns: str) -> list[str]:
        """Wait until each pattern matches a line; the screen."""

        def is_shown() -> bool:
            lines = self.lines()
            return all(any(re.search(pattern, line) for line in lines) for pattern in patterns)

        try:
            eventually(is_shown, "the screen", _PATIENCE_S)
        except AssertionError:
            raise AssertionError(f"not {patterns} in:\n" + "\n".join(self.lines())) from None
        return self.lines()

    def resize(self, columns: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", "30")

    def close(self) -> None:
        self._tmux("kill-server")

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout


@pytest.fixture
def agents(person: Shell) -> Iterator[dict[str, Agent]]:
    """Six: dee waits for a permission, ben runs a tool, fay is idle, cid was killed and has mail, gus was never heard
    of, and eva has ended."""
    with person.client():
        pass  # a broker runs
    shell_script.write(person.data, sys.executable)
    made = {}
    try:
        shells = {name: person.session(name) for name in ("dee", "ben", "fay", "cid", "gus", "eva")}
        for name, kind in (
            ("dee", "claude-code"),
            ("ben", "codex"),
            ("fay", "gemini-cli"),
            ("cid", "claude-code"),
            ("eva", "codex"),
        ):
            made[name] = agent = Agent(shells[name], kind)
            agent.hook("SessionStart", source="startup")
        made["dee"].hook("UserPromptSubmit")
        made["dee"].hook("PermissionRequest")
        made["ben"].hook("UserPromptSubmit")
        made["ben"].hook("PostToolUse")
        made["fay"].hook("BeforeAgent")
        made["fay"].hook("AfterAgent")
        made["cid"].hook("UserPromptSubmit")
        made["cid"].kill()
        made["eva"].hook("SessionEnd", reason="exit")
        shells["ben"].send(shells["cid"], "Are you there?")
        shells["eva"].done("session", "end")
        yield made
    finally:
        for agent in made.values():
            agent.kill()


def who(shell: Shell, *more: str) -> dict[str, SessionPresenceDoc]:
    lines = json.loads(shell.done("who", "--json", *more).out)
    return {line["name"]: line for line in lines}


EXPECTED = {
    "dee": ("waiting", "hook", "permission:Bash", 0),
    "cid": ("gone", "process", None, 1),
    "ben": ("working", "hook", None, 0),
    "fay": ("idle", "hook", None, 0),
    "gus": ("unknown", "broker", None, 0),
}


COLUMNS = ["NAME", "ROLE", "PROJECT", "STATE", "SINCE", "BY", "NEW", "OLDEST", "AGENT"]


def test_six_agents_in_json(person: Shell, agents: dict[str, Agent]) -> None:
    found = who(person)
    shown = {n: (line["state"], line.get("by"), line.get("detail"), line.get("unread")) for n, line in found.items()}
    assert list(shown.items()) == list(EXPECTED.items()), "who needs something comes first; who has ended is no more"
    with person.client() as client:
        [eva] = client.presence(session=agents["eva"].shell.session_id)
        assert (eva["state"], eva["by"]) == ("ended", "broker")
        states = {session["name"]: session["presence"]["state"] for session in client.sessions()}
    assert states == {**{name: state for name, (state, *_) in EXPECTED.items()}, "eva": "ended"}


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_six_agents_in_a_terminal(person: Shell, agents: dict[str, Agent], columns: int) -> None:
    components.require_tools("tmux")
    screen = Screen(person, columns, " ".join(map(_quoted, person.start_command("who"))))
    try:
        lines = screen.wait_for("for a person: dee")
    finally:
        screen.close()
    assert all(len(line) <= columns for line in lines)
    last = next(number for number, line in enumerate(lines) if line.startswith("1 waits for a person"))
    head, *rows = lines[:last]
    assert [row.split()[0] for row in rows] == list(EXPECTED)
    words = {row.split()[0]: row for row in rows}
    assert "waiting (permission" in words["dee"]
    for name, state in (("cid", "gone"), ("ben", "working"), ("fay", "idle"), ("gus", "no sign")):
        assert state in words[name]
    assert " ".join(lines[last:]) == "1 waits for a person: dee (permission: Bash)"
    shown = head.split()
    assert shown == [column for column in COLUMNS if column in shown]
    assert {"NAME", "STATE"} <= set(shown)
    assert columns < 200 or shown == COLUMNS


def test_the_table_into_a_pipe_has_every_column(person: Shell, agents: dict[str, Agent]) -> None:
    lines = person.done("who").out.splitlines()
    assert lines[0].split() == COLUMNS
    [cid] = [line.split() for line in lines if line.startswith("cid ")]
    assert (cid[3], cid[5], cid[6], cid[8]) == ("gone", "process", "1", "claude-code")
    assert lines[-1] == "1 waits for a person: dee (permission: Bash)"
    listed = person.done("session", "list").out
    for state in (r"waiting \d+s \(permission: Bash\)", r"gone, last sign \d+s ago", r"working \d+s", r"idle \d+s"):
        assert re.search(state, listed)


def test_projects_and_an_empty_place(person: Shell, agents: dict[str, Agent]) -> None:
    assert who(person, "--project", "shop").keys() == EXPECTED.keys()
    assert who(person, "--project", "other") == {}
    assert person.done("who", "--project", "other").out.startswith("No sessions.")


# --- watching --------------------------------------------------------------------------------------------------


def test_each_change_is_one_json_object(person: Shell, agents: dict[str, Agent]) -> None:
    process = person.start("who", "--watch", "--json")
    lines = Lines(process)

    def seen(name: str) -> list[str]:
        return [line["state"] for line in map(json.loads, lines.all()) if line["name"] == name]

    eventually(lambda: bool(seen("gus")), "the first lines", _PATIENCE_S)
    agents["dee"].hook("PostToolUse")
    eventually(lambda: seen("dee") == ["waiting", "working"], "the permission was given", _PATIENCE_S)
    agents["ben"].kill()
    eventually(lambda: seen("ben") == ["working", "gone"], "the end of a process", _PATIENCE_S)
    agents["fay"].shell.done("session", "end")
    eventually(lambda: seen("fay") == ["idle", "ended"], "the end of a session", _PATIENCE_S)
    new = person.session("new")
    eventually(lambda: seen("new") == ["unknown"], "a new session", _PATIENCE_S)
    assert new.session_id
    assert (seen("cid"), seen("gus")) == (["gone"], ["unknown"])
    process.send_signal(signal.SIGINT)
    assert process.wait(_PATIENCE_S) == 130


def test_a_pipe_gets_a_line_for_each_change(person: Shell, agents: dict[str, Agent]) -> None:
    process = person.start("who", "--watch")
    lines, errors = Lines(process), Lines(process, "stderr")
    lines.wait_for(lambda line: "dee (worker, shop)  waiting" in line)
    agents["dee"].hook("Stop")
    lines.wait_for(lambda line: "dee (worker, shop)  idle" in line)
    person.kill_broker()
    errors.wait_for(lambda line: line == "maestro: the broker is gone; waiting for it to come back (maestro up)")
    agents["dee"].hook("UserPromptSubmit")
    person.done("up", "--no-http")
    errors.wait_for(lambda line: line == "maestro: the broker is back")
    lines.wait_for(lambda line: "dee (worker, shop)  working" in line)
    process.send_signal(signal.SIGINT)
    assert process.wait(_PATIENCE_S) == 130


def test_a_terminal_is_drawn_again(person: Shell, agents: dict[str, Agent]) -> None:
    components.require_tools("tmux")
    screen = Screen(person, 80, " ".join(map(_quoted, person.start_command("who", "--watch"))))
    try:
        screen.wait_for("^dee .*waiting", "1 waits for a person: dee")
        agents["dee"].hook("PostToolUse")
        lines = screen.wait_for("^dee .*working")
        assert not [line for line in lines if "for a person" in line]
        assert len([line for line in lines if line.startswith("NAME")]) == 1
        screen.resize(40)
        screen.wait_for("^NAME +STATE")
        person.kill_broker()
        screen.wait_for("the broker is gone")
        agents["dee"].hook("PermissionRequest")
        person.done("up", "--no-http")
        screen.wait_for("^dee .*waiting")
        eventually(lambda: not [line for line in screen.lines() if "broker" in line], "drawn over", _PATIENCE_S)
    finally:
        screen.close()


def test_a_closed_output_ends_the_watch(person: Shell, agents: dict[str, Agent]) -> None:
    reader, writer = os.pipe()
    process = person.start("who", "--watch", stdout=writer)
    os.close(writer)
    assert os.read(reader, 10)
    os.close(reader)
    assert process.wait(_PATIENCE_S) == 141


def test_names_that_would_be_words_of_ours(person: Shell) -> None:
    """A name is one word, or stands in quotes; a terminal gets no escape sequence, and no line is broken."""
    with person.client() as client:
        client.start_session("s1", name="dee (permission: Bash), eva")
        client.start_session("s2", name="x" * 64)
    out = person.done("who").out
    assert '"dee (permission: Bash), eva"' in out
    leader, terminal = pty.fork()
    if not leader:  # pragma: no cover - the child becomes the command
        command = person.start_command("who")
        os.execve(command[0], command, {**person.environ, "TERM": "xterm", "NO_COLOR": "1"})
    heard = b""
    try:
        while True:
            heard += os.read(terminal, 1_000)
    except OSError:
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(leader, 0)[1]) == 0
    assert b"\x1b" not in heard
    assert max(len(line) for line in heard.decode().splitlines()) <= 80
