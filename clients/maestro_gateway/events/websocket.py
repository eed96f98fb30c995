"""WebSocket: the events as they happen, at `/` and `/ws`.

Rule: one JSON object a frame, both ways. What a client sends wrong is answered with an error frame and the connection
stays; what ends it has a code of its own (`CLOSE_CODES`) and a reason that says what to do. A connection is accepted
when its events are under way, so that whatever is sent after that is seen. One event may be several frames of one
`lsn`: who must miss none of them, resumes from one less and passes over what it has had.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute

from maestro_clients.protocol.callers import Caller
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.responses import error_body
from maestro_schemas.errors import MaestroError

from .event_stream import follow, not_an_lsn, since_of
from .visibility import authenticate

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from maestro_gateway.context import GatewayContext

    from .event_stream import EventStream
    from .visibility import Principal

PATHS = ("/", "/ws")
CLOSE_CODES: Final[dict[str, int]] = {
    "SLOW_CONSUMER": 1013,  # try again later: the reason names the LSN to resume from
    "BROKER_UNREACHABLE": 1013,
    "TIMEOUT": 1013,
    "STOPPING": 1012,  # service restart
    "INVALID": 4400,
    "FORBIDDEN": 4403,
    "CURSOR_AHEAD": 4409,
    "CURSOR_EXPIRED": 4410,
}
_REFUSED_IDENTITY = 4401
_FAULT = 1011
_UNAUTHORISED = 401
# The limit of a close frame's reason (RFC 6455, section 5.5).
_REASON_BYTES = 123
_TOKEN_MAY_FOLLOW = frozenset({"NO_SESSION", "TOKEN_REQUIRED"})
# A client that can set no headers has so long for its first frame.
_AUTH_S = 10.0
_SESSIONS_MAX = 1_000

_encode = msgspec.json.Encoder().encode


class ClientFrame(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a client may send. `session_ids` and `since` belong to `subscribe`, `session_id` and `token` to `auth`."""

    type: Literal["ping", "subscribe", "unsubscribe", "auth"]
    session_ids: list[str] | None = None
    since: int | None = None
    session_id: str | None = None
    token: str | None = None


_asks = msgspec.json.Decoder(ClientFrame)


class _GoneError(Exception):
    """The client has closed the connection, or lost it."""


class WebSocketTable:
    """The application behind the WebSocket paths."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from its handshake to its end."""
        request = HTTPConnection(scope)
        connection = WebSocketConnection(request, receive, send)
        with request.app.state.gateway.metrics.websocket_clients.track_inprogress(), contextlib.suppress(_GoneError):
            await connection.run()


class WebSocketConnection:
    """One client. One task reads what it asks; another writes its events."""

    def __init__(self, request: HTTPConnection, receive: Receive, send: Send) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._gateway: GatewayContext = request.app.state.gateway
        self._following: EventStream | None = None
        self._writer: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[MaestroError] = asyncio.get_running_loop().create_future()
        self._viewer: Principal | None = None
        self._is_accepted = False
        self._has_spoken = False

    async def run(self) -> None:
        """Until either side ends it."""
        await self._receive()  # `websocket.connect`
        try:
            await self._talk()
        except MaestroError as error:
            if error.kind == "unreachable":
                self._gateway.feed.search()
            self._let_go()
            await self._close(error)
        finally:
            self._let_go()

    async def _talk(self) -> None:
        since = since_of(self._request.headers, self._request.query_params)
        viewer = await self._admit_at_handshake()
        await self._begin(viewer, None, since, _authenticated(viewer) if self._is_accepted else None)
        reader = asyncio.create_task(self._read())
        either: list[asyncio.Future[Any]] = [reader, self._ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                raise self._ended.result()
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    # --- who it is -----------------------------------------------------------------------------------------

    async def _admit_at_handshake(self) -> Principal:
        named = caller_of(self._request)
        if named.session is None:
            in_url = self._request.query_params.get("sessionId") or None
            named = Caller(in_url, token_of(self._request) if in_url is not None else None)
        try:
            return await self._admit(named)
        except MaestroError as error:
            # A browser can't send a token with the handshake, and one in the URL would end in logs.
            if error.code not in _TOKEN_MAY_FOLLOW:
                raise
            await self._accept()
            return await self._admit_by_first_frame(error)

    async def _admit_by_first_frame(self, refusal: MaestroError) -> Principal:
        try:
            async with asyncio.timeout(_AUTH_S):
                raw = await self._next_text()
        except TimeoutError:
            raise refusal from None
        try:
            ask = _decoded(raw)
        except MaestroError:
            raise refusal from None
        if ask.type != "auth":
            raise refusal
        self._has_spoken = True
        return await self._admit_asked(ask)

    async def _admit_asked(self, ask: ClientFrame) -> Principal:
        if ask.session_id is None:
            raise MaestroError("INVALID", "`auth` names no session", 'Send {"type": "auth", "sessionId", "token"}.')
        return await self._admit(Caller(ask.session_id, ask.token))

    async def _admit(self, caller: Caller) -> Principal:
        gateway = self._gateway
        return await authenticate(gateway.broker, gateway.options, gateway.feed.directory, caller)

    # --- what it asks --------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            # What said who it is came before.
            is_first = not self._has_spoken
            while True:
                raw = await self._next_text()
                try:
                    await self._do(_decoded(raw), is_first=is_first)
                except MaestroError as error:
                    await self._answer(_error_frame(error))
                is_first = False
        except _GoneError:
            return
        except MaestroError as error:
            self._end(error)

    async def _do(self, ask: ClientFrame, *, is_first: bool) -> None:
        match ask.type:
            case "ping":
                await self._answer({"type": "pong", "timestamp": time.time_ns() // 1_000_000})
            case "subscribe":
                await self._subscribe(ask)
            case "unsubscribe":
                self._current.subscription.choice = None
                await self._answer({"type": "unsubscribed", "lsn": self._gateway.feed.cursor})
            case "auth":
                if not is_first:
                    raise MaestroError(
                        "INVALID", "`auth` comes first or not at all", "Connect again for another session."
                    )
                await self._authenticate(ask)

    async def _subscribe(self, ask: ClientFrame) -> None:
        ids = ask.session_ids
        if not ids or len(ids) > _SESSIONS_MAX:
            raise MaestroError(
                "INVALID",
                f"`subscribe` takes 1 to {_SESSIONS_MAX:,} sessionIds, and got {len(ids or ()):,}",
                '{"type": "unsubscribe"} goes back to every session that you may see.',
                limit=_SESSIONS_MAX,
                actual=len(ids or ()),
            )
        if ask.since is not None and ask.since < 0:
            raise not_an_lsn(ask.since)
        choice = frozenset(ids)
        answer = {"type": "subscribed", "sessionIds": ids, "lsn": self._gateway.feed.cursor}
        if ask.since is None:
            self._current.subscription.choice = choice
            await self._answer(answer)
        elif self._viewer is not None:
            await self._begin(self._viewer, choice, ask.since, answer)

    async def _authenticate(self, ask: ClientFrame) -> None:
        """The first frame of a client that connected as nobody: it is this session from here on."""
        try:
            viewer = await self._admit_asked(ask)
        except MaestroError as error:
            # Not as the operator, that it did not want to be.
            self._end(error)
            return
        await self._begin(viewer, None, self._current.subscription.position, _authenticated(viewer))

    @property
    def _current(self) -> EventStream:
        assert self._following is not None  # noqa: S101 - nothing is read before the events are under way
        return self._following

    # --- its events ----------------------------------------------------------------------------------------

    async def _begin(
        self,
        viewer: Principal,
        choice: frozenset[str] | None,
        since: int | None,
        answer: dict[str, Any] | None = None,
    ) -> None:
        """Follow the events as this viewer, in place of what was followed before, unless that is refused."""
        following = await follow(self._gateway.feed, viewer, choice, since)
        # Not waited for: it writes nothing any more, and whoever cancels us here must not leave two of them.
        self._let_go()
        self._viewer, self._following = viewer, following
        if not self._is_accepted:
            await self._accept()
        if answer is not None:
            await self._answer(answer)
        self._writer = asyncio.create_task(self._write(following))

    async def _write(self, following: EventStream) -> None:
        try:
            async with contextlib.aclosing(following.deliveries()) as deliveries:
                async for delivery in deliveries:
                    for frame in delivery.frames:
                        await self._transmit({"type": "websocket.send", "text": frame.text})
        except MaestroError as error:
            self._end(error)
        except _GoneError:
            pass  # the reading task learns of it too

    def _let_go(self) -> None:
        """Follow the events no more."""
        if self._writer is not None:
            self._writer.cancel()
        if self._following is not None:
            self._following.close()

    # --- frames --------------------------------------------------------------------------------------------

    async def _accept(self) -> None:
        self._is_accepted = True
        await self._transmit({"type": "websocket.accept"})

    async def _next_text(self) -> str | bytes:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise _GoneError
        text: str | None = message.get("text")
        return text if text is not None else bytes(message.get("bytes") or b"")

    async def _answer(self, body: dict[str, Any]) -> None:
        await self._transmit({"type": "websocket.send", "text": _encode(body).decode()})

    async def _transmit(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError):
            # The server says so of a connection that it has closed itself, too: no pong came, or it stops.
            raise _GoneError from None

    def _end(self, error: MaestroError) -> None:
        if not self._ended.done():
            self._ended.set_result(error)

    async def _close(self, error: MaestroError) -> None:
        if not self._is_accepted:
            await self._accept()
        await self._answer(_error_frame(error))
        code = CLOSE_CODES.get(error.code, _REFUSED_IDENTITY if error.status == _UNAUTHORISED else _FAULT)
        await self._transmit({"type": "websocket.close", "code": code, "reason": _reason(error)})


def websocket_routes() -> list[WebSocketRoute]:
    """Where clients connect; not below `/api`."""
    sockets = WebSocketTable()
    return [WebSocketRoute(path, sockets) for path in PATHS]


def _decoded(raw: str | bytes) -> ClientFrame:
    try:
        return _asks.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        kind = "INVALID" if isinstance(error, msgspec.ValidationError) else "BAD_REQUEST"
        raise MaestroError(
            kind,
            f"the frame can't be understood: {error}",
            'Send one JSON object a frame: {"type": "ping"}, {"type": "subscribe", "sessionIds": [...], "since"?}, '
            '{"type": "unsubscribe"}.',
        ) from None


def _authenticated(viewer: Principal) -> dict[str, Any]:
    return {"type": "authenticated", "sessionId": viewer.session}


def _error_frame(error: MaestroError) -> dict[str, Any]:
    body = error_body(error)
    del body["error"]
    return {"type": "error", **body}


def _reason(error: MaestroError) -> str:
    since = (error.details or {}).get("since")
    text = f"{error.code}: " + (f"resume with since={since}" if since is not None else error.message)
    return text.encode()[:_REASON_BYTES].decode(errors="ignore")
