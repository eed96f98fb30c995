"""Flushed: an answer that something waits for.

Rule: what comes after happens only when the client has the whole answer, as far as can be told here: its machine has
acknowledged every byte. The answer's length is not told beforehand and its end is sent last, so that a client that
hung up before is noticed, and did not take what it got for whole.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from .guard import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from .server import ConnectionGuard

# Under the lease of what is shown.
_TAKE_S = 20.0
_LOOK_EVERY_S = 0.001


class NotifyingResponse(Response):
    """`answer`, and `then` once it was taken."""

    def __init__(self, answer: Response, *, then: Callable[[], Awaitable[None]]) -> None:
        super().__init__(answer.body, answer.status_code, media_type=answer.media_type)
        self._then = then
        # Without a length uvicorn sends chunks (RFC 9112 section 7.1), whose end the client waits for.
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        connection = Request(scope, receive)
        if not await _is_taken(connection):
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._then()


async def _is_taken(connection: Request) -> bool:
    """Whether what was sent has arrived, within the time that a reader may take."""
    guard: ConnectionGuard | None = connection.scope.get("state", {}).get(CONNECTION)
    deadline_s = time.monotonic() + _TAKE_S
    while time.monotonic() < deadline_s:
        # A turn of the loop at least: a connection that broke is told of there.
        await asyncio.sleep(_LOOK_EVERY_S)
        if await connection.is_disconnected():
            return False
        if guard is None or guard.unacknowledged_bytes() == 0:
            return True
    return False
