"""Names and ids on the command line: terminals that close, names in use, and shells of agents."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.cli_shell import Ran, Shell

START = ("session", "start")


class Terminal:
    """A real terminal with a shell in it, whose session leader that shell is."""

    def __init__(self, shell: Shell, scratch: Path) -> None:
        self._scratch = scratch
        self._count = 0
        self._master, slave = os.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "sh"], env=shell.environ, cwd=shell.root, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self._command = shlex.join(shell.start_command())

    @property
    def pid(self) -> int:
        return self._process.pid

    def type(self, line: str) -> list[str]:
        """Type a line with `maestro` in it, and wait for its end; the status, the session, the token, then the lines
        that it printed."""
        self._count += 1
        printed, done = (self._scratch / f"{self.pid}.{self._count}.{kind}" for kind in ("out", "done"))
        command = line.replace("maestro", self._command)
        report = 'echo "$?"; echo "$MAESTRO_SESSION_ID"; echo "$MAESTRO_SESSION_TOKEN"'
        # In a file, since a terminal takes no line longer than 4,096 bytes.
        script = self._scratch / f"{self.pid}.{self._count}.sh"
        script.write_text(f"{{ {command}; }} 2>{printed}\n{{ {report}; }} >{done}.part; mv {done}.part {done}\n")
        os.write(self._master, f". {script}\n".encode())
        eventually(done.exists, f"{line} has ended", 30.0)
        return [*done.read_text().splitlines(), *printed.read_text().splitlines()]

    def close(self) -> None:
        """Close the window: the kernel hangs the shell up. Can be repeated."""
        if self._process.returncode is not None:
            return
        os.close(self._master)
        self._process.send_signal(signal.SIGHUP)
        self._process.wait(20)


@pytest.fixture
def terminals(person: Shell, tmp_path: Path) -> Iterator[list[Terminal]]:
    """Two open terminals."""
    opened = [Terminal(person, tmp_path) for _ in range(2)]
    yield opened
    for terminal in opened:
        terminal.close()


def refused(ran: Ran, code: str) -> str:
    """The hint of a refusal, which has this code."""
    assert ran.code == exit_codes.EXIT_OF_CODE[code], ran
    error = json.loads(ran.out)["error"]
    assert error["code"] == code
    return str(error["hint"])


def start(shell: Shell, *arguments: str, **environ: str) -> Ran:
    return shell.run(*START, *arguments, "--json", environ=environ)


# --- terminals -------------------------------------------------------------------------------------------------


def test_the_id_of_a_closed_terminal_is_started_again(person: Shell, terminals: list[Terminal], alice: Shell) -> None:
    """With a new token and a line that says so; the mail that came meanwhile is read."""
    line = 'eval "$(maestro session start --id carl --name carl --export)"'
    status, session, token, *printed = terminals[0].type(line)
    assert (status, session, printed) == ("0", "carl", [])
    assert person.done("session", "show", "carl", "--json").json()["pid"] == terminals[0].pid
    status, _, _, message, hint, *commands = terminals[1].type(line)
    assert status != "0", "eval of a refused start fails"
    assert f"its process {terminals[0].pid} runs" in message
    assert hint.startswith("  next: ")
    assert [command.strip() for command in commands] == [
        'eval "$(maestro session start --id carl --name carl --replace --export)"',
        'eval "$(maestro session start --id carl --takeover --export)"',
    ]
    terminals[0].close()
    alice.done("send", "--to", "carl", "--message", "for later")
    status, session, again, *printed = terminals[1].type(line)
    assert (status, session) == ("0", "carl")
    assert again != token
    assert printed == ["maestro: carl was started before; it has a new token now, and the old one is void"]
    carl = person.like(MAESTRO_SESSION_ID="carl", MAESTRO_SESSION_TOKEN=again)
    assert [message["message"] for message in carl.inbox()] == ["for later"]
    assert carl.run("inbox", environ={"MAESTRO_SESSION_TOKEN": token}).code == exit_codes.REFUSED


@pytest.mark.parametrize("option", ["--replace", "--takeover"])
def test_the_commands_of_the_refusal_solve_it(person: Shell, terminals: list[Terminal], option: str) -> None:
    line = 'eval "$(maestro session start --id carl --name carl --export)"'
    _, _, token, *_ = terminals[0].type(line)
    _, _, _, _, _, *commands = terminals[1].type(line)
    [command] = [one.strip() for one in commands if option in one]
    status, session, again, *_ = terminals[1].type(command)
    assert (status, session) == ("0", "carl")
    assert again != token
    shown = person.done("session", "show", "carl", "--json").json()
    assert (shown["name"], shown["status"], shown["pid"]) == ("carl", "idle", terminals[1].pid)


def test_the_name_of_a_closed_terminal_is_free(person: Shell, terminals: list[Terminal], alice: Shell) -> None:
    line = 'eval "$(maestro session start --name dora --export)"'
    _, first, token, *_ = terminals[0].type(line)
    # Arrow-up and Enter, in the same shell: the whole command that helps is printed.
    status, same, _, message, _, *commands = terminals[0].type(line)
    assert (status != "0", same) == (True, first)
    assert "'dora'" in message
    assert 'eval "$(maestro session start --name dora --replace --export)"' in [one.strip() for one in commands]
    terminals[0].close()
    status, second, *_ = terminals[1].type(line)
    assert status == "0"
    assert alice.done("send", "--to", "dora", "--message", "x", "--json").json()["to"] == second
    old = person.like(MAESTRO_SESSION_ID=first, MAESTRO_SESSION_TOKEN=token)
    assert old.done("session", "show", "--json").json()["name"] == "dora-2"
    [mail] = old.inbox()
    assert "your name is 'dora-2' now" in mail["message"]


def test_a_shell_without_a_terminal_records_no_process(person: Shell) -> None:
    ran = start(person, "--name", "eve")
    assert "pid" not in ran.json()
    assert "pid" not in start(person, "--id", "fred").json()


# --- names in use ----------------------------------------------------------------------------------------------


def test_day_two_of_the_tour(person: Shell, alice: Shell) -> None:
    """An id that has ended does not hide the session that has it as its name now."""
    for _ in range(2):
        token = start(person, "--id", "ben", "--name", "ben").json()["token"]
        person.like(MAESTRO_SESSION_ID="ben", MAESTRO_SESSION_TOKEN=token).done("session", "end")
    new = start(person, "--name", "ben").json()["id"]
    assert alice.done("send", "--to", "ben", "--message", "x", "--json").json()["to"] == new
    assert "--id ben --replace" in refused(start(person, "--id", "ben"), "NAME_TAKEN")


def test_an_ended_id_is_started_again_in_a_persons_shell(person: Shell) -> None:
    first = start(person, "--id", "ben", "--role", "orchestrator").json()
    assert start(person, "--id", "ben").code == exit_codes.REFUSED, "while it is active it has its token"
    person.done("session", "end", "ben")
    ran = start(person, "--id", "ben")
    assert ran.err == "maestro: ben was started before; it has a new token now, and the old one is void\n"
    again = ran.json()
    assert again["token"] != first["token"]
    assert again["role"] == "orchestrator", "what is not given stays as it was"


@pytest.mark.parametrize(
    "sign",
    [{"CLAUDECODE": "1"}, {"CODEX_SANDBOX": "seatbelt"}, {"GEMINI_CLI": "1"}, {"CURSOR_AGENT": "1"}],
    ids=lambda sign: next(iter(sign)),
)
def test_an_agents_shell_needs_the_token(person: Shell, sign: dict[str, str]) -> None:
    token = start(person, "--id", "ben").json()["token"]
    for more in (("--takeover",), ("--replace",)):
        hint = refused(start(person, "--id", "ben", *more, **sign), "TOKEN_REQUIRED")
        assert "MAESTRO_SESSION_TOKEN=TOKEN" in hint
    person.done("session", "end", "ben")
    refused(start(person, "--id", "ben", **sign), "TOKEN_REQUIRED")
    own = {"MAESTRO_SESSION_ID": "ben", "MAESTRO_SESSION_TOKEN": token}
    assert start(person, "--id", "ben", **sign, **own).json()["token"] == token


def test_what_a_person_sets_for_an_agent_makes_no_agents_shell(person: Shell) -> None:
    start(person, "--id", "ben")
    person.done("session", "end", "ben")
    assert start(person, "--id", "ben", CODEX_HOME="/x", CODEX_API_KEY="y", CLAUDECODE="").code == 0


def test_a_shell_with_a_session_needs_the_token(person: Shell, alice: Shell) -> None:
    start(person, "--id", "ben")
    person.done("session", "end", "ben")
    refused(start(alice, "--id", "ben"), "TOKEN_MISMATCH")
    refused(start(alice, "--id", "ben", "--takeover"), "FORBIDDEN")
    hint = refused(
        start(alice, "--name", "new", "--id", alice.session_id, MAESTRO_SESSION_TOKEN="x"), "TOKEN_MISMATCH"
    )
    assert hint


def test_a_worker_raises_and_moves_itself_nowhere(person: Shell) -> None:
    ben = person.session("ben")
    for more, code in ((("--role", "orchestrator"), "ROLE_FORBIDDEN"), (("--project", "docs"), "FORBIDDEN")):
        refused(start(ben, "--id", ben.session_id, *more), code)
        refused(start(ben, *more), code)
    assert start(ben, "--id", ben.session_id, "--task", "t1").json()["taskIds"] == ["t1"]


def test_a_refused_start_makes_eval_fail(person: Shell) -> None:
    start(person, "--name", "ben")
    ran = person.run(*START, "--name", "ben", "--export")
    assert (ran.code, ran.out) == (exit_codes.REFUSED, "false\n")
    assert 'eval "$(maestro session start --name ben --replace --export)"' in ran.err
    ran = person.run(*START, "--name", "ben", "--replace", "--export")
    assert ran.code == 0
    assert "has ended; its unread mail stays in its mailbox" in ran.err


@pytest.mark.parametrize(
    "arguments", [("--takeover",), ("--takeover", "--id", "x", "--replace"), ("--name", "@workers"), ("--id", "-x")]
)
def test_starts_that_cannot_be(person: Shell, arguments: tuple[str, ...]) -> None:
    assert start(person, *arguments).code == exit_codes.USAGE


# --- rename and list -------------------------------------------------------------------------------------------


def test_rename(person: Shell, alice: Shell) -> None:
    assert alice.done("session", "rename", "anna").out == f"Renamed {alice.session_id}: anna.\n"
    assert person.done("session", "rename", "ann", "--id", "anna", "--json").json()["name"] == "ann"
    ben = person.session("ben")
    refused(ben.run("session", "rename", "ann", "--json"), "NAME_TAKEN")
    refused(ben.run("session", "rename", "x", "--id", "ann", "--json"), "FORBIDDEN")
    refused(person.run("session", "rename", "x", "--json"), "NO_SESSION")
    person.done("session", "rename", "ann", "--id", "ben", "--replace")
    assert person.done("session", "show", "ann", "--json").json()["id"] == ben.session_id


def test_a_list_is_longer_than_a_page_of_the_broker(person: Shell) -> None:
    person.done("up", "--set", "sessions_reply_max=2")
    for number in range(5):
        person.session(f"w{number}")
    for more, count in (((), 5), (("--limit", "3"), 3), (("--limit", "9"), 5)):
        assert len(json.loads(person.done("session", "list", "--json", *more).out)) == count


def test_a_list_is_one_array(person: Shell) -> None:
    shells = [person.session(f"w{number}") for number in range(3)]
    shells[2].done("session", "end")
    listed = json.loads(person.done("session", "list", "--json").out)
    assert [one["name"] for one in listed] == ["w0", "w1"]
    assert len(json.loads(person.done("session", "list", "--all", "--json").out)) == 3
    assert len(json.loads(person.done("session", "list", "--limit", "1", "--json").out)) == 1
    ran = person.done("session", "list", "--limit", "1").out
    assert "There are more" in ran
    assert "1 more has ended; --all shows them." in ran
