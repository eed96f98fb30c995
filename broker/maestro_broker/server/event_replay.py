"""Event replay: the events after an LSN, from the timeline and from the records that are not filed yet.

Rule: reads only, and a bounded amount of work per call, since the main loop waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core import visibility
from maestro_broker.views.history import event_order
from maestro_schemas import events as event_names
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import canonical_id
from maestro_schemas.replies import EventsReply

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator

    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import Change, State
    from maestro_broker.views.timeline import Timeline
    from maestro_schemas.events import Event
    from maestro_schemas.requests import Events

# Events that one call looks at: about 5 ms. The reply says how far it looked, and the client goes on from there.
_SCAN_MAX = 3_000


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

    kinds = None if request.events is None else event_names.named(request.events)

    # A session may name a message that it sent by its own key.
    named = {request.message}
    if request.message is not None and asking is not None:
        named.add(canonical_id(request.message, asking.mark))

    def wanted(event: Event) -> bool:
        if request.session is not None and request.session not in event.parties():
            return False
        if kinds is not None and event.event not in kinds:
            return False
        if request.message is not None and event.id not in named:
            return False
        if request.since is not None and event.at < request.since:
            return False
        if request.until is not None and event.at >= request.until:
            return False
        return visibility.sees_event(state, asking, event)

    if request.after == -1:
        return EventsReply(_newest(event_order.back(timeline, unfiled), wanted, limit), head, head, has_more=False)
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
    event_order.check_cursor(timeline, after, request.after)
    found: list[Event] = []
    up_to = after
    for looked, event in enumerate(event_order.forward(timeline, unfiled, after, _SCAN_MAX + 1)):
        # A page ends only between two records, so that `upTo` is a cursor: `limit` is where it begins to stop.
        if event.lsn != up_to and (len(found) >= limit or looked >= _SCAN_MAX):
            return EventsReply(found, up_to, head, has_more=True)
        if request.until is not None and event.at >= request.until:
            return EventsReply(found, up_to, head, has_more=False)
        up_to = event.lsn
        if wanted(event):
            found.append(event)
    return EventsReply(found, max(up_to, after), head, has_more=False)


def _newest(back: Iterator[Event], wanted: Callable[[Event], bool], limit: int) -> list[Event]:
    """The newest events, the oldest of them first: `limit`, and the rest of the last record."""
    found: list[Event] = []
    for looked, event in enumerate(back):
        if (len(found) >= limit or looked >= _SCAN_MAX) and (not found or event.lsn != found[-1].lsn):
            break
        if wanted(event):
            found.append(event)
    return found[::-1]
