"""The records of sessions: each says what was before, so that its event is the same when it is read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_broker.core.model import records
from maestro_schemas.requests import Identity, SessionEnd, SessionRename, SessionTouch
from maestro_schemas.sessions import NeedsInput, SessionNote
from support.offices import Office

if TYPE_CHECKING:
    from maestro_schemas.events import Event

OWN = Identity("ann")


def said(office: Office, request: Any) -> Event:
    """The one event of a request's record, as the log has it."""
    before = len(office.journal)
    office.do(request)
    [body] = office.journal[before:]
    [event] = records.events(before + 1, records.decode(body))
    return event


def touch(**fields: Any) -> SessionTouch:
    return SessionTouch(who=OWN, **fields)


def test_an_event_says_what_its_change_is() -> None:
    office = Office()
    office.start("ann")
    [started] = records.events(1, records.decode(office.journal[-1]))
    assert (started.event, started.was, started.note, started.needs_input) == ("session.started", None, None, None)

    working = said(office, touch(status="working"))
    assert (working.was, working.status, working.note, working.needs_input) == ("idle", "working", None, None)

    note = SessionNote("progress", "Half of it.", 5)
    noted = said(office, touch(note=note))
    assert (noted.was, noted.status, noted.note) == ("working", "working", note)
    # Later changes add no line.
    assert said(office, SessionRename(who=OWN, name="anna")).note is None

    wants = NeedsInput(active=True, message="Which?", since=7)
    assert said(office, touch(needs_input=wants)).needs_input == wants
    assert said(office, touch(task_ids=["t"])).needs_input is None
    assert said(office, touch(needs_input=NeedsInput(active=False))).needs_input is None

    ended = said(office, SessionEnd(who=OWN, status="failed"))
    assert (ended.event, ended.was, ended.status) == ("session.ended", "working", "failed")
    office.start("ann")
    [again] = records.events(1, records.decode(office.journal[-1]))
    assert (again.event, again.was, again.status) == ("session.started", "failed", "idle")


def test_a_record_from_before_says_less() -> None:
    """What it does not have is absent in its event."""
    office = Office()
    office.start("ann")
    office.do(touch(note=SessionNote("progress", "Half of it.", 5)))
    record = records.decode(office.journal[-1])
    assert isinstance(record, records.SessionChanged)
    older = records.decode(records.encode(records.SessionChanged(record.at, record.change, record.stored)))
    event = records.event(1, older)
    assert (event.was, event.note, event.needs_input) == (None, None, None)
