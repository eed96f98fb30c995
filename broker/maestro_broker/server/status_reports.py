"""Reports: what the broker tells about itself and about what happened.

Rule: reads only; bounded work a call, since the main loop waits for it.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from maestro_broker.core import authorization
from maestro_broker.core.model import records
from maestro_schemas import PROTOCOL_VERSION, __version__
from maestro_schemas import events as happenings
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import DOCS
from maestro_schemas.replies import EventsReply, HelloReply

from .admission import BROKER_IS_OLDER, CLIENT_IS_OLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import Change, State
    from maestro_broker.views.timeline import Timeline
    from maestro_schemas.events import Event
    from maestro_schemas.requests import Events, Hello

    from .options import BrokerOptions

# Lines looked at in one call: about 5 ms. A filter that finds little says how far it looked, and goes on.
_SCAN_MAX = 3_000

# Mailboxes that `maestro status` names.
_FULLEST = 5


def hello(request: Hello, options: BrokerOptions, epoch: str, pid: int, head_lsn: int) -> HelloReply:
    """Raises MaestroError UNSUPPORTED_PROTOCOL when the ranges do not meet."""
    if not request.protocol_min <= PROTOCOL_VERSION <= request.protocol_max:
        raise MaestroError(
            "UNSUPPORTED_PROTOCOL",
            f"this broker ({__version__}) speaks protocol {PROTOCOL_VERSION}, the client "
            f"{request.protocol_min} to {request.protocol_max}",
            CLIENT_IS_OLDER if request.protocol_max < PROTOCOL_VERSION else BROKER_IS_OLDER,
        )
    return HelloReply(
        protocol_min=PROTOCOL_VERSION,
        protocol_max=PROTOCOL_VERSION,
        version=__version__,
        epoch=epoch,
        pid=pid,
        head_lsn=head_lsn,
        data_dir=options.data,
        limits={name: value for name, value in options.limits._asdict().items() if isinstance(value, int)},
    )


def events(
    state: State,
    timeline: Timeline,
    unfiled: deque[Change],
    request: Events,
    asking: SessionState | None,
    head: int,
) -> EventsReply:
    """Raises MaestroError CURSOR_EXPIRED, CURSOR_AHEAD, or INVALID for an event that there is not."""
    most = state.limits.timeline_reply_max
    limit = most if request.limit is None else min(request.limit, most)
    if limit < 1 or request.after < -1:
        raise MaestroError("INVALID", "limit is 1 or more, and after an LSN or -1", "See PROTOCOL.md, `events`.")

    names = None if request.events is None else happenings.named(request.events)

    def wanted(event: Event) -> bool:
        if request.session is not None and request.session not in event.parties():
            return False
        if names is not None and event.event not in names:
            return False
        if request.message is not None and event.id != request.message:
            return False
        if request.since is not None and event.at < request.since:
            return False
        if request.until is not None and event.at >= request.until:
            return False
        return authorization.may_see(state, asking, event)

    if request.after == -1:
        newest = list(islice(filter(wanted, islice(_back(timeline, unfiled), _SCAN_MAX)), limit))
        return EventsReply(newest[::-1], head, head, has_more=False)
    if request.after > head:
        raise MaestroError(
            "CURSOR_AHEAD",
            f"LSN {request.after} does not exist yet: the newest is {head}",
            "Start over from the newest: another data directory has other numbers.",
            limit=head,
            actual=request.after,
        )
    after = request.after
    if request.since is not None:
        # What is older is passed over by files and bisection, and so is no reason to miss it.
        after = max(after, timeline.last_before(request.since))
    first = timeline.begins_after(after)
    if first is not None:
        raise MaestroError(
            "CURSOR_EXPIRED",
            f"the timeline begins at LSN {first}, so what came after {request.after} is not all there",
            f"Replay from {first - 1}, and read the mailboxes for what is older.",
            limit=first - 1,
            actual=request.after,
            details={"oldest": first - 1},
        )
    found: list[Event] = []
    up_to = after
    for looked, event in enumerate(_forward(timeline, unfiled, after)):
        if len(found) == limit or looked == _SCAN_MAX:
            return EventsReply(found, up_to, head, has_more=True)
        if request.until is not None and event.at >= request.until:
            return EventsReply(found, up_to, head, has_more=False)
        up_to = event.lsn
        if wanted(event):
            found.append(event)
    return EventsReply(found, max(up_to, after), head, has_more=False)


def limits_shown(options: BrokerOptions) -> dict[str, dict[str, Any]]:
    """Each limit: value, unit, where it came from (and which line or variable), what it is."""
    shown: dict[str, dict[str, Any]] = {}
    for name, value in options.limits._asdict().items():
        shown[name] = {
            "value": value,
            "unit": DOCS[name].unit,
            "from": options.origins[name],
            "what": DOCS[name].text,
        }
        if name in options.places:
            shown[name]["where"] = options.places[name]
    return shown


def config_shown(options: BrokerOptions) -> dict[str, Any]:
    """The config file as it was read at the start: its path, its digest (empty: none was there), and what it says of
    projects."""
    file = options.file
    projects = {
        name: {"retention_ms": {"value": value, "unit": "ms", "where": file.where("projects", name, "retention_ms")}}
        for name, value in options.retention_by_project.items()
    }
    return {"path": file.path, "digest": file.digest, "projects": projects}


def mailboxes(state: State) -> dict[str, object]:
    """How many there are, how much of them is pending, and the fullest."""
    held = state.mailboxes.values()
    fullest = heapq.nlargest(_FULLEST, held, key=lambda mailbox: mailbox.pending)
    return {
        "known": len(held),
        "loaded": sum(mailbox.loaded and mailbox.held > 0 for mailbox in held),
        "pending": sum(mailbox.pending for mailbox in held),
        "fullest": {mailbox.session: mailbox.pending for mailbox in fullest if mailbox.pending},
    }


def sessions_by_status(state: State) -> dict[str, int]:
    """How many sessions have each status."""
    counts: dict[str, int] = {}
    for found in state.sessions:
        counts[found.session.status] = counts.get(found.session.status, 0) + 1
    return counts


def _forward(timeline: Timeline, unfiled: deque[Change], after: int) -> Iterator[Event]:
    last = after
    if not unfiled or unfiled[0].lsn > after + 1:
        for event in timeline.read(after):
            last = event.lsn
            yield event
    for change in _above(unfiled, last):
        yield records.event(change.lsn, change.record)


def _above(unfiled: deque[Change], lsn: int) -> Iterator[Change]:
    """The changes above `lsn`, oldest first, without a look at each one below: a backlog may be long, and whoever
    follows the newest events asks often."""
    size = len(unfiled)
    start = bisect_right(unfiled, lsn, key=attrgetter("lsn"))
    end = min(size, start + _SCAN_MAX + 1)
    if start < size // 2:
        yield from islice(unfiled, start, end)
    else:
        yield from reversed(list(islice(reversed(unfiled), size - end, size - start)))


def _back(timeline: Timeline, unfiled: deque[Change]) -> Iterator[Event]:
    last: int | None = None
    for change in reversed(unfiled):
        last = change.lsn
        yield records.event(change.lsn, change.record)
    for event in timeline.read_back():
        if last is None or event.lsn < last:
            yield event
