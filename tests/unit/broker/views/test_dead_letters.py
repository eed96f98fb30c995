"""Dead letters: the index, its pages, and retries."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import pytest

from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.records import Accepted, Expired
from maestro_broker.core.model.state import Change, State
from maestro_broker.views import dead_letters as index
from maestro_broker.views.spool import Spool
from maestro_broker.views.timeline import Timeline
from maestro_clients import dead_letters
from maestro_clients.outbox import outbox_files
from maestro_clients.protocol.callers import Caller
from maestro_schemas import names, outbox_entry
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Message
from maestro_schemas.requests import Dead

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_schemas.replies import DeadReply

DAY_MS = 86_400_000


class Desk:
    """A spool and an index on disk, with a state that has loaded nothing."""

    def __init__(self, root: str) -> None:
        self.spool = Spool(root, lambda _: None)
        self.index = Timeline(os.path.join(root, index.FOLDER))
        self.state = State(Limits(), Checkpoint())
        self.unfiled: deque[Change] = deque()

    def letter(self, number: int, sender: str = "ann", text: str = "x", status: Any = "expired") -> Message:
        return Message(
            id=f"m{number}", sender=sender, receiver="bob", text=text, status=status, seq=number, created_at=number
        )

    def expire(self, *numbers: int, sender: str = "ann", a_day: int = 0, files: bool = True) -> None:
        """Expiries as the spool writer writes them; with `a_day`, that number a day."""
        events = []
        for number in numbers:
            if files:
                self.spool.write_message(self.letter(number, sender))
            at = number // a_day * DAY_MS if a_day else 0
            events.append(_expiry(number, f"m{number}", sender, at))
        self.index.append(events)
        self.state.lsn = max(self.state.lsn, *numbers)

    def page(self, **request: Any) -> DeadReply:
        return index.page(self.state, self.spool, self.index, self.unfiled, Dead(**request), 0)

    def ids(self, **request: Any) -> list[str]:
        """The ids of all pages."""
        found: list[str] = []
        page = self.page(**request)
        while page.has_more:
            found += [message.id for message in page.messages]
            page = self.page(**{**request, "before": page.before})
        return found + [message.id for message in page.messages]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(str(tmp_path))


def test_newest_first_over_days_and_pages(desk: Desk) -> None:
    desk.expire(*range(1, 31), a_day=7)
    assert desk.ids(limit=4) == [f"m{number}" for number in range(30, 0, -1)]
    assert [message.id for message in desk.page(before=8).messages] == [f"m{number}" for number in range(7, 0, -1)]


def test_a_long_index_is_looked_at_in_pieces_and_from_where_the_last_ended(desk: Desk) -> None:
    """Also beyond the first 256 KiB of a day's file, where a search begins."""
    desk.expire(1)
    desk.expire(*range(2, 7_000), files=False)
    first = desk.page(limit=1)
    assert (first.messages, first.has_more) == ([], True)
    for before in (2, 3, 2_000, 5_000, 6_999):
        found = [event.lsn for event in desk.index.read_back(before)]
        assert found == list(range(before - 1, 0, -1))
    # A page reads a hundred files.
    calls, page = 1, first
    while page.has_more:
        calls, page = calls + 1, desk.page(limit=1, before=page.before)
    assert [message.id for message in page.messages] == ["m1"]
    assert calls == 70


def test_lines_of_others_are_passed_over_some_thousands_a_call(desk: Desk) -> None:
    desk.expire(1)
    desk.expire(*range(2, 7_000), sender="cyd", files=False)
    desk.state.sessions.put(_stored("ann"))
    page = desk.page(session="ann")
    assert (page.messages, page.has_more, page.before) == ([], True, 4_000)
    assert desk.ids(session="ann") == ["m1"]


def test_what_is_not_filed_yet_is_there_once(desk: Desk) -> None:
    """Expiries that are only in memory are listed; an index that has them too lists none twice."""
    desk.expire(1)
    for number in (2, 3):
        message = desk.letter(number, status="pending")
        desk.state.lsn += 1
        desk.state.apply(Accepted(message), message)
        desk.state.apply(Expired(message.id, "bob", "ann", message.seq, 0), desk.letter(number))
    desk.unfiled.extend(desk.state.take_changes())
    assert desk.ids() == ["m3", "m2", "m1"]
    desk.index.append(
        _expiry(change.lsn, change.record.id, "ann", 0)
        for change in desk.unfiled
        if isinstance(change.record, Expired)
    )
    assert desk.ids() == ["m3", "m2", "m1"]
    assert desk.ids(before=desk.unfiled[-1].lsn) == ["m2", "m1"]


def test_what_is_another_message_by_now_is_passed_over(desk: Desk) -> None:
    desk.expire(1, 2, 3, 4)
    desk.spool.remove_message("bob", "m1")
    desk.spool.write_message(desk.letter(2, "cyd"))
    desk.spool.write_message(desk.letter(3, status="pending"))
    assert desk.ids() == ["m4"]
    # Deleted, and the file still exists.
    desk.state.mailbox("bob").load([desk.letter(4)])
    desk.state.mailbox("bob").delete("m4", 9, (0, 0))
    assert desk.ids() == []


def test_a_page_is_no_larger_than_a_reply(desk: Desk) -> None:
    desk.state.limits = Limits(reply_bytes_max=65_536)
    desk.expire(*range(1, 31))
    page = desk.page()
    assert page.has_more
    assert len(desk.ids()) == 30


def test_nonsense_is_refused(desk: Desk) -> None:
    for request in ({"limit": 0}, {"before": 0}):
        with pytest.raises(MaestroError) as caught:
            desk.page(**request)
        assert caught.value.code == "INVALID"


def test_an_id_for_a_retry_follows_from_the_old_one() -> None:
    made = names.retry_id("m1", 1_000)
    assert made == names.retry_id("m1", 1_000)
    assert names.message_time_ms(made) == 1_000
    assert len({made, names.retry_id("m2", 1_000), names.retry_id(made, 1_000)}) == 3
    assert names.is_id(made)


def test_what_waits_in_the_outbox_is_not_dead(tmp_path: Path) -> None:
    data = str(tmp_path)
    outbox_files.queue(data, Caller("ann"), {"id": "m1", "to": "bob", "message": "x"}, 5)
    with pytest.raises(MaestroError) as caught:
        dead_letters.retry_of(cast("Any", None), data, "ann", "m1")
    assert caught.value.code == "STATUS_CONFLICT"
    assert dead_letters.refused(data, "ann") == []


def test_an_entry_that_is_no_message_is_listed(tmp_path: Path) -> None:
    entry = outbox_entry.OutboxEntry(5, "ann", None, {"id": "m1", "to": "bob", "message": "x"}, {"code": "INVALID"})
    path = tmp_path / "outbox" / "ann" / "1-m1.failed"
    path.parent.mkdir(parents=True)
    path.write_bytes(outbox_entry.encode(entry))
    assert dead_letters.refused(str(tmp_path), None) == [(str(path), entry)]


def _stored(session: str) -> Any:
    from maestro_schemas.sessions import Session, StoredSession

    found = Session(id=session, role="worker", project_id="default", status="idle", started_at=0, last_activity=0)
    return StoredSession(session=found, token_hash=None)


def _expiry(lsn: int, message_id: str, sender: str, at: int) -> Event:
    return Event(lsn=lsn, at=at, event="message.expired", id=message_id, sender=sender, receiver="bob", seq=lsn)
