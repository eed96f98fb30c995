"""Key guards: what must hold before keys are typed into a terminal where a person may be, too.

Rule: what is not recognized is refused. A row is an empty prompt only if nothing but the prompt's sign is before the
cursor, and nothing but blanks, a frame or a known placeholder is after it. The words are fixed and have no text of a
message. Nothing here is atomic: a key that a person presses between the last look and Enter is sent with the words.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from maestro_runtime.process_identity import is_alive
from maestro_schemas.texts.waking import NOTICE

if TYPE_CHECKING:
    from maestro_runtime.wake_facts import WakeFacts

# What is typed. A hook recognizes the turn by it.
WORDS: Final = NOTICE
# A screen is looked at twice, this long apart, and so are typing and Enter: a client takes both together for a paste.
SETTLE_S: Final = 0.4
# How long no person may have pressed a key.
QUIET_S: Final = 3.0
# A refusal that a person's next key may end is tried again, for less than the broker's time to ask again.
AGAIN_S: Final = 5.0
TRIES: Final = 48
# The signs of known agents: >, and three arrows.
_BEFORE: Final = re.compile(r"[\s│┃|]*[>\u276f\u203a\u2192][ \u00a0]")
_AFTER: Final = re.compile(r"[\s\u00a0]*(Type your message( or @path/to/file)?)?[\s\u00a0]*[│┃|]?\s*")
_FRAME: Final = re.compile(r"[\s\u00a0]*[│┃|]?\s*")
_ANCESTORS_MAX: Final = 64


class RefusedError(Exception):
    """Why no key may be typed."""

    def __init__(self, reason: str, *, is_lasting: bool = False) -> None:
        super().__init__(reason)
        self.is_lasting = is_lasting


def before_prompt(row: str) -> str:
    """What is at the beginning of a row up to the end of a prompt's sign; empty where there is no such sign."""
    found = _BEFORE.match(row)
    return "" if found is None else found[0]


def check_prompt(row: str, column: int) -> None:
    """Raises RefusedError unless the row, with the cursor in that column, is an empty prompt."""
    if not _BEFORE.fullmatch(row[:column]) or not _AFTER.fullmatch(row[column:]):
        raise RefusedError("the row with its cursor is no empty prompt")


def check_typed(row: str, before: str) -> None:
    """Raises RefusedError unless the row is what was `before` the cursor and then the words alone."""
    typed = before + WORDS
    if not row.startswith(typed) or not _FRAME.fullmatch(row[len(typed) :]):
        raise RefusedError("its line was not the typed words alone; they stay there, and Enter was not pressed")


def check_agent(facts: WakeFacts, tty: str | None, ancestor: int | None) -> None:
    """Raises RefusedError unless the agent lives and has its terminal's foreground, so that keys reach it.

    `tty`: the device that must be its terminal. `ancestor`: the process that it must be below, or be.
    """
    if is_alive(facts.pid, facts.pid_start) is not True:
        raise RefusedError("its agent has ended, or runs where this broker can't see its process", is_lasting=True)
    found = _ProcessFields.of(facts.pid)
    if found is None or not found.tty:
        raise RefusedError("its agent has no terminal", is_lasting=True)
    if tty is not None and found.tty != _device(tty):
        raise RefusedError("its agent has another terminal than that pane", is_lasting=True)
    if ancestor is not None and not _is_below(facts.pid, ancestor):
        raise RefusedError("its agent does not run in that pane", is_lasting=True)
    if found.foreground != found.group:
        raise RefusedError("another program has the terminal of its agent")


class _ProcessFields(NamedTuple):
    """Fields of /proc/PID/stat."""

    parent: int
    group: int
    tty: int
    foreground: int

    @classmethod
    def of(cls, pid: int) -> _ProcessFields | None:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            _, parent, group, _, tty, foreground, *_ = fields
            return cls(int(parent), int(group), int(tty), int(foreground))
        except (OSError, ValueError):
            return None


def _device(path: str) -> int:
    """The number of a terminal's device as the kernel writes it in /proc/PID/stat; 0 if there is none."""
    try:
        device = os.stat(path).st_rdev
    except (OSError, ValueError):
        return 0
    major, minor = os.major(device), os.minor(device)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def _is_below(pid: int, ancestor: int) -> bool:
    for _ in range(_ANCESTORS_MAX):
        if pid == ancestor:
            return True
        found = _ProcessFields.of(pid)
        if found is None or found.parent <= 1:
            return False
        pid = found.parent
    return False
