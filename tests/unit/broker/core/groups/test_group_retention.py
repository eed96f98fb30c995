"""Group retention: a group without an active member goes after its project's retention."""

from __future__ import annotations

from maestro_broker.core import retention
from maestro_broker.core.groups import group_retention
from maestro_broker.core.model import records
from maestro_broker.core.model.records import GroupDeleted
from maestro_schemas.limits import Limits
from maestro_schemas.requests import GroupSet, Identity, SessionTouch
from support.offices import Office

DAY_MS = 24 * 3_600_000
KEEPS_MS = 7 * DAY_MS


def _office() -> Office:
    office = Office(Limits(rate_limit=0))
    for name in ("ann", "bob"):
        office.start(name)
    return office


def _make(office: Office, name: str, *members: str, project: str = "default") -> None:
    office.do(GroupSet(name=name, create=True, project_id=project, add=list(members)))


def _goes(office: Office, name: str) -> bool:
    found = retention.forget_group(office.state, office.policy, name, office.now_ms)
    office.commit()
    return found


def test_an_active_member_keeps_it() -> None:
    office = _office()
    _make(office, "reviews", "ann", "bob")
    office.end("ann")
    office.now_ms += 100 * DAY_MS
    assert not _goes(office, "reviews")


def test_it_goes_a_retention_after_the_last_sign_of_its_members() -> None:
    office = _office()
    _make(office, "reviews", "ann", "bob")
    office.end("ann")
    office.now_ms += DAY_MS
    office.end("bob")
    office.now_ms += KEEPS_MS - 1
    assert not _goes(office, "reviews")
    office.now_ms += 1
    assert _goes(office, "reviews")
    assert not _goes(office, "reviews"), "it is gone"
    assert records.decode(office.journal[-1]) == GroupDeleted(
        office.now_ms, "maestro", "reviews", "default", ("ann", "bob")
    )


def test_a_member_that_reads_after_its_end_keeps_it() -> None:
    office = _office()
    _make(office, "reviews", "ann")
    office.end("ann")
    office.now_ms += DAY_MS
    office.inbox("ann")
    office.now_ms += KEEPS_MS - 1
    assert not _goes(office, "reviews")
    office.now_ms += 1
    assert _goes(office, "reviews")


def test_an_empty_group_goes_a_retention_after_its_last_change() -> None:
    office = _office()
    _make(office, "reviews")
    office.now_ms += DAY_MS
    office.do(GroupSet(name="reviews", add=["ann"], who=Identity("ann")))
    office.do(GroupSet(name="reviews", remove=["ann"], who=Identity("ann")))
    office.now_ms += KEEPS_MS - 1
    office.do(SessionTouch(who=Identity("ann")))
    assert not _goes(office, "reviews")
    office.now_ms += 1
    assert _goes(office, "reviews")


def test_each_project_has_its_own_retention() -> None:
    office = _office()
    office.policy = retention.RetentionPolicy.of(office.limits, {"short": {"retention_ms": DAY_MS}})
    _make(office, "reviews")
    _make(office, "quick", project="short")
    office.now_ms += DAY_MS
    assert [_goes(office, name) for name in ("reviews", "quick")] == [False, True]


def test_a_member_whose_file_was_lost_keeps_nothing() -> None:
    office = _office()
    _make(office, "reviews", "ann")
    office.state.sessions.drop("ann")
    office.now_ms += KEEPS_MS
    assert _goes(office, "reviews")


def test_the_bytes_of_taking_out_a_session_are_known_before() -> None:
    office = _office()
    assert group_retention.record_bytes(office.state, "ann") == 0
    _make(office, "reviews", "ann", "bob")
    _make(office, "docs", "ann")
    _make(office, "others", "bob")
    promised = group_retention.record_bytes(office.state, "ann")
    before = len(office.journal)
    group_retention.take_out(office.state, "ann", office.now_ms)
    office.commit()
    written = office.journal[before:]
    assert len(written) == 2
    assert sum(map(len, written)) <= promised
    assert group_retention.record_bytes(office.state, "ann") == 0
