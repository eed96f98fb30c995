"""Deadlines: when each mailbox must be checked for expired mail.

Rule: a deadline may be early or obsolete, but never late. The check sets the next deadline. Times are milliseconds of
the broker's clock, passed as arguments.
"""

from __future__ import annotations

import heapq


class Deadlines:
    """A heap of (time, mailbox) with at most one valid entry per mailbox."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._earliest: dict[str, int] = {}

    def set(self, mailbox: str, at_ms: int) -> None:
        """Have `mailbox` checked at `at_ms`, unless an earlier deadline is set."""
        known = self._earliest.get(mailbox)
        if known is None or at_ms < known:
            self._earliest[mailbox] = at_ms
            heapq.heappush(self._heap, (at_ms, mailbox))

    def next_ms(self) -> int | None:
        """The time of the next deadline."""
        while self._heap and self._earliest.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # an earlier deadline of the mailbox has replaced it
        return self._heap[0][0] if self._heap else None

    def due(self, now_ms: int, most: int) -> list[str]:
        """Up to `most` mailboxes whose deadline has come; removes these deadlines."""
        found: list[str] = []
        while len(found) < most and (at_ms := self.next_ms()) is not None and at_ms <= now_ms:
            _, mailbox = heapq.heappop(self._heap)
            del self._earliest[mailbox]
            found.append(mailbox)
        return found
