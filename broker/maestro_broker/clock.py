"""Clock: the broker's time.

Rule: it reads the wall clock once, at the start, and then CLOCK_BOOTTIME, which counts during suspend and cannot be
set. It is never behind the newest record. A jump of the wall clock moves no expiry and reorders nothing.
"""

from __future__ import annotations

import time

# macOS has no CLOCK_BOOTTIME; its monotonic clock stops during sleep, which only delays expiries.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock:
    """Milliseconds since the epoch, never going back."""

    def __init__(self, not_before_ms: int = 0) -> None:
        self._base_ms = max(time.time_ns() // 1_000_000, not_before_ms) - self._steady_ms()

    def now_ms(self) -> int:
        """The time now, in ms since the epoch."""
        return self._base_ms + self._steady_ms()

    def ahead_ms(self) -> int:
        """How far this clock is ahead of the system's, by which files have their times."""
        return self.now_ms() - time.time_ns() // 1_000_000

    @staticmethod
    def _steady_ms() -> int:
        return time.clock_gettime_ns(_STEADY) // 1_000_000
