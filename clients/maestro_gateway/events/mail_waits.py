"""Mail waits: requests that are answered once there is mail.

Rule: a wait is a task of the loop and holds no thread. Events only wake it, and it then looks. It ends with the time,
with the client, and with the gateway. Their number is limited.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from maestro_schemas.errors import MaestroError

from .choice import Choice
from .event_stream import follow
from .visibility import Principal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from prometheus_client import Gauge

    from maestro_schemas.documents import MessageDoc

    from .feed import Feed

    Look = Callable[[], Awaitable[Sequence[MessageDoc]]]

# A client that has gone, and a lease of another reader that has ended, are seen this late.
_LOOK_EVERY_S: Final = 1.0
_BUSY_S: Final = 5.0


class MailWaits:
    """The waits of one gateway that are under way."""

    def __init__(self, most: int, shown: Gauge) -> None:
        self._most = most
        self._shown = shown
        self._open = 0

    @contextlib.contextmanager
    def _one_more(self) -> Iterator[None]:
        """Count a wait while it lasts. Raises MaestroError BUSY."""
        if self._open >= self._most:
            raise MaestroError(
                "BUSY",
                f"{self._open:,} clients wait for mail, and the limit is {self._most:,}",
                "Wait with fewer, or read the inbox; the limit is mail_waits_max.",
                retry_after_s=_BUSY_S,
                limit=self._most,
                actual=self._open + 1,
            )
        self._open += 1
        self._shown.inc()
        try:
            yield
        finally:
            self._open -= 1
            self._shown.dec()

    async def until_mail(
        self, feed: Feed, session: str, look: Look, *, wait_ms: int, has_gone: Callable[[], Awaitable[bool]]
    ) -> Sequence[MessageDoc]:
        """What `look` finds, as soon as it finds something; nothing when the time is over or the client `has_gone`.
        Raises MaestroError as `look` does at first, BUSY, and STOPPING when the gateway stops."""
        deadline_s = time.monotonic() + wait_ms / 1000
        # A caller that may not read the mailbox does not wait.
        found = await look()
        if found:
            return found
        # `look` has judged the caller; an event says only that it is time to look again.
        principal = Principal(None, "", "", feed.directory)
        with self._one_more():
            events = await follow(feed, principal, Choice(frozenset({session})), None, "flat")
            items = events.items()
            following = asyncio.ensure_future(anext(items))
            try:
                while True:
                    # A broker that restarts is waited for, as mail is.
                    with contextlib.suppress(MaestroError):
                        found = await look()
                    left_s = deadline_s - time.monotonic()
                    if found or left_s <= 0 or await has_gone():
                        return found
                    if (await asyncio.wait({following}, timeout=min(left_s, _LOOK_EVERY_S)))[0]:
                        following.result()
                        following = asyncio.ensure_future(anext(items))
            finally:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError, MaestroError):
                    await following
                await items.aclose()
                events.close()
