"""After send: a response with an action that runs once the client has it.

Rule: the action runs only when the client's machine has acknowledged every byte, as far as the kernel tells. The
response announces no length, and its end is sent last. So a client that hung up before is noticed, and did not take
the response for complete.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from .responses import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from .server import ConnectionGuard


# Shorter than the lease of the mail that is shown.
_ACKNOWLEDGE_S = 20.0
_LOOK_EVERY_S = 0.001


class NotifyingResponse(Response):
    """`response`, and `then` once the client has it."""

    def __init__(self, response: Response, *, then: Callable[[], Awaitable[None]]) -> None:
        super().__init__(response.body, response.status_code, media_type=response.media_type)
        self._then = then
        # Without a length uvicorn sends chunks (RFC 9112 section 7.1), and the client waits for the last one.
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if not await _is_acknowledged(Request(scope, receive)):
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._then()


async def _is_acknowledged(request: Request) -> bool:
    """Whether the bytes that were sent have arrived within the time limit."""
    connection: ConnectionGuard | None = request.scope.get("state", {}).get(CONNECTION)
    deadline_s = time.monotonic() + _ACKNOWLEDGE_S
    while time.monotonic() < deadline_s:
        # Let the loop run at least once: it reports a broken connection.
        await asyncio.sleep(_LOOK_EVERY_S)
        if await request.is_disconnected():
            return False
        if connection is None or connection.unacknowledged_bytes() == 0:
            return True
    return False
