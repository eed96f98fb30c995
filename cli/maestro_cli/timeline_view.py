"""Timeline view: the lines that were asked for, and those that come.

Rule: the broker filters, a bounded piece a request, and this goes on from where each ended. Notices only say when to
ask again; the cursor is the truth, so that nothing is missed over a restart of the broker, and nothing comes twice.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_schemas.errors import MaestroError

from .context import now_ms
from .output import streams

if TYPE_CHECKING:
    from maestro_clients.channel.one_shot_client import AnyClient
    from maestro_schemas.documents import EventDoc

    from .context import CommandContext

_PAGE = 1_000
# How late a closed output is noticed; the wait in between is in poll(2), not in a loop.
_TICK_S = 0.25
# A lost notice shows itself after so long at most.
_LOOK_EVERY_S = 5.0
# Of many notices at once the first asks for all.
_GATHER_S = 0.02
_LOOK_AGAIN_S = 0.25
_AWAY = frozenset({"BROKER_UNREACHABLE", "TIMEOUT", "STOPPING"})


class TimelineQuery(NamedTuple):
    """What is asked for. `since`, `until`: ms. `after`: the LSN to begin after. `limit`: how many lines at most, of
    the newest where neither `after` nor a filter says where to begin."""

    session: str | None = None
    message: str | None = None
    events: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    after: int | None = None
    limit: int = 50

    def filters(self) -> dict[str, Any]:
        """As the client takes them."""
        return {
            "session": self.session,
            "message": self.message,
            "events": list(self.events) or None,
            "since": self.since,
            "until": self.until,
        }

    @property
    def is_search(self) -> bool:
        """Whether it takes more than a look at the newest lines."""
        return any(value is not None for value in self.filters().values())


class TimelinePage(NamedTuple):
    """`cursor`: where to go on. `has_more`: lines were left out, at the end of an `after`, else at the beginning."""

    events: list[EventDoc]
    cursor: int
    has_more: bool


def find(client: AnyClient, wanted: TimelineQuery) -> TimelinePage:
    """The lines; the first `limit` after `after`, else the last `limit` of all that fit. Raises MaestroError."""
    if wanted.after is None and not wanted.is_search:
        reply = client.events(-1, limit=wanted.limit)
        return TimelinePage(reply["events"], reply["upTo"], has_more=False)
    # By its name too; and a session that there is not is told, rather than that nothing happened to it.
    found: deque[EventDoc] = deque(maxlen=None if wanted.after is not None else wanted.limit)
    cursor, left_out = wanted.after or 0, False
    while True:
        try:
            reply = client.events(cursor, limit=_PAGE, **wanted.filters())
        except MaestroError as error:
            oldest = (error.details or {}).get("oldest")
            if error.code != "CURSOR_EXPIRED" or wanted.after is not None or not isinstance(oldest, int):
                raise _expired(error) from None
            cursor = oldest
            continue
        for event in reply["events"]:
            if wanted.after is not None and len(found) == wanted.limit:
                return TimelinePage(list(found), found[-1]["lsn"], has_more=True)
            left_out = left_out or len(found) == found.maxlen
            found.append(event)
        cursor = reply["upTo"]
        if not reply["hasMore"]:
            return TimelinePage(list(found), cursor, has_more=left_out)


def follow(context: CommandContext, wanted: TimelineQuery, topic: str | None, cursor: int, *, as_json: bool) -> None:
    """Print what comes after `cursor`, looking when something happened that concerns `topic` (None: anybody).

    Until interrupted, the output closes, or `until` is over. Raises StdoutClosed, KeyboardInterrupt, or MaestroError
    for what waiting does not mend.
    """
    from maestro_clients.client import Client
    from maestro_clients.mailbox.notices import Notices
    from maestro_clients.processes.broker_process import find as find_broker

    lost = False
    while True:
        endpoints = find_broker(context.data)
        if endpoints is None:
            lost = _tell_lost(lost=lost)
            _check_output()
            time.sleep(_LOOK_AGAIN_S)
            continue
        notices = Notices(endpoints.notices, topic, watches=False)
        try:
            with Client(endpoints.router, context.caller) as client:
                while True:
                    cursor = _catch_up(client, wanted, cursor, as_json=as_json)
                    if lost:
                        lost = False
                        streams.note("maestro: the broker is back")
                    if wanted.until is not None and now_ms() >= wanted.until:
                        return
                    if not _wait(notices):
                        break
        except MaestroError as error:
            if error.code not in _AWAY:
                raise _expired(error) from None
        finally:
            notices.close()


def show(event: EventDoc, *, as_json: bool) -> None:
    """One line."""
    if as_json:
        streams.say_json(event)
        return
    from .output.render import event_line

    streams.say(event_line(event, now_ms()))


def _catch_up(client: AnyClient, wanted: TimelineQuery, cursor: int, *, as_json: bool) -> int:
    has_more = True
    while has_more:
        reply = client.events(cursor, limit=_PAGE, **wanted.filters())
        for event in reply["events"]:
            show(event, as_json=as_json)
        cursor, has_more = reply["upTo"], reply["hasMore"]
    return cursor


def _wait(notices: Any) -> bool:
    """Until something happened, or it is time to look; False when the broker has gone."""
    import zmq

    poller = zmq.Poller()
    poller.register(notices.socket, zmq.POLLIN)
    poller.register(notices.monitor, zmq.POLLIN)
    give_up_s = time.monotonic() + _LOOK_EVERY_S
    while time.monotonic() < give_up_s:
        ready = dict(poller.poll(int(_TICK_S * 1000)))
        _check_output()
        if notices.monitor in ready:
            return False
        if notices.socket in ready:
            time.sleep(_GATHER_S)
            notices.drain()
            return True
    return True


def _check_output() -> None:
    if streams.stdout_is_gone():
        raise streams.StdoutClosed


def _tell_lost(*, lost: bool) -> bool:
    if not lost:
        streams.note("maestro: the broker is gone; waiting for it to come back (maestro up)")
    return True


def _expired(error: MaestroError) -> MaestroError:
    """A cursor whose lines are gone, with what to type."""
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
