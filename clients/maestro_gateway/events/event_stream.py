"""Event stream: the events for one client, from an LSN or from now on.

Rule: no event is lost or doubled between the past and the live events. The stream replays until there is no more,
goes live, then replays up to the LSN at which the live events begin.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from .choice import Choice, Form
    from .feed import Feed, FeedItem, Record, Subscription
    from .visibility import Principal

_RETRY_S = 0.1
# Events that are prepared together: a burst's messages take one request, and the first event does not wait long.
_SLICE = 64
_LSN_DIGITS = 18

# Events by record, the LSN up to which they go, and whether there are more.
Page = tuple["list[Record]", int, bool]


class EventStream:
    """From `follow`. Iterate `items` once, then `close`."""

    def __init__(self, feed: Feed, subscription: Subscription, page: Page | None) -> None:
        # Its choice of sessions may be changed at any time.
        self.subscription = subscription
        self._feed = feed
        # The first page of the replay.
        self._page = page

    def close(self) -> None:
        """Follow no more events. Can be repeated."""
        self._feed.leave(self.subscription)

    async def items(self) -> AsyncGenerator[FeedItem, None]:
        """Record by record; when the next one is asked for, the one before counts as sent. Ends only by raising the
        MaestroError that says why, with `details.since`."""
        subscription = self.subscription
        if self._page is not None:
            async for item in self._replay(self._page):
                yield item
        while True:
            item = await subscription.take()
            yield item
            # A notice alone has the LSN up to which the feed has read, which may be less.
            subscription.position = max(subscription.position, item.lsn)

    async def _replay(self, page: Page) -> AsyncGenerator[FeedItem, None]:
        subscription = self.subscription
        live_from: int | None = None
        while True:
            records, up_to, has_more = page
            for start in range(0, len(records), _SLICE):
                some = records[start : start + _SLICE]
                await self._prepare(some)
                for record in some:
                    lsn = record[0].event.lsn
                    if live_from is not None and lsn > live_from:
                        return
                    item = subscription.item_of(record)
                    if item is not None:
                        yield item
                    subscription.position = lsn
            subscription.position = max(subscription.position, up_to)
            if not has_more:
                if live_from is not None:
                    return
                live_from = subscription.go_live(subscription.position)
            if live_from is not None and subscription.position >= live_from:
                return
            page = await self._read(subscription.position)

    async def _read(self, after: int) -> Page:
        while True:
            try:
                return await self._feed.page(after, _only(self.subscription.choice))
            except MaestroError as error:
                await self._wait_after(error)

    async def _prepare(self, some: list[Record]) -> None:
        while True:
            try:
                await self._feed.prepare(some, [self.subscription])
            except MaestroError as error:
                await self._wait_after(error)
            else:
                return

    async def _wait_after(self, error: MaestroError) -> None:
        """A replay that has begun waits for a broker that went away."""
        if error.kind == "unreachable":
            self._feed.search()
        elif not error.retryable:
            raise error
        await asyncio.sleep(_RETRY_S)


async def follow(
    feed: Feed, principal: Principal, choice: Choice | None, since: int | None, form: Form
) -> EventStream:
    """Start a stream. `choice`: the sessions whose events are wanted, None for all. `since`: the LSN after which to
    begin, None for now. Raises MaestroError CURSOR_EXPIRED or CURSOR_AHEAD, and as `Feed.subscribe`."""
    subscription = await feed.subscribe(principal, choice, form)
    if since is None:
        subscription.position = subscription.go_live()
        return EventStream(feed, subscription, None)
    subscription.position = since
    with contextlib.ExitStack() as undo:
        undo.callback(feed.leave, subscription)
        page = await feed.page(since, _only(choice))
        undo.pop_all()
    return EventStream(feed, subscription, page)


def _only(choice: Choice | None) -> str | None:
    """The chosen session, if it is one: the broker then finds its events, so that a replay does not read them all."""
    return next(iter(choice.sessions)) if choice is not None and len(choice.sessions) == 1 else None


def since_of(headers: Mapping[str, str], query: Mapping[str, str]) -> int | None:
    """The LSN to resume from: `Last-Event-ID`, which a browser sends when it connects again, else `?since=`. Raises
    MaestroError INVALID for a text that is no LSN."""
    given = headers.get("last-event-id") or query.get("since") or ""
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _LSN_DIGITS):
        raise not_an_lsn(given)
    return int(given)


def not_an_lsn(given: object) -> MaestroError:
    """The error for a `since` that is no LSN."""
    return MaestroError(
        "INVALID",
        f"{str(given)[:40]!r} is no LSN to resume from",
        "Give the `lsn` (in a stream the id) of the last event that you have, a whole number from 0.",
    )
