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
        # In nanoseconds, and the steady clock first: rounded times, or times read in the other order, would let this
        # clock be a millisecond behind the wall clock.
        steady_ns = time.clock_gettime_ns(_STEADY)
        self._base_ns = max(time.time_ns(), not_before_ms * 1_000_000) - steady_ns

    def now_ms(self) -> int:
        """The time now, in ms since the epoch."""
        return (self._base_ns + time.clock_gettime_ns(_STEADY)) // 1_000_000

    def ahead_ms(self) -> int:
        """How far this clock is ahead of the system's, by which files have their times."""
        return self.now_ms() - time.time_ns() // 1_000_000
