"""Orders of requests: who asks, what it may see, and whom the names mean."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_broker.index.orders import IndexOrder, Scope
from maestro_broker.server.searching.orders_of import order_of
from maestro_schemas.bodies.archive import Analytics, IndexRebuild, Search, Threads
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import SEARCH_HITS, SEARCH_HITS_MAX
from maestro_schemas.requests import GroupSet, Identity
from support.offices import Office

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 100 * DAY_MS


@pytest.fixture
def office() -> Office:
    made = Office()
    for session, role, project in (
        ("ann", "worker", "shop"), ("bob", "worker", "shop"), ("lead", "orchestrator", "shop"), ("zoe", "worker", "x")
    ):  # fmt: skip
        made.start(session, role=role, project_id=project, name=f"{session}-name")
    return made


def order(office: Office, request: Any) -> IndexOrder:
    return order_of(office.state, request, head=7, now_ms=NOW_MS)


def who(session: str | None) -> Identity:
    return Identity(session)


def test_what_a_caller_may_see(office: Office) -> None:
    scopes = {name: order(office, Search(query="", who=who(name))).scope for name in (None, "ann", "lead")}
    assert scopes == {None: Scope(), "ann": Scope("ann"), "lead": Scope("lead", ("ann", "bob", "lead"))}
    found = order(office, Threads(who=who("lead"), session="bob-name", project_id="x"))
    assert found.scope == Scope("lead", ("ann", "bob", "lead"), "bob", ("zoe",))
    assert order(office, Search(query="", who=who("ann"), session="ann")).scope == Scope("ann", (), "ann")


def test_whom_names_mean(office: Office) -> None:
    """Those of ended sessions too, and all of one name."""
    office.end("bob")
    office.start("bob2", role="worker", project_id="shop", name="bob-name")
    office.do(GroupSet(name="reviews", create=True, add=["ann"], who=who("ann")))

    def values(query: str, session: str | None = None) -> tuple[str, ...]:
        (part,) = order(office, Search(query=query, who=who(session))).parts
        return part.values

    assert set(values("from:bob-name")) == {"bob", "bob2"}
    assert values("from:bob") == ("bob",)
    assert values("with:me") == ("operator",)
    assert values("with:me", "ann") == ("ann",)
    assert values("from:maestro") == ("maestro",)
    assert values("from:operator") == ("operator",)
    assert values("to:@workers") == ("@workers",)
    assert values("group:reviews") == ("reviews",)
    assert set(values("project:shop")) == {"ann", "bob", "lead", "bob2"}
    assert values("type:request") == ("request",)


def test_limits_and_times(office: Office) -> None:
    assert order(office, Search(query="")).limit == SEARCH_HITS
    assert order(office, Search(query="", limit=10_000)).limit == SEARCH_HITS_MAX
    assert order(office, Threads(before=9)).before == 9
    found = order(office, Analytics())
    # With this millisecond, so that what has just been answered counts.
    assert (found.since, found.until, found.bucket_ms) == (NOW_MS + 1 - DAY_MS, NOW_MS + 1, HOUR_MS)
    assert order(office, Analytics(since=0)).bucket_ms == DAY_MS
    assert order(office, Analytics(since=0, bucket="hour")).bucket_ms == HOUR_MS
    assert order(office, Analytics(until=5)).since == 0
    assert order(office, IndexRebuild()) == IndexOrder("rebuild", 7)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Search(query="", limit=0), "INVALID"),
        (Search(query="", before=0), "INVALID"),
        (Search(query="", utc_offset_minutes=1_440), "INVALID"),
        (Analytics(since=9, until=9), "INVALID"),
        (Analytics(since=-1), "INVALID"),
        (Search(query="form:x"), "INVALID_QUERY"),
        (Search(query="from:none"), "SESSION_NOT_FOUND"),
        (Search(query="group:none"), "GROUP_NOT_FOUND"),
        (Search(query="", session="none"), "SESSION_NOT_FOUND"),
        (Search(query="", session="bob", who=Identity("ann")), "FORBIDDEN"),
        (Search(query="", who=Identity("gone")), "UNKNOWN_SESSION"),
    ],
)
def test_what_is_refused(office: Office, request_: Any, code: str) -> None:
    with pytest.raises(MaestroError) as caught:
        order(office, request_)
    assert caught.value.code == code
    assert caught.value.hint
