"""Stream: server-sent events for one session: its mailbox, and what became of what it sent.

Rule: `data` is the same JSON object as a WebSocket frame. The last frame of an event has the LSN as its `id`, so that
a client cut off between two frames of one event gets both again rather than one of them never. A stream that the
gateway ends says why in an event `closed`; a browser then connects again by itself, from where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response, StreamingResponse

from maestro_gateway.http.identity import owner_of
from maestro_gateway.http.responses import error_body
from maestro_schemas.errors import MaestroError

from .event_stream import follow, since_of
from .visibility import authenticate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from prometheus_client import Gauge
    from starlette.requests import Request

    from maestro_gateway.context import GatewayContext

    from .event_stream import EventStream
    from .feed import FeedItem

MEDIA_TYPE = "text/event-stream"
_RETRY_MS = 1_000
_PING_S = 15.0
# What stands between here and the client must neither keep an event back nor keep it for another.
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_encode = msgspec.json.Encoder().encode


async def stream(request: Request) -> Response:
    """The session's events as they happen; `Last-Event-ID` or `?since=` resumes."""
    gateway: GatewayContext = request.app.state.gateway
    session = request.path_params["session"]
    since = since_of(request.headers, request.query_params)
    viewer = await authenticate(gateway.broker, gateway.options, gateway.feed.directory, owner_of(request, session))
    if viewer.session != session:
        raise MaestroError(
            "FORBIDDEN",
            f"{viewer.session} may not follow the mail of {session}",
            "A mailbox is its owner's. The WebSocket at /ws has every event that you may see.",
        )
    if request.method == "HEAD":
        return Response(headers=_HEADERS, media_type=MEDIA_TYPE)
    following = await follow(gateway.feed, viewer, frozenset({session}), since)
    return StreamingResponse(_body(following, gateway.metrics.event_streams), headers=_HEADERS, media_type=MEDIA_TYPE)


async def _body(following: EventStream, open_streams: Gauge) -> AsyncGenerator[bytes, None]:
    open_streams.inc()
    try:
        # At once, so that the client knows that it is connected.
        yield f"retry: {_RETRY_MS}\n\n".encode()
        async with contextlib.aclosing(following.deliveries()) as deliveries:
            async for chunk in _with_pings(deliveries):
                yield chunk
    except MaestroError as error:
        body: dict[str, Any] = error_body(error)
        yield b"event: closed\ndata: " + _encode(body) + b"\n\n"
    finally:
        open_streams.dec()
        following.close()


async def _with_pings(deliveries: AsyncGenerator[FeedItem, None]) -> AsyncGenerator[bytes, None]:
    """The events, and a comment after each silence: what is between here and the client keeps the connection then,
    and a client that is gone is noticed."""
    following = asyncio.ensure_future(anext(deliveries))
    try:
        while True:
            if not (await asyncio.wait({following}, timeout=_PING_S))[0]:
                yield b": ping\n\n"
                continue
            yield _chunk(following.result())
            following = asyncio.ensure_future(anext(deliveries))
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError, MaestroError):
            await following


def _chunk(delivery: FeedItem) -> bytes:
    parts = []
    for frame in delivery.frames:
        parts += [b"event: ", frame.name.encode(), b"\ndata: ", frame.encoded, b"\n"]
        parts.append(b"id: %d\n\n" % delivery.lsn if frame is delivery.frames[-1] else b"\n")
    return b"".join(parts)
