"""The list of what is known of the sessions: its pages, who sees how much mail waits, and what it reads from disk."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_broker.core.model.reads import Read
from maestro_schemas.limits import Limits
from maestro_schemas.requests import Identity, PresenceGet
from support.offices import Office, evict, refused


def office(**limits: int) -> Office:
    made = Office(Limits(**{"rate_limit": 0, **limits}))  # type: ignore[arg-type]
    made.start("ann", project_id="shop")
    made.start("bob", project_id="shop", name="Bob")
    return made


def lines(place: Office, who: str | None = None, **fields: Any) -> dict[str, Any]:
    reply = place.do(PresenceGet(who=Identity(who), **fields))
    return {line.session: line for line in reply.presence}


def test_the_operator_sees_all_of_the_active_sessions() -> None:
    place = office()
    place.start("eva")
    place.end("eva")
    sent = place.accept("ann", "bob", "m1")
    place.now_ms += 1_000
    place.accept("ann", "bob", "m2")
    found = lines(place)
    assert list(found) == ["ann", "bob"]
    bob = found["bob"]
    assert (bob.name, bob.role, bob.project_id, bob.state, bob.by) == ("Bob", "worker", "shop", "unknown", "broker")
    assert (bob.unread, bob.oldest_at) == (2, sent.created_at)
    assert (found["ann"].unread, found["ann"].oldest_at) == (0, None)


def test_a_session_that_is_named_may_have_ended() -> None:
    place = office()
    place.end("bob")
    assert lines(place, session="bob")["bob"].state == "ended"
    assert lines(place, session="Bob")["bob"].state == "ended"
    assert refused(place, PresenceGet(session="nowhere")).code == "SESSION_NOT_FOUND"


def test_how_much_mail_waits_is_shown_to_those_that_may_see_the_session() -> None:
    place = office()
    place.start("chief", role="orchestrator", project_id="shop")
    place.start("foreign", role="orchestrator", project_id="other")
    place.accept("ann", "bob", "m1")
    assert {who: lines(place, who)["bob"].unread for who in (None, "bob", "chief", "ann", "foreign")} == {
        None: 1,
        "bob": 1,
        "chief": 1,
        "ann": None,
        "foreign": None,
    }
    place.circumstances = {"is_limited": True}
    assert lines(place)["bob"].unread is None, "a key of another machine that is no operator's"


def test_projects_and_pages() -> None:
    place = office()
    place.start("zoe", project_id="web")
    assert list(lines(place, project_id="web")) == ["zoe"]
    first = place.do(PresenceGet(limit=2))
    assert ([line.session for line in first.presence], bool(first.next)) == (["ann", "bob"], True)
    second = place.do(PresenceGet(limit=2, after=first.next))
    assert ([line.session for line in second.presence], second.next) == (["zoe"], None)


@pytest.mark.parametrize("fields", [{"limit": 0}, {"after": "x"}, {"after": "1" * 16 + ".ann"}])
def test_a_wrong_page_is_refused(fields: dict[str, Any]) -> None:
    assert refused(office(), PresenceGet(**fields)).code == "INVALID"


def test_the_oldest_mail_of_a_mailbox_on_disk_is_read_once() -> None:
    place = office()
    # After a message that was read the checkpoint does not know which one is the oldest.
    place.accept("ann", "bob", "m0")
    sent = place.accept("ann", "bob", "m1")
    place.confirm("bob", "read", *place.named(["m0"]))
    place.file()
    place.make_checkpoint()
    place.crash()
    assert lines(place)["bob"].oldest_at == sent.created_at
    assert place.reads == [Read("pending", "bob", "")]
    evict(place.state.mailboxes["bob"], place.now_ms)
    assert not place.state.mailboxes["bob"].loaded
    assert lines(place)["bob"].oldest_at == sent.created_at
    assert place.reads == []
    assert lines(place, "ann")["bob"].oldest_at is None
    assert place.reads == [], "nothing is read for a caller that may not know it"


def test_a_page_ends_where_it_would_read_too_many_mailboxes() -> None:
    place = office()
    names = [f"s{number:02}" for number in range(20)]
    for name in names:
        place.now_ms += 1
        place.start(name, project_id="shop")
        place.accept("ann", name, f"first-{name}")
        place.accept("ann", name, f"to-{name}")
        place.confirm(name, "read", *place.named([f"first-{name}"]))
    place.file()
    place.make_checkpoint()
    place.crash()
    first = place.do(PresenceGet())
    assert len(place.reads) == 16
    assert first.presence[-1].session == "s15"
    second = place.do(PresenceGet(after=first.next))
    assert [line.session for line in second.presence] == names[16:]
    assert second.next is None
