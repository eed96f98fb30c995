"""Wake steps: what one wake is about, and the steps in which a way of waking asks the waker to act.

Rule: a way of waking (`codex_queue`) is a generator. It yields a `WakePause`, or a `WakeCommand` whose `CommandEnd`
it gets back, and returns a `WakeOutcome`. It starts nothing and waits for nothing, so one thread serves many.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from maestro_runtime import hook_state
from maestro_schemas.texts.waking import WAKE_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_runtime.wake_facts import WakeFacts

# The content of a wake file where the sign "at work" is too old to count.
_ANY = b"any"
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class WakeOutcome(NamedTuple):
    """What became of one wake."""

    session: str
    by: str
    # `woken`: the agent has its notice. `busy`: it is at work by itself, and the wake file is still there. `void`:
    # the wake file is gone, or another has claimed it. `failed`: `reason` says why; the wake file is gone.
    result: Literal["woken", "busy", "void", "failed"]
    # For people, one line without an end.
    reason: str | None = None
    # Of a failure: nothing will change before the agent starts again.
    is_lasting: bool = False


class WakePause(NamedTuple):
    """Go on after this time."""

    for_s: float


class WakeCommand(NamedTuple):
    """Run a program; no shell reads the words. Its standard input is empty."""

    words: tuple[str, ...]
    # All of its environment, beside PATH and HOME.
    environ: Mapping[str, str]


class CommandEnd(NamedTuple):
    """What became of a command."""

    # None: it took too long and was killed.
    code: int | None
    # The end of what it printed, standard error included.
    out: str


Steps: TypeAlias = Generator[WakePause | WakeCommand, CommandEnd | None, WakeOutcome]


class Wake:
    """One wake that is due."""

    def __init__(self, data: str, session: str, facts: WakeFacts) -> None:
        self.data = data
        self.session = session
        self.facts = facts
        self._file = os.path.join(data, "messages", "by-receiver", session, WAKE_FILE)
        self._state = hook_state.path(data, session)

    @property
    def is_void(self) -> bool:
        """Whether the broker has taken the wake back, or another has claimed it."""
        return self._content() is None

    @property
    def is_at_work(self) -> bool:
        """Whether the agent's last sign says that a turn has begun and not ended."""
        sign = hook_state.read(self._state)
        return sign is not None and sign.state in ("working", "waiting")

    @property
    def is_busy(self) -> bool:
        """Whether the agent is at work, by a sign that still counts: the hooks of that turn bring the mail."""
        return self.is_at_work and self._content() != _ANY

    def claim(self) -> bool:
        """Take the wake. Exactly one of all that try succeeds."""
        try:
            os.unlink(self._file)
        except OSError:
            return False
        return True

    def woken(self) -> WakeOutcome:
        """The outcome of a wake that was carried out."""
        return WakeOutcome(self.session, self.facts.by, "woken")

    def busy(self) -> WakeOutcome:
        """The outcome where the agent works by itself."""
        return WakeOutcome(self.session, self.facts.by, "busy")

    def void(self) -> WakeOutcome:
        """The outcome where there is nothing to do any more."""
        return WakeOutcome(self.session, self.facts.by, "void")

    def failed(self, reason: str, *, is_lasting: bool = False) -> WakeOutcome:
        """The outcome of a wake that can't be carried out. The wake file goes, since it would wake no agent."""
        self.claim()
        return WakeOutcome(self.session, self.facts.by, "failed", reason, is_lasting)

    def _content(self) -> bytes | None:
        try:
            descriptor = os.open(self._file, _FLAGS)
        except OSError:
            return None
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return os.read(descriptor, len(_ANY) + 1).strip() if is_file else None
        except OSError:
            return None
        finally:
            os.close(descriptor)
