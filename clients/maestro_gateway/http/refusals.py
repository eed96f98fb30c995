"""Refusals: an error as the answer to a request whose body may be on its way.

Rule: a connection that is closed with unread bytes is reset, and the reset can overtake the answer. So such an answer
is the last on its connection. The body is read and discarded for a moment, as RFC 9112 section 9.6 advises, and the
answer's end is sent last. The answer has a length, so the peer has all of it before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .responses import error_answer

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from maestro_schemas.errors import MaestroError
    from maestro_schemas.http_limits import HttpLimits


async def refuse(error: MaestroError, limits: HttpLimits, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the error, and close the connection if a body is on its way."""
    if scope["type"] != "http" or not _has_body(scope):
        await error_answer(error)(scope, receive, send)
        return

    async def hold_end(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await send({**message, "more_body": True})
            await _discard(receive, limits)
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    await error_answer(error, {"Connection": "close"})(scope, receive, hold_end)


async def _discard(receive: Receive, limits: HttpLimits) -> None:
    left = limits.linger_bytes_max
    try:
        async with asyncio.timeout(limits.linger_ms / 1000):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
                # Otherwise the piece would live until the next one comes.
                del message
    except TimeoutError:
        return


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
