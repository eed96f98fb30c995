"""The core's part of retention: expiry, notices to senders, forgotten sessions."""

from __future__ import annotations

from maestro_broker.core import retention
from maestro_broker.core.model.records import SessionForgotten
from maestro_schemas.limits import Limits
from maestro_schemas.names import SYSTEM_SENDER, mark_of
from maestro_schemas.requests import GetMessage, Inbox
from support.offices import Office, key_of, keys

DAY_MS = 86_400_000
KEPT = Limits(rate_limit=0, retention_ms=DAY_MS, ttl_ms_max=30 * DAY_MS, pending_max=1_000)


def _office() -> Office:
    office = Office(KEPT)
    for name in ("ann", "bob"):
        office.start(name)
    return office


def test_a_message_past_its_life_looks_expired_before_a_record_says_so() -> None:
    office = _office()
    office.accept("ann", "bob", "m1", ttl_ms=50)
    assert office.inbox("bob", lease_ms=1_000, reader="hook")[0].status == "pending"
    office.now_ms += 50
    assert office.inbox("bob", lease_ms=1_000, reader="hook") == []
    assert office.do(GetMessage(id="m1")).message.status == "expired"
    assert office.state.mailboxes["bob"].pending == 1


def test_a_sender_hears_once_a_turn_of_all_that_expired() -> None:
    office = _office()
    for number in range(30):
        office.accept("ann", "bob", f"m{number}", ttl_ms=50)
    office.now_ms += 50
    office.expire_due()
    [notice] = office.inbox("ann")
    expired = f"expired_{office.ids['m29']}_{mark_of('bob')}_{mark_of(SYSTEM_SENDER)}"
    assert (notice.sender, notice.id, notice.seq) == ("maestro", expired, 1)
    assert "30 messages of yours" in notice.text
    assert f"  {office.ids['m19']} to bob\n  and 10 more: `maestro message dead` lists them\n" in notice.text
    assert notice.text.endswith("To send one of them again: maestro message retry ID")
    assert "m20_" not in notice.text


def test_a_message_to_several_is_one_line_of_the_notice() -> None:
    office = _office()
    many = [f"x{number:02}" for number in range(30)]
    for name in many:
        office.start(name)
    sent = office.accept("ann", ["bob", *many], "m1", ttl_ms=50).id
    office.confirm("bob", "delivered", sent)
    office.now_ms += 50
    over = [each for name in many for each in retention.due(office.state, name, office.now_ms, 9)]
    retention.expire(office.state, over, office.now_ms)
    office.commit()
    [notice] = office.inbox("ann")
    assert notice.text.startswith("A message of yours expired before 30 of its 31 receivers confirmed it")
    assert f"  {sent} to bob, x00, x01, x02 (30 of 31): x00, x01" in notice.text
    assert "x19 and 10 more" in notice.text
    assert notice.text.endswith(f"To send it again: maestro message retry {sent}")


def test_an_ended_sender_gets_no_notice_and_a_notice_expires_without_another() -> None:
    office = _office()
    office.accept("ann", "bob", "m1", ttl_ms=50)
    office.accept("bob", "ann", "m2", ttl_ms=50)
    office.end("ann")
    office.now_ms += 50
    office.expire_due()
    assert office.state.mailboxes["ann"].head_seq == 1
    assert keys(office.inbox("bob")) == [f"expired_{office.ids['m2']}_{mark_of('ann')}"]
    office.file()
    office.now_ms += 2 * DAY_MS
    office.sweep()
    assert office.inbox("bob") == []
    assert office.state.mailboxes["bob"].head_seq == 2


def test_pending_mail_expires_and_goes_at_the_end_of_its_retention() -> None:
    office = _office()
    office.accept("ann", "bob", "m1")
    office.file()
    office.now_ms += DAY_MS - 1
    office.sweep()
    assert keys(office.inbox("bob")) == ["m1"]
    office.now_ms += 1
    office.sweep()
    assert office.inbox("bob") == []
    [notice] = office.inbox("ann")
    [expired] = office.named(["m1"])
    assert keys([notice]) == [f"expired_{expired}_{mark_of('bob')}"]
    assert notice.text.splitlines()[-1] == f"To send it again: maestro message retry {expired}"
    assert retention.overdue(office.state, office.policy, "bob", expired, office.now_ms) is None
    assert retention.overdue(office.state, office.policy, "absent", expired, office.now_ms) is None
    office.file()
    office.sweep()
    assert ("bob", expired) not in office.files
    assert office.send("ann", "bob", "m1").seq == 2


def test_an_expiry_does_not_prolong_the_retention() -> None:
    """Neither of mail with a life of its own, nor of mail whose life was the retention."""
    office = _office()
    office.accept("ann", "bob", "short", ttl_ms=5_000)
    office.accept("ann", "bob", "whole", ttl_ms=DAY_MS)
    office.now_ms += 5_000
    office.expire_due()
    office.file()
    office.now_ms += DAY_MS - 5_001
    office.sweep()
    assert {key_of(name) for owner, name in office.files if owner == "bob"} == {"short", "whole"}
    office.now_ms += 1
    office.expire_due()
    office.file()
    office.sweep()
    assert {key_of(name) for owner, name in office.files if owner == "bob"} == set()
    assert retention.Retention(7 * DAY_MS).expired_stays_ms == 21 * 3_600_000


def test_a_message_that_is_over_in_two_ways_expires_once() -> None:
    office = _office()
    office.accept("ann", "bob", "m1", ttl_ms=DAY_MS)
    office.accept("ann", "bob", "m2")
    office.now_ms += DAY_MS
    both = [
        retention.overdue(office.state, office.policy, "bob", name, office.now_ms)
        for name in office.named(["m1", "m2", "m2"])
    ]
    over = [*retention.due(office.state, "bob", office.now_ms, 256), *(found for found in both if found is not None)]
    assert keys(over) == ["m1", "m1", "m2", "m2"]
    retention.expire(office.state, over, office.now_ms)
    office.commit()
    assert office.state.mailboxes["bob"].pending == 0
    assert "2 messages of yours" in office.inbox("ann")[0].text


def test_each_project_has_its_retention() -> None:
    office = Office(KEPT)
    projects = {"short": {"retention_ms": 10}, "long": {"retention_ms": 9 * DAY_MS}}
    policy = retention.RetentionPolicy.of(KEPT, projects)
    office.start("ann", project_id="short")
    office.start("bob", project_id="other")
    assert [policy.keeps_ms(office.state, name) for name in ("ann", "bob", "none")] == [10, DAY_MS, DAY_MS]
    assert (policy.shortest_ms, policy.longest_ms) == (10, 9 * DAY_MS)


def test_mail_that_was_read_may_have_a_retention_of_its_own() -> None:
    """For the post office, for a project, and a project that wants none."""
    limits = Limits(retention_ms=7 * DAY_MS, read_retention_ms=DAY_MS)
    projects = {
        "days": {"retention_ms": 30 * DAY_MS},
        "soon": {"read_retention_ms": 5},
        "both": {"retention_ms": 9, "read_retention_ms": 40 * DAY_MS},
    }
    policy = retention.RetentionPolicy.of(limits, projects)
    found = {name: (each.keeps_ms, each.read_ms) for name, each in policy.by_project.items()}
    assert (policy.default.keeps_ms, policy.default.read_ms) == (7 * DAY_MS, DAY_MS)
    assert found == {
        "days": (30 * DAY_MS, 30 * DAY_MS),
        "soon": (7 * DAY_MS, 5),
        "both": (9, 40 * DAY_MS),
    }
    assert (policy.shortest_ms, policy.longest_ms) == (5, 40 * DAY_MS)


def test_read_mail_goes_a_day_after_it_was_read_and_the_rest_with_the_retention() -> None:
    office = Office(Limits(rate_limit=0, retention_ms=7 * DAY_MS, read_retention_ms=DAY_MS))
    for name in ("ann", "bob"):
        office.start(name)
    for name in ("read", "delivered", "pending"):
        office.accept("ann", "bob", name)
    office.confirm("bob", "delivered", "delivered")
    office.now_ms += 3 * DAY_MS
    office.confirm("bob", "read", "read")
    office.file()
    office.now_ms += DAY_MS - 1
    office.sweep()
    assert len(office.files) == 3
    office.now_ms += 1
    office.sweep()
    assert sorted(key_of(name) for _, name in office.files) == ["delivered", "pending"]
    office.now_ms += 3 * DAY_MS
    office.sweep()
    assert sorted(key_of(name) for _, name in office.files) == ["pending"], "and it expires now"


def test_a_forgotten_session_starts_from_nothing_wherever_the_broker_was_killed() -> None:
    for file_before, checkpoint in ((True, True), (True, False), (False, False)):
        office = _office()
        office.accept("ann", "bob", "m1")
        office.confirm("bob", "read", "m1")
        office.file()
        office.end("bob")
        office.file()
        assert office.sweep() == []
        office.now_ms += DAY_MS
        assert office.sweep() == ["bob"]
        if file_before:
            office.file(tell=False)
        if checkpoint:
            office.make_checkpoint()
        office.crash()
        assert office.state.sessions.get("bob") is None
        assert "bob" not in office.state.mailboxes
        office.file()
        office.make_checkpoint()
        office.crash()
        assert "bob" not in office.heads.mailboxes
        assert "bob" not in office.session_files
        office.start("bob")
        assert office.do(Inbox(session="bob")).head_seq == 0
        assert office.accept("ann", "bob", "m9").seq == 1


def test_what_is_not_forgotten() -> None:
    office = _office()
    state = office.state
    assert not retention.forget(state, office.policy, "absent", office.now_ms)
    assert not retention.forget(state, office.policy, "bob", office.now_ms + 9 * DAY_MS), "it is active"
    office.accept("ann", "bob", "m1")
    office.end("bob")
    assert not retention.forget(state, office.policy, "bob", office.now_ms), "it has just ended"
    assert not retention.forget(state, office.policy, "bob", office.now_ms + 9 * DAY_MS), "it has mail"
    del state.mailboxes["bob"]
    assert retention.forget(state, office.policy, "bob", office.now_ms + 9 * DAY_MS)
    assert retention.due(state, "bob", office.now_ms, 1) == []
    assert isinstance(state.take_changes()[-1].record, SessionForgotten)
