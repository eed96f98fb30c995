"""Events: whom they concern, and the documented names that they expand to."""

from __future__ import annotations

import typing

import msgspec
import pytest

from maestro_schemas import events
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event, EventName, expand, may_see

NAMES: list[EventName] = list(typing.get_args(EventName))


def test_an_accepted_message_is_three_documented_events() -> None:
    event = Event(lsn=1, at=2, event="message.accepted", id="m", sender="sess_a", receiver="sess_b", seq=1)
    assert expand(event) == [
        ("message:created", "sess_b"),
        ("session:message_sent", "sess_a"),
        ("session:message_received", "sess_b"),
    ]


def test_a_delivery_has_names_for_both_parties() -> None:
    event = Event(lsn=1, at=2, event="message.delivered", id="m", sender="sess_a", receiver="sess_b")
    assert expand(event) == [("message:delivered", "sess_b"), ("session:message_delivered", "sess_a")]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_party_gets_no_name(name: EventName) -> None:
    assert expand(Event(lsn=1, at=2, event=name)) == []


def test_all_events_but_these_have_documented_names() -> None:
    silent = {
        name for name in NAMES if not expand(Event(lsn=1, at=2, event=name, sender="a", receiver="b", session="c"))
    }
    assert silent == {
        "message.offered",
        "message.refused",
        "session.changed",
        "session.forgotten",
        "group.changed",
        "group.deleted",
        "head",
    }


def test_who_may_see_an_event() -> None:
    sent = Event(lsn=1, at=2, event="message.accepted", sender="a", receiver="b")
    projects = {"a": "p1", "b": "p2"}

    def seen(session: str | None, role: str = "worker", project: str = "p1") -> bool:
        return may_see(sent, session, role, project, projects.get)

    assert [seen(None), seen("a"), seen("b"), seen("c")] == [True, True, True, False]
    assert [seen("c", "orchestrator", project) for project in ("p1", "p2", "p3")] == [True, True, False]
    refused = Event(lsn=1, at=2, event="message.refused", sender="maestro")
    assert not may_see(refused, "c", "orchestrator", "p1", projects.get)


def test_parties_are_named_once_and_the_receiver_first() -> None:
    assert Event(lsn=1, at=2, event="head").parties() == ()
    assert Event(lsn=1, at=2, event="message.read", sender="a", receiver="b").parties() == ("b", "a")
    assert Event(lsn=1, at=2, event="message.read", sender="a", receiver="a").parties() == ("a",)
    assert Event(lsn=1, at=2, event="session.ended", session="c").parties() == ("c",)


def test_what_is_absent_is_left_out() -> None:
    event = Event(lsn=1, at=2, event="head", receiver="b", seq=0)
    assert msgspec.to_builtins(event) == {"lsn": 1, "at": 2, "event": "head", "to": "b", "seq": 0}


def test_an_observer_can_read_what_a_newer_broker_adds() -> None:
    assert msgspec.convert({"lsn": 1, "at": 2, "event": "head", "colour": "red"}, Event).lsn == 1


def test_events_by_the_words_that_people_use() -> None:
    assert events.named(["expired", "Message:Read", " session.ended"]) == {
        "message.expired",
        "message.read",
        "session.ended",
    }
    assert events.named(["sent"]) == {"message.accepted"}
    assert events.named(["session"]) == {name for name in events.RECORDED if name.startswith("session.")}
    with pytest.raises(MaestroError, match="no event 'head'") as caught:
        events.named(["head"])
    assert "message.expired" in caught.value.hint
