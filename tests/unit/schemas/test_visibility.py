"""The rule of who sees what, by itself."""

from __future__ import annotations

from maestro_schemas.events import Event
from maestro_schemas.visibility import Reader, may_see, may_see_event, message_parties

PROJECTS = {"a": "shop", "b": "shop", "far": "office", "boss": "shop"}
BOSS = Reader("boss", "orchestrator", "shop")


def test_parties_see_it_and_other_workers_do_not() -> None:
    seen = [may_see(Reader(name, "worker", "shop"), ("a", "b"), PROJECTS.get) for name in ("a", "b", "c")]
    assert seen == [True, True, False]


def test_an_orchestrator_sees_what_has_both_ends_in_its_project() -> None:
    assert may_see(BOSS, ("a", "b"), PROJECTS.get)
    assert not may_see(BOSS, ("a", "far"), PROJECTS.get)
    assert not may_see(BOSS, ("far", "a"), PROJECTS.get)
    assert may_see(BOSS, ("boss", "far"), PROJECTS.get), "it is a party"


def test_an_unknown_or_missing_party_is_in_no_project() -> None:
    """The post office itself, a session that was forgotten, and an event of no session."""
    assert not may_see(BOSS, ("maestro", "a"), PROJECTS.get)
    assert not may_see(BOSS, ("a", "gone"), PROJECTS.get)
    assert not may_see(BOSS, (), PROJECTS.get)


def test_the_operator_sees_all() -> None:
    assert may_see(None, ("far", "gone"), PROJECTS.get)
    assert may_see(None, (), PROJECTS.get)


def test_an_event_of_a_session_is_of_the_project_that_it_had_then() -> None:
    """Also after the session moved, or was forgotten."""
    moved = Event(lsn=1, at=2, event="session.started", session="far", project_id="shop")
    gone = Event(lsn=1, at=2, event="session.forgotten", session="gone", project_id="shop")
    assert may_see_event(BOSS, moved, PROJECTS.get)
    assert may_see_event(BOSS, gone, PROJECTS.get)
    assert not may_see_event(Reader("chief", "orchestrator", "office"), moved, PROJECTS.get)
    assert may_see_event(Reader("far", "worker", "office"), moved, PROJECTS.get)
    sent = Event(lsn=1, at=2, event="message.accepted", sender="a", receiver="b")
    assert may_see_event(BOSS, sent, PROJECTS.get)


def test_a_refused_message_concerns_its_sender_alone() -> None:
    assert message_parties("a", "b", "failed") == ("a",)
    assert message_parties("a", "b", "expired") == ("a", "b")
