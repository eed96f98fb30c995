"""Following: one who looks on, from an LSN or from now.

Rule: nothing is lost between what was and what happens, and nothing comes twice. It replays until there is no more,
then goes live, then replays up to where the live events begin.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from .feed import Feed, FeedItem, Subscription
    from .frames import EventView
    from .visibility import Principal

_AGAIN_S = 0.1
# What is prepared at a time: one request for the messages of a burst, and not long to wait for the first.
_SLICE = 64

Page = tuple["list[EventView]", int, bool]


class EventStream:
    """From `follow`; `deliveries` once, then `close`. `subscription`: its choice may be set anew."""

    def __init__(self, feed: Feed, subscription: Subscription, page: Page | None) -> None:
        self.subscription = subscription
        self._feed = feed
        self._page = page

    def close(self) -> None:
        """Look on no more. Can be repeated."""
        self._feed.leave(self.subscription)

    async def deliveries(self) -> AsyncGenerator[FeedItem, None]:
        """Event by event; the one before was sent when the next is asked for. Ends only by raising the MaestroError
        that says why, with `details.since`."""
        subscription = self.subscription
        if self._page is not None:
            async for delivery in self._replay(self._page):
                yield delivery
        while True:
            delivery = await subscription.take()
            yield delivery
            subscription.position = delivery.lsn

    async def _replay(self, page: Page) -> AsyncGenerator[FeedItem, None]:
        subscription = self.subscription
        live_from: int | None = None
        while True:
            found, up_to, has_more = page
            for start in range(0, len(found), _SLICE):
                some = found[start : start + _SLICE]
                await self._patiently_prepare(some)
                for one in some:
                    if live_from is not None and one.event.lsn > live_from:
                        return
                    delivery = subscription.cut(one)
                    if delivery is not None:
                        yield delivery
                    subscription.position = one.event.lsn
            subscription.position = max(subscription.position, up_to)
            if not has_more:
                if live_from is not None:
                    return
                live_from = subscription.go_live(subscription.position)
            if live_from is not None and subscription.position >= live_from:
                return
            page = await self._patiently_read(subscription.position)

    async def _patiently_read(self, after: int) -> Page:
        while True:
            try:
                return await self._feed.page(after, _only(self.subscription.choice))
            except MaestroError as error:
                await self._wait_after(error)

    async def _patiently_prepare(self, some: list[EventView]) -> None:
        while True:
            try:
                await self._feed.prepare(some, [self.subscription])
            except MaestroError as error:
                await self._wait_after(error)
            else:
                return

    async def _wait_after(self, error: MaestroError) -> None:
        """Once begun, a replay waits for a broker that went away."""
        if error.kind == "unreachable":
            self._feed.search()
        elif not error.retryable:
            raise error
        await asyncio.sleep(_AGAIN_S)


async def follow(feed: Feed, viewer: Principal, choice: frozenset[str] | None, since: int | None) -> EventStream:
    """Begin. `since`: the LSN after which; None for now. Raises MaestroError CURSOR_EXPIRED or CURSOR_AHEAD, and as
    `Feed.subscribe`."""
    subscription = await feed.subscribe(viewer, choice)
    if since is None:
        subscription.position = subscription.go_live()
        return EventStream(feed, subscription, None)
    subscription.position = since
    with contextlib.ExitStack() as undo:
        undo.callback(feed.leave, subscription)
        page = await feed.page(since, _only(choice))
        undo.pop_all()
    return EventStream(feed, subscription, page)


def _only(choice: frozenset[str] | None) -> str | None:
    """The one session that was chosen: the broker finds its lines, so that a mailbox's replay is not all of them."""
    return next(iter(choice)) if choice is not None and len(choice) == 1 else None


def since_of(headers: Mapping[str, str], query: Mapping[str, str]) -> int | None:
    """Where to resume: `Last-Event-ID`, which a browser sends when it connects again, else `?since=`. Raises
    MaestroError INVALID for what is no LSN."""
    given = headers.get("last-event-id") or query.get("since") or ""
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _LSN_DIGITS):
        raise not_an_lsn(given)
    return int(given)


def not_an_lsn(given: object) -> MaestroError:
    """The error for a `since` that is none."""
    return MaestroError(
        "INVALID",
        f"{str(given)[:40]!r} is no LSN to resume from",
        "Give the `lsn` (in a stream the id) of the last event that you have, a whole number from 0.",
    )


_LSN_DIGITS = 18
