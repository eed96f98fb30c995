"""What the broker counts."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_broker.core.model.records import Accepted, Confirmed, Deleted, Expired, Record, Refused
from maestro_broker.core.model.state import Change
from maestro_broker.server.metrics import DURATION_BOUNDS_MS, BrokerMetrics, Histogram
from maestro_schemas.messages import Message
from maestro_schemas.replies import ItemResult, ItemsReply, SendReply, SendResult

MESSAGE = Message(id="m", sender="a", receiver="b", text="x", status="pending", seq=1, created_at=1)


def confirmed(kind: Any, was: Any = "pending") -> Confirmed:
    """A step of that message."""
    return Confirmed("m", "b", "a", 1, kind, 2, was)


def batch(*records: Record) -> list[Change]:
    """Records as the daemon has committed them."""
    return [Change(lsn, record, None) for lsn, record in enumerate(records, 1)]


def test_percentiles_of_the_last_commits_and_the_count_of_all() -> None:
    metrics = BrokerMetrics()
    assert metrics.commits().keys() == {"count", "durationMs", "records"}
    assert metrics.commits()["count"] == 0
    for number in range(3_000):
        metrics.committed(batch(Accepted(MESSAGE)), number / 1000)
    found = metrics.commits()
    assert (found["count"], found["p50Ms"], found["p99Ms"]) == (3_000, 1.976, 2.979)
    assert found["records"]["sum"] == 3_000
    assert found["records"]["counts"][0] == 3_000
    assert found["durationMs"]["sum"] == pytest.approx(4_498.5)
    assert sum(found["durationMs"]["counts"]) == 3_000


def test_a_histogram_counts_a_bound_below_itself_and_what_is_above_all() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0, 1, 1.5, 2, 2.1, 1e9):
        histogram.add(value)
    assert histogram.summary() == {"sum": 1_000_000_006.6, "bounds": [1.0, 2.0], "counts": [2, 2, 2]}
    assert list(DURATION_BOUNDS_MS) == sorted(DURATION_BOUNDS_MS)


def test_what_became_of_messages() -> None:
    """Read without delivered counts as both; a refusal is no message."""
    metrics = BrokerMetrics()
    metrics.committed(
        batch(
            Accepted(MESSAGE),
            confirmed("offered"),
            confirmed("delivered"),
            confirmed("read", "delivered"),
            confirmed("read"),
            Deleted("m", "b", "a", 1, 2, "b", "read"),
            Expired("m", "b", "a", 1, 2),
            Refused(1, "RATE_LIMITED"),
        ),
        1.0,
    )
    assert metrics.messages() == {
        "accepted": 1,
        "offered": 1,
        "delivered": 2,
        "read": 2,
        "deleted": 1,
        "expired": 1,
    }


def test_refusals_by_code_of_requests_and_of_their_parts() -> None:
    """The most frequent first."""
    metrics = BrokerMetrics()
    metrics.refused("FORBIDDEN")
    error = {"code": "RATE_LIMITED", "message": "x"}
    metrics.answered(SendReply([SendResult(id="m", status=201), SendResult(id="n", status=429, error=error)]))
    metrics.answered(ItemsReply([ItemResult(id="m", status=200), ItemResult(id="n", status=429, error=error)]))
    metrics.answered(None)
    assert list(metrics.refusals().items()) == [("RATE_LIMITED", 2), ("FORBIDDEN", 1)]
