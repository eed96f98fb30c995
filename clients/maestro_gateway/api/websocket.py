"""WebSocket: live events at `/` and `/ws`.

Rule: a frame is one JSON object, in both directions. A wrong frame of the client gets an error frame, and the
connection stays. A frame of an unknown type, such as a heartbeat, gets nothing. An error that ends the connection has
a code of its own (`CLOSE_CODES`) and a reason that says what to do. A connection is accepted once its events are
followed, so that it gets every event from then on. One event may be several frames of one `lsn`. A client that must
not miss a frame resumes from one less, and skips those it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from maestro_clients.protocol.callers import Caller
from maestro_gateway.events.choice import Choice, form_of
from maestro_gateway.events.event_stream import follow, not_an_lsn, since_of
from maestro_gateway.events.frames import ended_frames
from maestro_gateway.events.visibility import authenticate
from maestro_gateway.http.credentials import is_unregistered, needs_token
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.responses import error_body
from maestro_schemas.errors import MaestroError
from maestro_schemas.generators.field_errors import explained
from maestro_schemas.names import OPERATOR
from maestro_schemas.texts import json_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from starlette.websockets import WebSocket

    from maestro_gateway.context import GatewayContext
    from maestro_gateway.events.choice import Form
    from maestro_gateway.events.event_stream import EventStream
    from maestro_gateway.events.visibility import Principal

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
# The limit of a close frame's reason (RFC 6455 section 5.5).
_REASON_BYTES = 123
_TOKEN_MAY_FOLLOW = frozenset({"NO_SESSION", "TOKEN_REQUIRED"})
# A client that can't set headers must send its first frame within this time.
_AUTH_S = 10.0
_SESSIONS_MAX = 1_000


class ClientFrame(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a client may send."""

    # `ping`, `subscribe`, `unsubscribe`, `auth`; any other is ignored.
    type: str
    # Of `subscribe`: the sessions whose events are wanted, or the project of these sessions.
    session_ids: list[str] | None = None
    project_id: str | None = None
    # Of `subscribe`: the LSN after which to begin. Default: now.
    since: int | None = None
    # Of `auth`: the session, and its token; or the token of a login of the page alone.
    session_id: str | None = None
    token: str | None = None


_client_frames = msgspec.json.Decoder(ClientFrame)


class WebSocketConnection:
    """One client. One task reads its frames, and another writes its events."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._gateway: GatewayContext = socket.app.state.gateway
        self._stream: EventStream | None = None
        self._writer: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[MaestroError] = asyncio.get_running_loop().create_future()
        self._principal: Principal | None = None
        self._is_accepted = False
        self._has_sent_auth = False
        self._form: Form = "named"
        # Frames that say whether the broker is away, on their way.
        self._saying: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until either side ends the connection."""
        try:
            await self._serve()
        except MaestroError as error:
            if error.kind == "unreachable":
                self._gateway.feed.search()
            self._stop_stream()
            await self._close(error)
        finally:
            self._gateway.feed.link_watchers.discard(self._say_link)
            self._stop_stream()

    async def _serve(self) -> None:
        since = since_of(self._socket.headers, self._socket.query_params)
        self._form = form_of(self._socket.query_params)
        principal = await self._authenticate_at_handshake()
        await self._start_stream(principal, None, since, _authenticated(principal) if self._is_accepted else None)
        if "link" in self._socket.query_params:
            self._gateway.feed.link_watchers.add(self._say_link)
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

    # --- authentication ------------------------------------------------------------------------------------

    async def _authenticate_at_handshake(self) -> Principal:
        named = caller_of(self._socket)
        in_url = self._socket.query_params.get("sessionId") or None
        if named.session is not None and in_url not in (None, named.session):
            raise MaestroError(
                "INVALID", "X-Session-ID and `sessionId` in the address name two sessions", "Name one of them."
            )
        if named.session is None:
            named = Caller(in_url, token_of(self._socket) if in_url is not None else None)
        try:
            return await self._authenticate(named)
        except MaestroError as error:
            if named.token is None and is_unregistered(self._socket, error):
                # As a read under that name: the session is yet to be started.
                return await self._authenticate(Caller())
            # A browser can't send a token with the handshake, and a token in the URL would end up in logs.
            if error.code not in _TOKEN_MAY_FOLLOW:
                raise
            await self._accept()
            return await self._authenticate_by_first_frame(error)

    async def _authenticate_by_first_frame(self, refusal: MaestroError) -> Principal:
        try:
            async with asyncio.timeout(_AUTH_S):
                raw = await self._next_frame()
        except TimeoutError:
            raise refusal from None
        try:
            frame = _decoded(raw)
        except MaestroError:
            raise refusal from None
        if frame.type != "auth":
            raise refusal
        self._has_sent_auth = True
        return await self._authenticate_by(frame)

    async def _authenticate_by(self, frame: ClientFrame) -> Principal:
        gateway = self._gateway
        if gateway.logins.rights_of(frame.token) is not None and frame.session_id in (None, OPERATOR):
            # A login of the page is the person's; whatever it may do, a client changes nothing here.
            person = Caller(OPERATOR)
            return await authenticate(gateway.broker, gateway.feed.directory, person, needs_token=False)
        if frame.session_id is None:
            raise MaestroError("INVALID", "`auth` names no session", 'Send {"type": "auth", "sessionId", "token"}.')
        return await self._authenticate(Caller(frame.session_id, frame.token))

    async def _authenticate(self, caller: Caller) -> Principal:
        gateway = self._gateway
        return await authenticate(
            gateway.broker, gateway.feed.directory, caller, needs_token=needs_token(self._socket)
        )

    # --- the client's frames -------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            # `auth` is for the first frame alone.
            is_first = not self._has_sent_auth
            while True:
                raw = await self._next_frame()
                try:
                    await self._handle(_decoded(raw), is_first=is_first)
                except MaestroError as error:
                    await self._answer(_error_frame(error))
                is_first = False
        except WebSocketDisconnect:
            return
        except MaestroError as error:
            self._end(error)

    async def _handle(self, frame: ClientFrame, *, is_first: bool) -> None:
        match frame.type:
            case "ping":
                await self._answer({"type": "pong", "timestamp": time.time_ns() // 1_000_000})
            case "subscribe":
                await self._subscribe(frame)
            case "unsubscribe":
                self._current.subscription.choice = None
                await self._answer({"type": "unsubscribed", "lsn": self._gateway.feed.cursor})
            case "auth":
                if not is_first:
                    raise MaestroError(
                        "INVALID", "`auth` comes first or not at all", "Connect again for another session."
                    )
                await self._become(frame)

    async def _subscribe(self, frame: ClientFrame) -> None:
        choice, shown = _choice(frame)
        if frame.since is not None and frame.since < 0:
            raise not_an_lsn(frame.since)
        answer = {"type": "subscribed", **shown, "lsn": self._gateway.feed.cursor}
        if frame.since is None:
            self._current.subscription.choice = choice
            await self._answer(answer)
            if self._form == "named":
                await self._answer_ended(choice.sessions)
        elif self._principal is not None:
            await self._start_stream(self._principal, choice, frame.since, answer)

    async def _answer_ended(self, sessions: Iterable[str]) -> None:
        """Say of each chosen session that has ended already that it has: a client may wait for the end of all."""
        feed, principal = self._gateway.feed, self._principal
        assert principal is not None  # noqa: S101 - frames are read only after the stream has started
        for text in await ended_frames(feed.directory, principal, sessions, feed.cursor, time.time_ns() // 1_000_000):
            await self._send(text)

    async def _become(self, frame: ClientFrame) -> None:
        """A client that connected without a name is this session from its first frame on."""
        try:
            principal = await self._authenticate_by(frame)
        except MaestroError as error:
            # It must not go on as the operator, which it did not want to be.
            self._end(error)
            return
        await self._start_stream(principal, None, self._current.subscription.position, _authenticated(principal))

    @property
    def _current(self) -> EventStream:
        assert self._stream is not None  # noqa: S101 - frames are read only after the stream has started
        return self._stream

    # --- its events ----------------------------------------------------------------------------------------

    async def _start_stream(
        self,
        principal: Principal,
        choice: Choice | None,
        since: int | None,
        answer: dict[str, Any] | None = None,
    ) -> None:
        """Follow the events as this principal. If that is refused, the stream before it stays."""
        stream = await follow(self._gateway.feed, principal, choice, since, self._form)
        # The old writer is not awaited: it writes nothing any more, and a cancellation here must not leave two.
        self._stop_stream()
        self._principal, self._stream = principal, stream
        if not self._is_accepted:
            await self._accept()
        if answer is not None:
            await self._answer(answer)
        self._writer = asyncio.create_task(self._write(stream))

    async def _write(self, stream: EventStream) -> None:
        try:
            async with contextlib.aclosing(stream.items()) as items:
                async for item in items:
                    for frame in item.frames:
                        await self._send(frame.text)
        except MaestroError as error:
            self._end(error)
        except WebSocketDisconnect:
            pass  # the reading task learns of it too

    def _stop_stream(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
        if self._stream is not None:
            self._stream.close()

    def _say_link(self, is_away: bool) -> None:  # noqa: FBT001 - the feed calls it with this alone
        frame = {"type": "broker:away" if is_away else "broker:back", "lsn": self._gateway.feed.cursor}
        task = asyncio.create_task(self._say(frame))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)

    async def _say(self, frame: dict[str, Any]) -> None:
        with contextlib.suppress(WebSocketDisconnect):  # the reading task learns of it too
            await self._answer(frame)

    # --- frames --------------------------------------------------------------------------------------------

    async def _accept(self) -> None:
        self._is_accepted = True
        await _served(self._socket.accept())

    async def _next_frame(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        text: str | None = message.get("text")
        return text if text is not None else bytes(message.get("bytes") or b"")

    async def _answer(self, body: dict[str, Any]) -> None:
        await self._send(json_bytes.encode(body).decode())

    async def _send(self, text: str) -> None:
        await _served(self._socket.send_text(text))

    def _end(self, error: MaestroError) -> None:
        if not self._ended.done():
            self._ended.set_result(error)

    async def _close(self, error: MaestroError) -> None:
        if not self._is_accepted:
            await self._accept()
        await self._answer(_error_frame(error))
        code = CLOSE_CODES.get(error.code, _REFUSED_IDENTITY if error.status == _UNAUTHORISED else _FAULT)
        await _served(self._socket.close(code, _reason(error)))


async def _served(call: Awaitable[None]) -> None:
    """uvicorn raises RuntimeError for a connection that it has closed itself: no pong came, or it stops."""
    try:
        await call
    except RuntimeError:
        raise WebSocketDisconnect from None


async def serve(socket: WebSocket) -> None:
    """One connection, from its handshake to its end."""
    clients = socket.app.state.gateway.metrics.websocket_clients
    with clients.track_inprogress(), contextlib.suppress(WebSocketDisconnect):
        await WebSocketConnection(socket).run()


def websocket_routes() -> list[WebSocketRoute]:
    """The paths for WebSocket; they are not below `/api`."""
    return [WebSocketRoute(path, serve) for path in PATHS]


def _decoded(raw: str | bytes) -> ClientFrame:
    try:
        return _client_frames.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        code, why = "BAD_REQUEST", str(error)
        if isinstance(error, msgspec.ValidationError):
            code, why = "INVALID", explained(error, ClientFrame)
        raise MaestroError(
            code,
            f"the frame can't be understood: {why}",
            'Send one JSON object a frame: {"type": "ping"}, {"type": "subscribe", "sessionIds": [...], "since"?}, '
            '{"type": "unsubscribe"}.',
        ) from None


def _choice(frame: ClientFrame) -> tuple[Choice, dict[str, Any]]:
    """What `subscribe` chooses, and how its answer repeats that. Raises MaestroError INVALID."""
    ids = frame.session_ids
    if ids is None and frame.project_id:
        return Choice(project=frame.project_id), {"projectId": frame.project_id}
    if not ids or len(ids) > _SESSIONS_MAX:
        raise MaestroError(
            "INVALID",
            f"`subscribe` takes 1 to {_SESSIONS_MAX:,} sessionIds or a projectId, and got {len(ids or ()):,}",
            '{"type": "unsubscribe"} selects every session that you may see again.',
            limit=_SESSIONS_MAX,
            actual=len(ids or ()),
        )
    return Choice(frozenset(ids)), {"sessionIds": ids}


def _authenticated(principal: Principal) -> dict[str, Any]:
    return {"type": "authenticated", "sessionId": principal.session}


def _error_frame(error: MaestroError) -> dict[str, Any]:
    body = error_body(error)
    del body["error"]
    return {"type": "error", **body}


def _reason(error: MaestroError) -> str:
    since = (error.details or {}).get("since")
    text = f"{error.code}: " + (f"resume with since={since}" if since is not None else error.message)
    return text.encode()[:_REASON_BYTES].decode(errors="ignore")
