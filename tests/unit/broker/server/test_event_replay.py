"""Reports: a replay of events is whole and in order, however far the spool writer is, and cheap for many clients."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import pytest

from maestro_broker.core.model import records
from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.state import Change, State
from maestro_broker.server import event_replay
from maestro_broker.views.timeline import Timeline
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits
from maestro_schemas.requests import Events

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_schemas.replies import EventsReply

AT_MS = 1_770_536_761_607


def _changes(first: int, last: int) -> list[Change]:
    return [
        Change(lsn, records.Refused(at=AT_MS + lsn, code="RATE_LIMITED", session="sess_a"), None)
        for lsn in range(first, last + 1)
    ]


def _timeline(directory: Path, last: int) -> Timeline:
    timeline = Timeline(str(directory))
    timeline.append(records.event(change.lsn, change.record) for change in _changes(1, last))
    return timeline


def _replay(
    timeline: Timeline, unfiled: deque[Change], after: int, head: int, limit: int | None = None
) -> EventsReply:
    request = Events(after=after, limit=limit)
    return event_replay.events(
        State(Limits(timeline_reply_max=5_000), Checkpoint()), timeline, unfiled, request, None, head
    )


@pytest.mark.parametrize(("filed", "unfiled_from"), [(0, 1), (40, 41), (40, 21), (100, 101), (100, 100), (60, 1)])
@pytest.mark.parametrize("is_new", [False, True])
def test_a_replay_is_whole_wherever_the_filer_stands(
    tmp_path: Path, filed: int, unfiled_from: int, is_new: bool
) -> None:
    """The timeline may be ahead of what the backlog released. `is_new`: after a start, with nothing in memory."""
    timeline = _timeline(tmp_path, filed)
    if is_new:
        timeline.close()
        timeline = Timeline(str(tmp_path))
    unfiled = deque(_changes(unfiled_from, 100))
    for after in range(101):
        reply = _replay(timeline, unfiled, after, 100)
        assert [event.lsn for event in reply.events] == list(range(after + 1, 101))
        assert (reply.up_to, reply.head, reply.has_more) == (100, 100, False)
    newest = _replay(timeline, unfiled, -1, 100, limit=30)
    assert [event.lsn for event in newest.events] == list(range(71, 101))
    with pytest.raises(MaestroError) as refusal:
        _replay(timeline, unfiled, 101, 100)
    assert refusal.value.code == "CURSOR_AHEAD"
    timeline.close()


def test_pages_of_a_long_backlog_join(tmp_path: Path) -> None:
    timeline = _timeline(tmp_path, 1_000)
    head = 21_000
    unfiled = deque(_changes(1_001, head))
    found: list[int] = []
    after, has_more = 0, True
    while has_more:
        reply = _replay(timeline, unfiled, after, head)
        found += [event.lsn for event in reply.events]
        after, has_more = reply.up_to, reply.has_more
    assert found == list(range(1, head + 1))
    timeline.close()


def test_a_read_near_the_head_does_not_go_through_the_backlog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeline = _timeline(tmp_path, 1_000)
    head = 101_000
    unfiled = deque(_changes(1_001, head))
    looked: list[int] = []
    event_of = records.event

    def counted(lsn: int, record: records.Record) -> object:
        looked.append(lsn)
        return event_of(lsn, record)

    monkeypatch.setattr(records, "event", counted)
    monkeypatch.setattr(timeline, "read", lambda _after: pytest.fail("the backlog has it all"))
    assert [event.lsn for event in _replay(timeline, unfiled, head - 3, head).events] == [head - 2, head - 1, head]
    assert looked == [head - 2, head - 1, head]
    timeline.close()
