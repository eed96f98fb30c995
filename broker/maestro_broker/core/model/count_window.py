"""Count window: how much was counted within the last minutes.

Rule: a sliding window of (time, count), exact, and at most as long as its limit. It is in memory only, so a restart
clears it (decision 9).
"""

from __future__ import annotations

from collections import deque


class CountWindow:
    """What was counted within the last `window_ms`."""

    __slots__ = ("_counted", "_window_ms", "total")

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._counted: deque[tuple[int, int]] = deque()
        # The sum of what the window holds.
        self.total = 0

    def wait_ms(self, now_ms: int, count: int, most: int) -> int:
        """How long until `count` more are within `most`; 0 if they are, and always 0 for a limit of 0.

        For more than `most` at once no wait helps: then it is the time until the window is empty, at least 1.
        """
        self._forget(now_ms)
        if not most or self.total + count <= most:
            return 0
        left = self.total
        wait_ms = 1
        for at_ms, counted in self._counted:
            wait_ms = at_ms + self._window_ms - now_ms
            left -= counted
            if left + count <= most:
                break
        return wait_ms

    def add(self, now_ms: int, count: int) -> None:
        """Count something that was accepted."""
        self._counted.append((now_ms, count))
        self.total += count

    def is_over(self, now_ms: int) -> bool:
        """Whether the window holds nothing any more."""
        self._forget(now_ms)
        return not self._counted

    def _forget(self, now_ms: int) -> None:
        counted = self._counted
        while counted and counted[0][0] <= now_ms - self._window_ms:
            self.total -= counted.popleft()[1]
