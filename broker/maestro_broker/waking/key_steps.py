"""Key steps: the steps of a wake by keys, in whatever terminal the agent is.

Rule: `key_guards` says what must hold. If a person is there, it is tried again for some minutes, and then given up:
the person's own prompt brings the mail. Enter comes only if the row has the words alone; else they stay, and the
outcome says so. After the words are typed nothing is tried again.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from . import key_guards
from .key_guards import RefusedError
from .steps import CommandEnd, WakeCommand, WakePause

if TYPE_CHECKING:
    from .steps import Steps, Wake, WakeOutcome

_T = TypeVar("_T")
Asks: TypeAlias = Generator[WakePause | WakeCommand, CommandEnd | None, _T]


class KeyTerminal(Protocol):
    """The place of the agent in its terminal. Each method raises RefusedError where no key may be typed."""

    def empty_prompt(self) -> Asks[str]:
        """What is before the cursor of an empty prompt that stays the same for a moment."""

    def row(self) -> Asks[str]:
        """The row of the prompt now."""

    def type(self, words: str) -> Asks[None]:
        """Type words."""

    def enter(self) -> Asks[None]:
        """Press Enter."""


def steps(wake: Wake, terminal: KeyTerminal) -> Steps:
    """Wake a session's agent by keys."""
    reason = ""
    for number in range(key_guards.TRIES):
        if number:
            yield WakePause(key_guards.AGAIN_S)
        if (needless := _needless(wake)) is not None:
            return needless
        try:
            before = yield from terminal.empty_prompt()
        except RefusedError as refused:
            if refused.is_lasting:
                return wake.failed(str(refused), is_lasting=True)
            reason = str(refused)
            continue
        if (needless := _needless(wake)) is not None:
            return needless
        if not wake.claim():
            return wake.void()
        try:
            yield from terminal.type(key_guards.WORDS)
            yield WakePause(key_guards.SETTLE_S)
            key_guards.check_typed((yield from terminal.row()), before)
            yield from terminal.enter()
        except RefusedError as refused:
            return wake.failed(str(refused), is_lasting=True)
        return wake.woken()
    return wake.failed(reason)


def _needless(wake: Wake) -> WakeOutcome | None:
    if wake.is_void:
        return wake.void()
    return wake.busy() if wake.is_busy else None
