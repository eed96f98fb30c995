"""Deadlines: which mailbox must be looked at when.

Rule: an entry may be early or stale, never late; who is woken looks for itself and sets the next one. Times are
milliseconds of the broker's clock, handed in.
"""

from __future__ import annotations

import heapq


class Deadlines:
    """A heap of (time, mailbox) with at most one live entry a mailbox."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._earliest: dict[str, int] = {}

    def set(self, mailbox: str, at_ms: int) -> None:
        """Wake for `mailbox` at `at_ms`, unless it is woken earlier anyway."""
        known = self._earliest.get(mailbox)
        if known is None or at_ms < known:
            self._earliest[mailbox] = at_ms
            heapq.heappush(self._heap, (at_ms, mailbox))

    def next_ms(self) -> int | None:
        """When the next one is due."""
        while self._heap and self._earliest.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # superseded by an earlier one that was popped
        return self._heap[0][0] if self._heap else None

    def due(self, now_ms: int, most: int) -> list[str]:
        """Up to `most` mailboxes whose time has come; they are forgotten here."""
        found: list[str] = []
        while len(found) < most and (at_ms := self.next_ms()) is not None and at_ms <= now_ms:
            _, mailbox = heapq.heappop(self._heap)
            del self._earliest[mailbox]
            found.append(mailbox)
        return found
