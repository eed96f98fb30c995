"""Waker: the one thread that wakes the agents of all sessions which a command has to wake.

Rule: the loop decides that a wake is due, and makes the wake file; the waker carries it out. The loop's interface:

- `wake(session, by)` hands a wake over and returns at once. `by` is the session's `wakeBy`. A second call for the
  same session, before the outcome of the first, changes nothing. Each wake has exactly one outcome.
- `fd` is for the loop's poller: it is readable when there are outcomes. `outcomes()` returns and forgets them. None
  where the system has no such descriptor (macOS); then each wake fails with a reason.
- `forget(session)` removes what is known about the wakes of a session that has ended.
- `close()` ends the running commands and the thread, within a bound.

The ways of waking that it knows are in `WAYS`. A wake by another name (`claude-code:FileChanged`, `opencode:plugin`)
is carried out by the client itself, and must not be handed over.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from maestro_schemas.texts import waking

from .steps import WakeOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

# By the name of what wakes: all that this thread carries out.
WAYS: Final = frozenset({waking.CODEX, waking.QWEN_CODE, waking.TMUX, waking.ZELLIJ})


class Waker:
    """Carries out wakes."""

    def __init__(self, data: str, environ: Mapping[str, str]) -> None:
        self._data = data
        self._environ = environ
        self._outcomes: deque[WakeOutcome] = deque()
        self.fd: int | None = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) if hasattr(os, "eventfd") else None

    def wake(self, session: str, by: str) -> None:
        """Have a session's agent woken; its wake file is there."""
        self._outcomes.append(WakeOutcome(session, by, "failed", "this way of waking is not there yet"))
        if self.fd is not None:
            os.eventfd_write(self.fd, 1)

    def outcomes(self) -> list[WakeOutcome]:
        """What became of wakes since the last call."""
        found = list(self._outcomes)
        self._outcomes.clear()
        return found

    def forget(self, session: str) -> None:
        """Remove what is known about the wakes of a session that has ended."""

    def stats(self) -> dict[str, Any]:
        """For `maestro status`."""
        return {}

    def close(self) -> None:
        """End the running commands and the thread."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
