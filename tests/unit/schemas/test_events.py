"""Events: whom they concern, and the documented names that they expand to."""

from __future__ import annotations

import typing

import msgspec
import pytest

from maestro_schemas import events
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event, EventName, Reader, expand, may_see, may_see_event, message_parties
from maestro_schemas.sessions import NeedsInput, SessionNote

PROJECTS = {"a": "shop", "b": "shop", "far": "office", "boss": "shop"}
BOSS = Reader("boss", "orchestrator", "shop")
NAMES: list[EventName] = list(typing.get_args(EventName))


def test_an_accepted_message_is_three_documented_events() -> None:
    event = Event(lsn=1, at=2, event="message.accepted", id="m", sender="sess_a", receiver="sess_b", seq=1)
    assert expand(event) == [
        ("message:created", "sess_b"),
        ("session:message_sent", "sess_a"),
        ("session:message_received", "sess_b"),
    ]


def test_a_reading_of_pending_mail_is_a_delivery_too() -> None:
    event = Event(lsn=1, at=2, event="message.read", id="m", sender="sess_a", receiver="sess_b", delivers=True)
    assert expand(event) == [
        ("message:delivered", "sess_b"),
        ("session:message_delivered", "sess_a"),
        ("message:read", "sess_b"),
        ("session:message_delivered", "sess_a"),
    ]
    assert expand(msgspec.structs.replace(event, delivers=False)) == [
        ("message:read", "sess_b"),
        ("session:message_delivered", "sess_a"),
    ]


def test_a_failed_message_is_an_event_of_its_sender() -> None:
    event = Event(lsn=1, at=2, event="message.failed", id="m", sender="sess_a", code="RECEIVER_NOT_FOUND")
    assert (expand(event), event.parties()) == ([("message:failed", "sess_a")], ("sess_a",))


def test_a_delivery_has_names_for_both_parties() -> None:
    event = Event(lsn=1, at=2, event="message.delivered", id="m", sender="sess_a", receiver="sess_b")
    assert expand(event) == [("message:delivered", "sess_b"), ("session:message_delivered", "sess_a")]


def test_a_command_is_a_prompt_too() -> None:
    event = Event(lsn=1, at=2, event="message.accepted", id="m", sender="a", receiver="b", type="command")
    assert expand(event)[-1] == ("session:prompt_send", "b")


WORKING = Event(lsn=1, at=2, event="session.changed", session="a", status="working", was="working")


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (Event(lsn=1, at=2, event="session.started", session="a", status="idle"), ["created", "started"]),
        (
            Event(lsn=1, at=2, event="session.started", session="a", status="idle", was="stopped"),
            ["status_changed", "updated", "started"],
        ),
        (WORKING, ["updated"]),
        # Of a record from before it was kept what the status was.
        (msgspec.structs.replace(WORKING, was=None), ["updated"]),
        (msgspec.structs.replace(WORKING, was="idle"), ["status_changed", "updated"]),
        (msgspec.structs.replace(WORKING, note=SessionNote("progress", "Half.", 1)), ["notify:progress", "updated"]),
        (msgspec.structs.replace(WORKING, note=SessionNote("error", "Oh.", 1)), ["updated"]),
        (msgspec.structs.replace(WORKING, needs_input=NeedsInput(active=True)), ["notify:needs_input", "updated"]),
        *(
            (
                Event(lsn=1, at=2, event="session.ended", session="a", status=status, was="idle"),
                [*notified, "status_changed", "updated", "ended"],
            )
            for status, notified in (
                ("completed", ["notify:session_completed"]),
                ("failed", ["notify:session_failed"]),
                ("stopped", []),
            )
        ),
        (Event(lsn=1, at=2, event="session.forgotten", session="a"), ["deleted"]),
    ],
)
def test_what_became_of_a_session(event: Event, names: list[str]) -> None:
    """The end comes last: a client that waits for it reads no further."""
    assert expand(event) == [(name if ":" in name else f"session:{name}", "a") for name in names]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_party_gets_no_name(name: EventName) -> None:
    assert expand(Event(lsn=1, at=2, event=name)) == []


def test_all_events_but_these_have_documented_names() -> None:
    silent = {
        name
        for name in NAMES
        if not expand(Event(lsn=1, at=2, event=name, sender="a", receiver="b", session="c", by="d"))
    }
    assert silent == {
        "message.offered",
        "message.refused",
        "head",
    }


GROUP_CHANGED = Event(
    lsn=1,
    at=2,
    event="group.changed",
    by="a",
    group="reviews",
    members=("b", "far"),
    joined=("far",),
    left=("gone",),
    project_id="shop",
)


def test_a_change_of_a_group_is_an_event_of_the_session_that_made_it() -> None:
    assert expand(GROUP_CHANGED) == [("group:changed", "a")]
    deleted = msgspec.structs.replace(GROUP_CHANGED, event="group.deleted", by="operator")
    assert expand(deleted) == [("group:deleted", "operator")]


@pytest.mark.parametrize(
    ("reader", "sees"),
    [
        (None, True),
        (Reader("a", "worker", "shop"), True),
        (Reader("b", "worker", "shop"), True),
        (Reader("far", "worker", "office"), True),
        (Reader("gone", "worker", "shop"), True),
        (Reader("c", "worker", "shop"), False),
        (BOSS, True),
        (Reader("chief", "orchestrator", "office"), False),
    ],
)
def test_who_sees_a_change_of_a_group(reader: Reader | None, sees: bool) -> None:
    """Its members, those that left, the session that changed it, and its project's orchestrators, wherever the
    members are."""
    assert may_see_event(reader, GROUP_CHANGED, PROJECTS.get) == sees
    assert GROUP_CHANGED.notified() == ("b", "far", "gone", "a")


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
