"""Feed: the one reader of the broker's events, for all clients that follow them.

Rule: a notice only wakes the reader. It then reads `events` after its cursor until there is no more, so that every
event comes once and in order of LSN, also over a restart of the broker. Only the notice of an event that is no record
is passed on as it is. The events of one record are offered, queued and cut off together, so that an LSN is a cursor.
A client that is too slow is cut off, with the LSN to resume from, and delays no other. Without a client, nothing is
read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from maestro_clients.mailbox.async_notices import AsyncNotices, NoticeLinkState
from maestro_clients.protocol.codec import Notice
from maestro_schemas.errors import MaestroError

from .frames import event_views, fetch_messages
from .visibility import Directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maestro_gateway.broker_link import BrokerLink
    from maestro_schemas.documents import EventDoc

    from .choice import Choice, Form
    from .frames import EventView, Frame
    from .visibility import Principal

    # The events of one record, in the order of their index.
    Record = tuple[EventView, ...]

_log = logging.getLogger(__name__)

# Frames that may wait for one client.
QUEUE_MAX = 10_000
# A lost notice delays an event by this time at most.
_LOOK_EVERY_S = 1.0
_RETRY_S = 0.05
_PAGE = 500
# Events that are offered without a pause; then other tasks have their turn.
_SLICE = 64


class FeedItem(NamedTuple):
    """The frames of one record's events for one client."""

    lsn: int
    frames: tuple[Frame, ...]


class _Queued(NamedTuple):
    """A record's events that wait for a client."""

    views: Record
    # For each with the message, as the client's rights were when the event came.
    whole: tuple[bool, ...]
    # The number of frames that were counted for it.
    frame_count: int


class Subscription:
    """One client's place in the events, from `Feed.subscribe`."""

    def __init__(self, feed: Feed, principal: Principal, choice: Choice | None, form: Form) -> None:
        self.principal = principal
        self.form = form
        # The sessions whose events are wanted, None for all. It may be changed at any time.
        self.choice = choice
        # The LSN up to which the client has every event, and from which it would resume.
        self.position = 0
        self._feed = feed
        self._live_from: int | None = None
        self._queue: deque[_Queued] = deque()
        self._frames_waiting = 0
        self._is_filled = asyncio.Event()
        self._ended: MaestroError | None = None

    def go_live(self, after: int | None = None) -> int:
        """Queue the events from now on, but none up to `after`. Returns the LSN after which they begin."""
        self._live_from = max(self._feed.cursor, after or 0)
        return self._live_from

    def wants_message(self, view: EventView) -> bool:
        """Whether this client would get the event with its message."""
        event = view.event
        return (
            bool(view.chosen(self.choice, self._feed.directory))
            and self.principal.reads(event)
            and self.principal.sees(event)
        )

    def item_of(self, record: Record) -> FeedItem | None:
        """The record's frames for this client, each with the message where the client may read it; None if it gets
        none."""
        views = tuple(view for view in record if self.principal.sees(view.event))
        return self._item(views, tuple(self.principal.reads(view.event) for view in views))

    def _item(self, views: Record, whole: tuple[bool, ...]) -> FeedItem | None:
        found: tuple[Frame, ...] = ()
        directory = self._feed.directory
        for view, is_whole in zip(views, whole, strict=True):
            chosen = view.chosen(self.choice, directory)
            if chosen:
                found += view.selected(chosen, directory, self.form, whole=is_whole)
        return FeedItem(views[0].event.lsn, found) if found else None

    def offer(self, record: Record) -> None:
        """Queue a record's events, if they are live and this client gets some of them."""
        if self._live_from is None or self._ended is not None:
            return
        if record[0].is_recorded and record[0].event.lsn <= self._live_from:
            return
        choice, principal, directory = self.choice, self.principal, self._feed.directory
        views: Record = ()
        frame_count = 0
        for view in record:
            chosen = view.chosen(choice, directory)
            if chosen and principal.sees(view.event):
                views += (view,)
                frame_count += len(chosen)
        if not views:
            return
        self._frames_waiting += frame_count
        if self._frames_waiting > QUEUE_MAX:
            # The client would get the queued events much too late, and can get all of them by resuming.
            self.end(_slow())
            return
        self._queue.append(_Queued(views, tuple([principal.reads(view.event) for view in views]), frame_count))
        self._is_filled.set()

    def end(self, why: MaestroError) -> None:
        """Drop what waits, and let `take` raise `why`."""
        self._ended = why
        self._queue.clear()
        self._is_filled.set()

    async def take(self) -> FeedItem:
        """The next live event. Raises the MaestroError that ended the subscription, with `details.since`, the LSN to
        resume from."""
        while True:
            while not self._queue:
                if self._ended is not None:
                    raise _with_since(self._ended, self.position)
                self._is_filled.clear()
                await self._is_filled.wait()
            queued = self._queue.popleft()
            self._frames_waiting -= queued.frame_count
            item = self._item(queued.views, queued.whole)
            if item is not None:
                return item


class Feed:
    """The events of one broker."""

    def __init__(self, broker: BrokerLink) -> None:
        # The LSN up to which every event was offered.
        self.cursor = 0
        self.directory = Directory(broker)
        self._broker = broker
        self._subscriptions: set[Subscription] = set()
        self._starting = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        # Events that are no records, and come by notice alone. Of a flood, the oldest are lost.
        self._unrecorded: deque[EventDoc] = deque(maxlen=QUEUE_MAX)
        # Whether the subscription to the broker's notices is in force.
        self._is_noticed = asyncio.Event()
        self._is_stopped = False
        # Whether the broker is away, as far as the reader has seen; and who wants to know it.
        self.is_away = False
        self.link_watchers: set[Callable[[bool], None]] = set()

    async def subscribe(self, principal: Principal, choice: Choice | None, form: Form) -> Subscription:
        """Add a client; nothing is queued for it before it goes live. `leave` removes it. Raises MaestroError
        STOPPING when the gateway stops, and as the broker's `hello`."""
        async with self._starting:
            if self._is_stopped:
                raise _stopping()
            if self._reader is None:
                self.cursor = (await self._broker.client.hello())["headLsn"]
                # Sessions that were learnt before the reader started may have changed since without an event.
                self.directory.mark_stale()
                self._wake.set()
                self._reader = asyncio.get_running_loop().create_task(self._read_on())
                self._reader.add_done_callback(self._reader_ended)
            subscription = Subscription(self, principal, choice, form)
            self._subscriptions.add(subscription)
            with contextlib.ExitStack() as undo:
                undo.callback(self.leave, subscription)
                # What is no record comes by notice alone, from now on. A broker that has gone is not waited for.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._is_noticed.wait()
                undo.pop_all()
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Remove a client. Can be repeated."""
        self._subscriptions.discard(subscription)
        if not self._subscriptions and self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def stop(self) -> None:
        """End every subscription: the gateway stops."""
        self._is_stopped = True
        self._end_all(_stopping())
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def page(self, after: int, session: str | None = None) -> tuple[list[Record], int, bool]:
        """Events after an LSN, by record, the oldest first; the LSN up to which they go; whether there are more.
        `session`: only its events. Raises MaestroError CURSOR_EXPIRED or CURSOR_AHEAD, or that the broker is
        unreachable."""
        page = await self._broker.client.events(after, limit=_PAGE, session=session)
        views = event_views(page["events"])
        records = [tuple(record) for _, record in groupby(views, key=lambda view: view.event.lsn)]
        return records, page["upTo"], page["hasMore"]

    async def prepare(self, records: Sequence[Record], subscriptions: Sequence[Subscription]) -> None:
        """Fetch the sessions and messages that these events need. Raises MaestroError where the broker is
        unreachable."""
        some = [view for record in records for view in record]
        await self.directory.learn(view.event for view in some)
        wanted = [
            view for view in some if not view.is_fetched and any(each.wants_message(view) for each in subscriptions)
        ]
        if wanted:
            await fetch_messages(self._broker, wanted)

    def search(self) -> None:
        """Look for the broker, because a request did not reach it."""
        self._broker.search()

    # --- the reader ----------------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        address = self._broker.notices
        self._set_away(is_away=False)
        async with AsyncNotices(address) as notices:
            listener = asyncio.create_task(self._listen(notices))
            try:
                while True:
                    # Not `wait_for`: until Python 3.12 it swallows a cancellation if the event is set at that moment,
                    # and a cancelled reader would read on beside the next one.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_EVERY_S):
                            await self._wake.wait()
                    self._wake.clear()
                    try:
                        await self._read()
                        self._set_away(is_away=False)
                    except MaestroError as error:
                        if not error.retryable:
                            raise
                        if error.kind == "unreachable":
                            self.search()
                        if not self.is_away:
                            _log.warning("no events at the moment (%s); they go on after LSN %d", error, self.cursor)
                        self._set_away(is_away=True)
                        await asyncio.sleep(_RETRY_S)
                        self._wake.set()
                    if self._broker.notices != address:
                        address = self._broker.notices
                        notices.move(address)
            finally:
                listener.cancel()
                self._is_noticed.clear()
                self._unrecorded.clear()

    def _set_away(self, *, is_away: bool) -> None:
        if is_away != self.is_away:
            self.is_away = is_away
            for watcher in list(self.link_watchers):
                watcher(is_away)

    async def _listen(self, notices: AsyncNotices) -> None:
        async for notice in notices:
            if isinstance(notice, Notice) and notice.event["event"] == "session.presence":
                self._unrecorded.append(notice.event)
            elif notice is NoticeLinkState.CONNECTED:
                self._is_noticed.set()
            elif notice is NoticeLinkState.LOST:
                self._is_noticed.clear()
            self._wake.set()

    async def _pass_on(self) -> None:
        """Offer the events that are no records, after the events before them. Their LSN is this feed's cursor, so
        that a client may resume from it."""
        while self._unrecorded and self._unrecorded[0]["lsn"] <= self.cursor:
            doc = self._unrecorded.popleft()
            await self.directory.learn(view.event for view in event_views([doc]))
            for view in event_views([{**doc, "lsn": self.cursor}]):
                for each in self._subscriptions:
                    each.offer((view,))

    async def _read(self) -> None:
        has_more = True
        while has_more:
            records, up_to, has_more = await self.page(self.cursor)
            for start in range(0, len(records), _SLICE):
                some = records[start : start + _SLICE]
                await self.prepare(some, list(self._subscriptions))
                for record in some:
                    # A client may have gone live since.
                    await self.prepare([record], list(self._subscriptions))
                    for each in self._subscriptions:
                        each.offer(record)
                    self.cursor = record[0].event.lsn
                await asyncio.sleep(0)
            self.cursor = max(self.cursor, up_to)
        await self._pass_on()

    def _reader_ended(self, reader: asyncio.Task[None]) -> None:
        if reader.cancelled():
            return
        error = reader.exception()
        if not isinstance(error, MaestroError):
            _log.error("the reader of the broker's events failed", exc_info=error)
            error = MaestroError("INTERNAL", "a fault of ours", "Connect again; the gateway's log says why.")
        else:
            _log.warning("the broker's events can't be followed from LSN %d: %s", self.cursor, error.message)
        if self._reader is reader:
            self._reader = None
        self._end_all(error)

    def _end_all(self, why: MaestroError) -> None:
        for subscription in self._subscriptions:
            subscription.end(why)


def _slow() -> MaestroError:
    return MaestroError(
        "SLOW_CONSUMER",
        f"more than {QUEUE_MAX:,} frames waited to be read, so the connection was ended",
        "Connect again with `since`, and read faster or subscribe to fewer sessions.",
        limit=QUEUE_MAX,
    )


def _stopping() -> MaestroError:
    return MaestroError("STOPPING", "the gateway is stopping", "Connect again in a moment with `since`.")


def _with_since(error: MaestroError, since: int) -> MaestroError:
    return MaestroError(
        error.code,
        error.message,
        error.hint,
        limit=error.limit,
        actual=error.actual,
        details={**(error.details or {}), "since": since},
    )
