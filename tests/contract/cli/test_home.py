"""`maestro` alone: who waits, what is unread, who is here. It changes nothing, and starts no broker."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.cli_shell import Shell


def in_a_terminal(shell: Shell, *arguments: str, **environ: str) -> str:
    """What a command writes to a terminal of 60 columns."""
    master, slave = pty.openpty()
    own = {name: value for name, value in shell.environ.items() if name not in ("NO_COLOR", "CLICOLOR_FORCE")}
    with subprocess.Popen(
        shell.start_command(*arguments),
        env={**own, "TERM": "xterm", "COLUMNS": "60", **environ},
        cwd=shell.root,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 65_536):
                shown += part
        except OSError:
            pass  # the other end is closed
        process.wait(30)
    os.close(master)
    return shown.decode()


def test_at_first_it_says_how_to_begin_and_starts_nothing(person: Shell) -> None:
    out = person.done().out
    assert "maestro setup" in out
    assert len(out.splitlines()) <= 4
    assert not os.path.exists(person.data)
    assert person.done("--json").json() == {"running": False, "sessions": [], "unread": None, "warnings": []}
    person.done("up")
    assert person.done().out.startswith("No session is here yet.")


def test_who_is_here_and_what_is_unread(person: Shell) -> None:
    ann, ben = person.session("ann"), person.session("ben")
    ben.done("send", "--to", "ann", "--message", "hello")
    ben.done("send", "--to", "operator", "--message", "May I?", "--type", "request")
    shown = person.done().out.splitlines()
    assert shown[0] == "2 sessions; 1 unread"
    assert shown[1] == "1 new message for you: maestro inbox"
    assert any(line.split()[:2] == ["ann", "no"] for line in shown)
    assert "1 new message for you" in ann.done().out
    assert "for you" not in ben.done().out
    # It marks nothing.
    assert "hello" in ann.done("inbox").out
    assert "for you" not in ann.done().out
    found = person.done("--json").json()
    assert (found["running"], found["unread"], len(found["sessions"])) == (True, 1, 2)
    # An agent that has no session sees no mail of the person.
    assert "for you" not in person.like(CLAUDECODE="1").done().out
    person.done("down")
    assert person.done().out.startswith("No broker runs.")


def test_it_is_quick(person: Shell) -> None:
    person.session("ann")
    code = "import sys; from maestro_cli.main import main; main([]); print(sorted(sys.modules), file=sys.stderr)"
    ran = subprocess.run(
        [sys.executable, "-c", code], env=person.environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert "ann" in ran.stdout
    assert not any(f"'{name}'" in ran.stderr for name in ("cyclopts", "rich", "zmq", "msgspec", "asyncio"))


@pytest.mark.parametrize(
    "words", [(), ("who",), ("log",), ("inbox", "--session", "ann"), ("status",), ("search", "x")]
)
def test_a_terminal_gets_only_our_own_sequences(person: Shell, words: tuple[str, ...]) -> None:
    person.session("ann")
    ben = person.session("ben")
    ben.done("send", "--to", "ann", "--message", "x \x1b[2J\x1b[31mred \x9b1m\x1b]0;title\x07", "--priority", "high")
    shown = in_a_terminal(person, *words)
    assert "\x1b[0m" in shown
    assert "\x1b" not in re.sub(r"\x1b\[(?:0|1|2|1;33|1;32|31|32|33)m", "", shown)
    assert "\x9b" not in shown
    # Red is for a session that is gone, and for errors.
    assert "\x1b[31m" not in shown
    for quiet in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in in_a_terminal(person, *words, **quiet)


def test_into_a_pipe_there_are_no_styles_unless_they_are_forced(person: Shell) -> None:
    person.session("ann")
    assert "\x1b" not in person.done("who").out
    assert "\x1b[2mNAME" in person.like(CLICOLOR_FORCE="1").done("who").out
    assert "\x1b" not in person.like(CLICOLOR_FORCE="1", NO_COLOR="1").done("who").out
    assert "\x1b" not in person.like(CLICOLOR_FORCE="1").done("who", "--json").out


@pytest.mark.parametrize(("arguments", "whole"), [
    (("send", "operator", "Hello.", "--as", "operator"), "maestro inbox --watch"),
    (("send", "ann", "Hello."), "`--as operator`"),
    (("ls",), "`maestro session list`"),
    (("session", "list"), "maestro session start"),
])  # fmt: skip
def test_sentences_on_a_terminal_are_wrapped_at_words_and_a_pipe_gets_them_as_they_are(
    person: Shell, arguments: tuple[str, ...], whole: str
) -> None:
    person.done("up")
    shown = in_a_terminal(person, *arguments, NO_COLOR="1").replace("\r", "")
    assert all(len(line) <= 60 for line in shown.splitlines())
    assert whole in shown
    ran = person.run(*arguments)
    piped = (ran.out + ran.err).splitlines()
    assert [line for line in piped if whole in line]
    assert max(map(len, piped)) > 60
