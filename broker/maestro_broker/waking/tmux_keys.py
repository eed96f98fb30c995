"""Tmux keys: wakes an idle agent by typing fixed words into its pane of tmux, as its user has allowed.

Rule: each look asks tmux for all that must hold in one command. The row of the cursor is judged, and no other.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from . import key_guards, key_steps
from .key_guards import RefusedError
from .steps import WakeCommand, WakePause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_runtime.wake_facts import WakeFacts

    from .key_steps import Asks
    from .steps import Steps, Wake

_PANE: Final = re.compile(r"%[0-9]{1,9}")
_STATE: Final = "#{pane_pid} #{pane_in_mode} #{pane_dead} #{cursor_x} #{cursor_y} #{pane_tty}"
_CLIENT: Final = "#{client_activity}"
_END: Final = "-"


def steps(wake: Wake, _environ: Mapping[str, str]) -> Steps:
    """Wake a session's agent by keys."""
    facts = wake.facts
    if facts.program is None or facts.socket is None or facts.pane is None or not _PANE.fullmatch(facts.pane):
        return wake.failed("what is noted of it names no pane of tmux", is_lasting=True)
    return (yield from key_steps.steps(wake, TmuxPane(facts, (facts.program, "-S", facts.socket), facts.pane)))


class _Look(NamedTuple):
    """What tmux says of the pane at one moment."""

    row: str
    column: int
    # The line of the cursor.
    line: int


class TmuxPane:
    """The pane of an agent."""

    def __init__(self, facts: WakeFacts, command: tuple[str, ...], pane: str) -> None:
        """`command`: tmux, with the server that the pane is in."""
        self._facts = facts
        self._command = command
        self._pane = pane
        self._line = 0

    def empty_prompt(self) -> Asks[str]:
        """What is before the cursor of an empty prompt that stays the same for a moment."""
        self._line = (yield from self._look()).line
        first = yield from self._look()
        key_guards.check_prompt(first.row, first.column)
        yield WakePause(key_guards.SETTLE_S)
        if (yield from self._look()) != first:
            raise RefusedError("its screen changes")
        return first.row[: first.column]

    def row(self) -> Asks[str]:
        """The row of the prompt now."""
        return (yield from self._look()).row

    def type(self, words: str) -> Asks[None]:
        """Type words."""
        yield from self._run("send-keys", "-t", self._pane, "-l", "--", words)

    def enter(self) -> Asks[None]:
        """Press Enter."""
        yield from self._run("send-keys", "-t", self._pane, "Enter")

    def _look(self) -> Asks[_Look]:
        """The pane, with the text of one line of its screen. Raises RefusedError where no key may be typed."""
        line = str(self._line)
        said = yield from self._run(
            *("display-message", "-p", "-t", self._pane, _STATE, ";"),
            *("list-clients", "-F", _CLIENT, ";"),
            *("display-message", "-p", _END, ";"),
            *("capture-pane", "-p", "-t", self._pane, "-S", line, "-E", line),
        )
        state, *others = said.split("\n")
        try:
            pid, mode, dead, column, cursor_line, tty = state.split(" ", 5)
            end = others.index(_END)
            pressed_s = max(map(int, others[:end]), default=0)
            found = _Look(others[end + 1], int(column), int(cursor_line))
            ancestor = int(pid)
        except (ValueError, IndexError):
            raise RefusedError(f"tmux says something unexpected: {said!r:.80}", is_lasting=True) from None
        if (mode, dead) != ("0", "0"):
            raise RefusedError("its pane is in a mode of tmux, such as copy mode")
        key_guards.check_agent(self._facts, tty, ancestor)
        if time.time() - pressed_s < key_guards.QUIET_S:
            raise RefusedError("a person has just pressed a key there")
        return found

    def _run(self, *words: str) -> Asks[str]:
        """What a command of tmux prints. Raises RefusedError where it fails."""
        ended = yield WakeCommand((*self._command, *words), {"LC_ALL": "C.UTF-8"})
        assert ended is not None  # noqa: S101 - a command has an end
        if ended.code != 0:
            why = ended.out.strip() or "it gave no answer in time"
            raise RefusedError(f"tmux can't reach its pane: {why}", is_lasting=ended.code is not None)
        return ended.out
