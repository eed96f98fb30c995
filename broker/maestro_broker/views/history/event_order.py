"""Event order: the timeline and the records that are not filed yet, as one sequence.

Rule: a record that is not filed yet is taken from memory, since the timeline may have only a part of its lines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from maestro_broker.core.model import records
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator

    from maestro_broker.core.model.state import Change
    from maestro_broker.views.timeline import Timeline
    from maestro_schemas.events import Event

_lsn_of = attrgetter("lsn")


def forward(timeline: Timeline, unfiled: deque[Change], after: int, most: int) -> Iterator[Event]:
    """The events with an LSN above `after`, oldest first; of the records in memory, those of the first `most`."""
    last = after
    if not unfiled or unfiled[0].lsn > after + 1:
        for event in timeline.read(after):
            if unfiled and event.lsn >= unfiled[0].lsn:
                break
            last = event.lsn
            yield event
    for change in _above(unfiled, last, most):
        yield from records.events(change.lsn, change.record)


def check_cursor(timeline: Timeline, after: int, named: int) -> None:
    """Raises MaestroError CURSOR_EXPIRED if a line above `after` was removed; `named`: the cursor in the request."""
    first = timeline.begins_after(after)
    if first is not None:
        raise MaestroError(
            "CURSOR_EXPIRED",
            f"the timeline begins at LSN {first}, so what came after {named} is not all there",
            f"Replay from {first - 1}, and read the mailboxes for what is older.",
            limit=first - 1,
            actual=named,
            details={"oldest": first - 1},
        )


def back(timeline: Timeline, unfiled: deque[Change]) -> Iterator[Event]:
    """All events, newest first."""
    last: int | None = None
    for change in reversed(unfiled):
        last = change.lsn
        yield from reversed(records.events(change.lsn, change.record))
    for event in timeline.read_back():
        if last is None or event.lsn < last:
            yield event


def below(unfiled: deque[Change], lsn: int) -> Iterator[Change]:
    """The changes below `lsn`, newest first, without a look at each one above."""
    size = len(unfiled)
    return islice(reversed(unfiled), size - bisect_left(unfiled, lsn, key=_lsn_of), None)


def _above(unfiled: deque[Change], lsn: int, most: int) -> Iterator[Change]:
    """The changes above `lsn`, oldest first, without a look at each one below: the queue may be long, and a client
    that follows the newest events asks often."""
    size = len(unfiled)
    start = bisect_right(unfiled, lsn, key=_lsn_of)
    end = min(size, start + most)
    if start < size // 2:
        yield from islice(unfiled, start, end)
    else:
        yield from reversed(list(islice(reversed(unfiled), size - end, size - start)))
