"""Server-sent events: a stream for one session, of its mailbox and of the messages that it sent.

Rule: `data` is the same JSON object as a WebSocket frame. Only the last frame of an event has the LSN as its `id`. So
a client that is cut off between two frames of one event gets both again, and misses none. When the gateway ends a
stream, it says why in an event `closed`; a browser then connects again by itself, and resumes.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from maestro_gateway.events.choice import Choice, form_of
from maestro_gateway.events.event_stream import follow, since_of
from maestro_gateway.events.visibility import authenticate
from maestro_gateway.http.credentials import needs_token
from maestro_gateway.http.identity import owner_of
from maestro_gateway.http.responses import error_body
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR
from maestro_schemas.texts import json_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from prometheus_client import Gauge
    from starlette.requests import Request

    from maestro_gateway.context import GatewayContext
    from maestro_gateway.events.event_stream import EventStream
    from maestro_gateway.events.feed import FeedItem

MEDIA_TYPE = "text/event-stream"
_RETRY_MS = 1_000
_PING_S = 15.0
# A proxy must neither delay an event nor keep it for another client.
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def stream(request: Request) -> Response:
    """The session's events as they happen; `Last-Event-ID` or `?since=` resumes."""
    gateway: GatewayContext = request.app.state.gateway
    session = request.path_params["session"]
    since, form = since_of(request.headers, request.query_params), form_of(request.query_params)
    caller = owner_of(request, session)
    principal = await authenticate(gateway.broker, gateway.feed.directory, caller, needs_token=needs_token(request))
    if principal.session not in (session, OPERATOR):
        raise MaestroError(
            "FORBIDDEN",
            f"{principal.session} may not follow the mail of {session}",
            "Only its owner may read a mailbox. The WebSocket at /ws has every event that you may see.",
        )
    if request.method == "HEAD":
        return Response(headers=_HEADERS, media_type=MEDIA_TYPE)
    events = await follow(gateway.feed, principal, Choice(frozenset({session})), since, form)
    return StreamingResponse(_body(events, gateway.metrics.event_streams), headers=_HEADERS, media_type=MEDIA_TYPE)


async def _body(events: EventStream, open_streams: Gauge) -> AsyncGenerator[bytes, None]:
    open_streams.inc()
    try:
        # At once, so that the client knows that it is connected.
        yield f"retry: {_RETRY_MS}\n\n".encode()
        async with contextlib.aclosing(events.items()) as items:
            async for chunk in _with_pings(items):
                yield chunk
    except MaestroError as error:
        body: dict[str, Any] = error_body(error)
        yield b"event: closed\ndata: " + json_bytes.encode(body) + b"\n\n"
    finally:
        open_streams.dec()
        events.close()


async def _with_pings(items: AsyncGenerator[FeedItem, None]) -> AsyncGenerator[bytes, None]:
    """The events, and a comment after each silence. The comment keeps a proxy from closing the connection, and lets
    the server notice a client that is gone."""
    following = asyncio.ensure_future(anext(items))
    try:
        while True:
            if not (await asyncio.wait({following}, timeout=_PING_S))[0]:
                yield b": ping\n\n"
                continue
            yield _chunk(following.result())
            following = asyncio.ensure_future(anext(items))
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError, MaestroError):
            await following


def _chunk(item: FeedItem) -> bytes:
    parts = []
    for frame in item.frames:
        parts += [b"event: ", frame.name.encode(), b"\ndata: ", frame.encoded, b"\n"]
        parts.append(b"id: %d\n\n" % item.lsn if frame is item.frames[-1] else b"\n")
    return b"".join(parts)
