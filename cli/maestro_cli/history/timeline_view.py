"""Timeline view: finds the requested events of the timeline, and follows new ones.

Rule: the broker filters, and each request covers a bounded part of the timeline; the next request continues there.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_cli import following
from maestro_cli.context import now_ms
from maestro_cli.output import screen, streams
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import EventDoc


_PAGE = 1_000


class TimelineQuery(NamedTuple):
    """Which events are requested."""

    session: str | None = None
    message: str | None = None
    # Names of events; empty for all.
    events: tuple[str, ...] = ()
    # Milliseconds since the epoch.
    since: int | None = None
    until: int | None = None
    # The LSN after which the events begin.
    after: int | None = None
    # The most events: the first ones after `after`, else the newest ones.
    limit: int = 50

    def filters(self) -> dict[str, Any]:
        """The filters, as arguments of `Client.events`."""
        return {
            "session": self.session,
            "message": self.message,
            "events": list(self.events) or None,
            "since": self.since,
            "until": self.until,
        }

    @property
    def is_search(self) -> bool:
        """Whether there is a filter, so that the newest events alone are not enough."""
        return any(value is not None for value in self.filters().values())


class TimelinePage(NamedTuple):
    """The events that were found."""

    events: list[EventDoc]
    # The LSN after which to continue.
    cursor: int
    # Whether events were left out because of `limit`: later ones with `after`, else earlier ones.
    has_more: bool


def find(client: AnyClient, query: TimelineQuery) -> TimelinePage:
    """Find the first `limit` events after `after`, else the last `limit` of all that match. Raises MaestroError."""
    if query.after is None and not query.is_search:
        reply = client.events(-1, limit=query.limit)
        return TimelinePage(reply["events"], reply["upTo"], has_more=False)
    found: deque[EventDoc] = deque(maxlen=None if query.after is not None else query.limit)
    cursor, left_out = query.after or 0, False
    while True:
        try:
            reply = client.events(cursor, limit=_PAGE, **query.filters())
        except MaestroError as error:
            oldest = (error.details or {}).get("oldest")
            if error.code != "CURSOR_EXPIRED" or query.after is not None or not isinstance(oldest, int):
                raise _expired(error) from None
            cursor = oldest
            continue
        for event in reply["events"]:
            if query.after is not None and len(found) == query.limit:
                return TimelinePage(list(found), found[-1]["lsn"], has_more=True)
            left_out = left_out or len(found) == found.maxlen
            found.append(event)
        cursor = reply["upTo"]
        if not reply["hasMore"]:
            return TimelinePage(list(found), cursor, has_more=left_out)


def follow(context: CommandContext, query: TimelineQuery, topic: str | None, cursor: int, *, as_json: bool) -> None:
    """Print the events after `cursor` as they happen. `topic`: the session whose notices wake it; None for all.

    Ends when `until` is over. Raises StdoutClosed, KeyboardInterrupt, or a MaestroError that waiting does not
    resolve.
    """
    at = cursor

    def catch_up(client: AnyClient) -> bool:
        nonlocal at
        has_more = True
        while has_more:
            reply = client.events(at, limit=_PAGE, **query.filters())
            for event in reply["events"]:
                show(event, as_json=as_json)
            at, has_more = reply["upTo"], reply["hasMore"]
        return query.until is None or now_ms() < query.until

    try:
        following.follow(context, topic, catch_up)
    except MaestroError as error:
        raise _expired(error) from None


def show(event: EventDoc, *, as_json: bool) -> None:
    """Print one event as a line."""
    if as_json:
        streams.say_json(event)
        return
    from maestro_cli.output.render import event_line

    streams.say(screen.fit(event_line(event, now_ms())))


def _expired(error: MaestroError) -> MaestroError:
    """For a cursor whose events are deleted: the same error with the command that works."""
    oldest = (error.details or {}).get("oldest")
    if error.code != "CURSOR_EXPIRED" or not isinstance(oldest, int):
        return error
    return MaestroError(
        error.code,
        f"lines after {error.actual} are gone: the timeline is kept as long as mail is, and begins after {oldest}",
        f"Begin there: maestro timeline --after {oldest}",
        limit=error.limit,
        actual=error.actual,
        details=error.details,
    )
