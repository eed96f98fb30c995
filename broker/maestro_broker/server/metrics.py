"""Tally: what the broker has done since it started, in numbers.

Rule: adding is a few additions and never an allocation that grows, since the main loop does it for every batch; what
costs more is done when somebody asks. Counters only rise, and begin at 0 with each start.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from maestro_broker.core.model.records import Accepted, Confirmed, Deleted, Expired
from maestro_schemas.replies import ItemsReply, SendReply

if TYPE_CHECKING:
    from maestro_broker.core.model.state import Change

# An fdatasync is 0.1 ms on a fast disk and tens on a slow one; what is above a second is trouble, whatever it is.
DURATION_BOUNDS_MS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1_000.0)
# A batch is whatever arrived during one commit: at most 512 requests of 256 messages.
RECORD_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0, 4_096.0, 16_384.0)
# Of the percentiles, which are about the last commits alone.
_DURATIONS_KEPT = 2_048


class Histogram:
    """Values by size; each counts in the first bucket whose bound is not below it, else in the one after the last."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """One value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def summary(self) -> dict[str, Any]:
        """`sum`; `bounds`, rising; `counts`, each bucket's own, one more than there are bounds."""
        return {"sum": round(self._sum, 3), "bounds": list(self._bounds), "counts": list(self._counts)}


class BrokerMetrics:
    """Counters of commits, of what became of messages, and of refusals."""

    def __init__(self) -> None:
        self._commits = 0
        self._last_ms: deque[float] = deque(maxlen=_DURATIONS_KEPT)
        self._durations = Histogram(DURATION_BOUNDS_MS)
        self._records = Histogram(RECORD_BOUNDS)
        self._messages = dict.fromkeys(("accepted", "offered", "delivered", "read", "deleted", "expired"), 0)
        self._refused: Counter[str] = Counter()

    def committed(self, changes: list[Change], duration_ms: float) -> None:
        """A batch became durable, and took so long."""
        self._commits += 1
        self._last_ms.append(duration_ms)
        self._durations.add(duration_ms)
        self._records.add(len(changes))
        counts = self._messages
        for change in changes:
            match change.record:
                case Accepted():
                    counts["accepted"] += 1
                case Confirmed(kind=kind, was=was):
                    counts[kind] += 1
                    # Whoever acknowledges what was never shown as delivered has been given it all the same.
                    if kind == "read" and was == "pending":
                        counts["delivered"] += 1
                case Deleted():
                    counts["deleted"] += 1
                case Expired():
                    counts["expired"] += 1

    def refused(self, code: str) -> None:
        """A whole request was refused."""
        self._refused[code] += 1

    def answered(self, reply: object) -> None:
        """A request was done; of its parts, some may have been refused."""
        if isinstance(reply, SendReply | ItemsReply):
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
