"""Feed: the one reader of the broker's events for all who look on.

Rule: notices only wake it; the truth is `events` after the cursor, read until there is no more, so that every event
comes once and in order of LSN, over a restart of the broker too. One who is too slow is cut off, with where to go on,
and holds up nobody. Where nobody looks on, nothing is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from maestro_clients.mailbox.async_notices import AsyncNotices
from maestro_schemas.errors import MaestroError

from .frames import event_views, fetch_messages
from .visibility import Directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_gateway.broker_link import BrokerLink

    from .frames import EventView, Frame
    from .visibility import Principal

_log = logging.getLogger(__name__)

QUEUE_MAX = 10_000
# Lost notices show themselves after this time at most.
_LOOK_EVERY_S = 1.0
_AGAIN_S = 0.05
_PAGE = 500
# Handed out at a stretch; then others have their turn.
_SLICE = 64


class FeedItem(NamedTuple):
    """The frames of one event for one who looks on."""

    lsn: int
    frames: tuple[Frame, ...]


class Subscription:
    """One who looks on, from `Feed.subscribe`. `choice`: the sessions that it wants to hear of, None for all; it may
    be set anew at any time. `position`: the LSN up to which it got everything, where it would resume."""

    def __init__(self, feed: Feed, viewer: Principal, choice: frozenset[str] | None) -> None:
        self.viewer = viewer
        self.choice = choice
        self.position = 0
        self._feed = feed
        self._live_from: int | None = None
        # What waits, whether it is to have the message, and for how many frames it was counted.
        self._queue: deque[tuple[EventView, bool, int]] = deque()
        self._frames_waiting = 0
        self._there = asyncio.Event()
        self._ended: MaestroError | None = None

    def go_live(self, after: int | None = None) -> int:
        """Queue what happens from now on, but nothing up to `after`; the LSN after which that is."""
        self._live_from = max(self._feed.cursor, after or 0)
        return self._live_from

    def wants_message(self, happening: EventView) -> bool:
        """Whether it would get the event with its message."""
        event = happening.event
        return bool(happening.chosen(self.choice)) and self.viewer.reads(event) and self.viewer.sees(event)

    def cut(self, happening: EventView, *, whole: bool | None = None) -> FeedItem | None:
        """The frames that are for it; None where none is. `whole`: with the message; by default where it may read
        it."""
        chosen = happening.chosen(self.choice)
        if not chosen:
            return None
        if whole is None:
            if not self.viewer.sees(happening.event):
                return None
            whole = self.viewer.reads(happening.event)
        frames = happening.frames(self._feed.directory, whole=whole)
        return FeedItem(happening.event.lsn, tuple(frames[number] for number in chosen))

    def offer(self, happening: EventView) -> None:
        """Queue an event, where it is for it and live."""
        if self._live_from is None or happening.event.lsn <= self._live_from or self._ended is not None:
            return
        chosen = happening.chosen(self.choice)
        if not chosen or not self.viewer.sees(happening.event):
            return
        self._frames_waiting += len(chosen)
        if self._frames_waiting > QUEUE_MAX:
            # It would learn of what is queued much too late, and it is all to be had again.
            self.end(_slow())
            return
        self._queue.append((happening, self.viewer.reads(happening.event), len(chosen)))
        self._there.set()

    def end(self, why: MaestroError) -> None:
        """No more for it: what waits is dropped."""
        self._ended = why
        self._queue.clear()
        self._there.set()

    async def take(self) -> FeedItem:
        """The next, live. Raises MaestroError for why there are no more, with `details.since`, where to go on."""
        while True:
            while not self._queue:
                if self._ended is not None:
                    raise _with_since(self._ended, self.position)
                self._there.clear()
                await self._there.wait()
            happening, whole, counted = self._queue.popleft()
            self._frames_waiting -= counted
            delivery = self.cut(happening, whole=whole)
            if delivery is not None:
                return delivery


class Feed:
    """`cursor`: the LSN up to which everything was handed out."""

    def __init__(self, broker: BrokerLink) -> None:
        self.cursor = 0
        self.directory = Directory(broker)
        self._broker = broker
        self._subscriptions: set[Subscription] = set()
        self._starting = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._stopped = False

    async def subscribe(self, viewer: Principal, choice: frozenset[str] | None) -> Subscription:
        """One more who looks on; nothing is queued for it before it goes live. `leave` ends it. Raises MaestroError
        where the broker is away or the gateway stops."""
        async with self._starting:
            if self._stopped:
                raise _stopping()
            if self._reader is None:
                self.cursor = (await self._broker.client.hello())["headLsn"]
                # Whoever was learnt to know for the first of them was so before anything was read.
                self.directory.doubt()
                self._wake.set()
                self._reader = asyncio.get_running_loop().create_task(self._read_on())
                self._reader.add_done_callback(self._reader_ended)
            subscription = Subscription(self, viewer, choice)
            self._subscriptions.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """It looks on no more. Can be repeated."""
        self._subscriptions.discard(subscription)
        if not self._subscriptions and self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def stop(self) -> None:
        """Everybody is told that the gateway stops."""
        self._stopped = True
        self._end_all(_stopping())
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def page(self, after: int, session: str | None = None) -> tuple[list[EventView], int, bool]:
        """What happened after an LSN (`session`: to it), oldest first; how far that is; whether there is more.
        Raises MaestroError CURSOR_EXPIRED or CURSOR_AHEAD, or that the broker is away."""
        page = await self._broker.client.events(after, limit=_PAGE, session=session)
        return event_views(page["events"]), page["upTo"], page["hasMore"]

    async def prepare(self, some: Sequence[EventView], subscriptions: Sequence[Subscription]) -> None:
        """Learn what it takes to hand these events out. Raises MaestroError where the broker is away."""
        await self.directory.learn(one.event for one in some)
        wanted = [
            one for one in some if not one.is_fetched and any(each.wants_message(one) for each in subscriptions)
        ]
        if wanted:
            await fetch_messages(self._broker, wanted)

    def search(self) -> None:
        """A request found no broker."""
        self._broker.search()

    # --- the reader ----------------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        address = self._broker.notices
        is_away = False
        async with AsyncNotices(address) as notices:
            listener = asyncio.create_task(self._listen(notices))
            try:
                while True:
                    # Not `wait_for`: where the event is set just then, it swallows a cancellation (until 3.12), and a
                    # reader that was let go of would read on beside the next one.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_EVERY_S):
                            await self._wake.wait()
                    self._wake.clear()
                    try:
                        await self._read()
                        is_away = False
                    except MaestroError as error:
                        if not error.retryable:
                            raise
                        if error.kind == "unreachable":
                            self.search()
                        if not is_away:
                            is_away = True
                            _log.warning("no events at the moment (%s); they go on after LSN %d", error, self.cursor)
                        await asyncio.sleep(_AGAIN_S)
                        self._wake.set()
                    if self._broker.notices != address:
                        address = self._broker.notices
                        notices.move(address)
            finally:
                listener.cancel()

    async def _listen(self, notices: AsyncNotices) -> None:
        async for _ in notices:
            self._wake.set()

    async def _read(self) -> None:
        has_more = True
        while has_more:
            found, up_to, has_more = await self.page(self.cursor)
            for start in range(0, len(found), _SLICE):
                some = found[start : start + _SLICE]
                await self.prepare(some, list(self._subscriptions))
                for one in some:
                    # Somebody may have gone live since.
                    if not one.is_fetched and any(each.wants_message(one) for each in self._subscriptions):
                        await self.prepare([one], list(self._subscriptions))
                    for each in self._subscriptions:
                        each.offer(one)
                    self.cursor = one.event.lsn
                await asyncio.sleep(0)
            self.cursor = max(self.cursor, up_to)

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
        f"more than {QUEUE_MAX:,} frames waited to be taken, so the connection was given up",
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
