"""Figures: each from a few messages whose times are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.index.figures import _rank
from maestro_broker.index.orders import Scope
from support.indexed_mail import BEGAN_MS, decoded

if TYPE_CHECKING:
    from support.indexed_mail import IndexedMail

HOUR_MS = 3_600_000


def figures(mail: IndexedMail, scope: Scope | None = None, **fields: Any) -> dict[str, Any]:
    wanted = {"since": BEGAN_MS, "until": BEGAN_MS + HOUR_MS, "bucket_ms": HOUR_MS, **fields}
    return decoded(mail.order("analytics", scope, **wanted))


def test_nothing_was_sent(mail: IndexedMail) -> None:
    found = figures(mail)
    assert found["volume"] == {"sent": 0, "deliveries": 0, "fanOuts": 0}
    assert "deliverySuccessRate" not in found["outcome"]
    assert found["times"]["read"] == {"count": 0}
    assert found["series"] == [{"at": BEGAN_MS, "sent": 0, "deliveries": 0}]


def test_what_became_of_each(mail: IndexedMail) -> None:
    read = mail.send("ann", "bob", "read", type="request")
    mail.confirm("bob", read, "offered", via="hook:a")
    mail.confirm("bob", read, "read")
    mail.send("bob", "ann", "answer", in_reply_to=read, thread_id=read)
    expired = mail.send("ann", "bob", "expired", requires_response=True)
    mail.expire("bob", expired)
    deleted = mail.send("ann", "bob", "deleted")
    mail.delete("bob", deleted)
    mail.send("ann", ("bob", "cid"), "several", audience=("@workers",), refused=(("gus", "MAILBOX_FULL"),))
    mail.fail("ann", "gus", "failed", "RECEIVER_ENDED")
    mail.refuse("cid", "RATE_LIMITED", "m9")
    mail.refuse("cid", "FORBIDDEN")
    found = figures(mail)
    assert found["volume"] == {"sent": 5, "deliveries": 6, "fanOuts": 1}
    assert found["outcome"] == {
        "delivered": 1, "read": 1, "answered": 1, "pending": 3, "expired": 1, "deletedUnread": 1, "refused": 3,
        "deliverySuccessRate": pytest.approx(1 / 3),
    }  # fmt: skip
    assert found["times"]["offered"] == {"count": 1, "p50Ms": 1000, "p90Ms": 1000, "maxMs": 1000, "meanMs": 1000}
    assert found["times"]["answered"]["p50Ms"] == 3_000
    assert (found["requests"], found["requestsAnswered"]) == (2, 1)
    assert [each["text"] for each in found["unanswered"]] == ["expired"]
    assert found["routes"][0] == {"from": "ann", "to": "bob", "messages": 3, "deliveries": 3}
    assert {"from": "ann", "to": "@workers", "messages": 1, "deliveries": 2} in found["routes"]
    assert found["pairs"][0] == {"first": "ann", "second": "bob", "forth": 4, "back": 1, "meanAnswerMs": 3_000}
    assert found["via"] == [{"name": "hook:a", "count": 1}]
    assert {(each["name"], each["from"], each.get("to")) for each in found["refusals"]} == {
        ("MAILBOX_FULL", "ann", None), ("RECEIVER_ENDED", "ann", "gus"), ("RATE_LIMITED", "cid", None)
    }  # fmt: skip
    bob = next(each for each in found["sessions"] if each["session"] == "bob")
    assert bob == {"session": "bob", "sent": 1, "received": 4, "read": 1, "answered": 1, "requests": 2}


def test_only_what_the_caller_may_see(mail: IndexedMail) -> None:
    mail.send("ann", ("bob", "cid"), "several", audience=("bob", "cid"))
    mail.fail("ann", "gus", "failed", "RECEIVER_ENDED")
    mail.refuse("cid", "RATE_LIMITED", "m9")
    own = figures(mail, Scope("bob"))
    assert own["volume"] == {"sent": 1, "deliveries": 1, "fanOuts": 0}
    assert own["refusals"] == []
    assert [each["name"] for each in figures(mail, Scope("cid"))["refusals"]] == ["RATE_LIMITED"]
    shop = ("ann", "lead")
    assert [each["name"] for each in figures(mail, Scope("lead", shop))["refusals"]] == ["RECEIVER_ENDED"]
    assert [each["name"] for each in figures(mail, Scope(owner="cid"))["refusals"]] == ["RATE_LIMITED"]
    assert figures(mail, Scope(party_of=("cid",)))["volume"]["deliveries"] == 1
    assert [each["name"] for each in figures(mail, Scope(party_of=("cid",)))["refusals"]] == ["RATE_LIMITED"]


def test_bars_begin_with_the_callers_hours_and_days(mail: IndexedMail) -> None:
    mail.send("ann", "bob", "one")
    day_ms = 24 * HOUR_MS
    found = figures(mail, since=BEGAN_MS - day_ms, bucket_ms=day_ms, utc_offset_minutes=60)
    assert [(bar["at"] + HOUR_MS) % day_ms for bar in found["series"]] == [0, 0]
    assert [bar["sent"] for bar in found["series"]] == [0, 1]
    found = figures(mail, since=0)
    assert len(found["series"]) == 1, "a bar for each hour since 1970 would be too many"
    found = figures(mail, since=0, until=BEGAN_MS + 2_000 * HOUR_MS)
    assert len(found["series"]) == 1_000


def test_only_messages_of_the_time(mail: IndexedMail) -> None:
    for number in range(5):
        mail.send("ann", "bob", f"{number}")
    assert figures(mail, since=BEGAN_MS + 1_000, until=BEGAN_MS + 3_000)["volume"]["sent"] == 2


@pytest.mark.parametrize(
    ("values", "part", "rank"),
    [([5], 0.5, 5), ([1, 2], 0.5, 1), ([1, 2, 3], 0.5, 2), (list(range(1, 11)), 0.9, 9), ([1, 2], 0.9, 2)],
)
def test_the_nearest_rank(values: list[int], part: float, rank: int) -> None:
    assert _rank(values, part) == rank
