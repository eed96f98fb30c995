"""Metrics: counters of the broker's work since its start.

Rule: counting is a few additions and allocates nothing that grows, because the main loop does it for every batch.
Summaries are computed on request. Counters only rise, and are 0 after each start.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from maestro_broker.core.model.records import Accepted, Confirmed, Deleted, Expired
from maestro_schemas.replies import ItemsReply, SendReply

if TYPE_CHECKING:
    from maestro_broker.core.model.records import Record
    from maestro_broker.core.model.state import Change

# An fdatasync takes 0.1 ms on a fast disk and tens of ms on a slow one. Above one second the size does not matter.
DURATION_BOUNDS_MS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1_000.0)
# A batch is what arrived during one commit: at most 512 requests of 256 messages.
RECORD_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0, 4_096.0, 16_384.0)
# The percentiles are those of the last commits only.
_DURATIONS_KEPT = 2_048

# Made once: `A | B` in the test below would make a new union for each answer.
_OF_PARTS = (SendReply, ItemsReply)


class Histogram:
    """Values by size. A value counts in the first bucket whose bound is not below it, else in the one after it."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def summary(self) -> dict[str, Any]:
        """`sum`; `bounds`, rising; `counts`, each bucket's own, one more than there are bounds."""
        return {"sum": round(self._sum, 3), "bounds": list(self._bounds), "counts": list(self._counts)}


class BrokerMetrics:
    """Counters of commits, of messages by outcome, and of refusals."""

    def __init__(self) -> None:
        self._commits = 0
        self._last_ms: deque[float] = deque(maxlen=_DURATIONS_KEPT)
        self._durations = Histogram(DURATION_BOUNDS_MS)
        self._records = Histogram(RECORD_BOUNDS)
        self._messages = dict.fromkeys(("accepted", "offered", "delivered", "read", "deleted", "expired"), 0)
        self._refused: Counter[str] = Counter()

    def committed(self, changes: list[Change], duration_ms: float) -> None:
        """Count a durable batch."""
        self._commits += 1
        self._last_ms.append(duration_ms)
        self._durations.add(duration_ms)
        self._records.add(len(changes))
        accepted = 0
        for change in changes:
            if type(change.record) is Accepted:  # as nearly all are
                accepted += 1 + len(change.more)
            else:
                self._count(change.record)
        self._messages["accepted"] += accepted

    def _count(self, record: Record) -> None:
        counts = self._messages
        match record:
            case Confirmed(kind=kind, was=was):
                counts[kind] += 1
                # A message that is confirmed as read at once was delivered too.
                if kind == "read" and was == "pending":
                    counts["delivered"] += 1
            case Deleted():
                counts["deleted"] += 1
            case Expired():
                counts["expired"] += 1

    def refused(self, code: str) -> None:
        """Count a refused request."""
        self._refused[code] += 1

    def answered(self, reply: object) -> None:
        """Count the refused parts of an answered request."""
        if isinstance(reply, _OF_PARTS):
            for result in reply.results:
                if isinstance(result.error, dict):
                    self._refused[result.error["code"]] += 1

    def messages(self) -> dict[str, int]:
        """How many messages were `accepted`, `offered`, `delivered`, `read`, `deleted`, `expired`."""
        return dict(self._messages)

    def refusals(self) -> dict[str, int]:
        """How many requests, or parts of them, were refused, by code; the most frequent first."""
        return dict(self._refused.most_common())

    def commits(self) -> dict[str, Any]:
        """`count` of all; `p50Ms` and `p99Ms` of the last 2,048; the histograms `durationMs` and `records` of all."""
        found: dict[str, Any] = {"count": self._commits}
        ordered = sorted(self._last_ms)
        if ordered:
            found["p50Ms"] = round(ordered[len(ordered) // 2], 3)
            found["p99Ms"] = round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3)
        return {**found, "durationMs": self._durations.summary(), "records": self._records.summary()}
