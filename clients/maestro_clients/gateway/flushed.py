"""Flushed: an answer that something waits for.

Rule: what comes after happens only when the client has the whole answer. It is sent in two pieces of unknown length,
so that a client that hung up in between is noticed before it could take the answer for complete.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send


class Flushed(Response):
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
        # One turn of the loop: a connection that broke is told of there.
        await asyncio.sleep(0)
        if await Request(scope, receive).is_disconnected():
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._then()
