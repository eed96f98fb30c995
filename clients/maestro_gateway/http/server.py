"""Protocol: one HTTP connection, with limits on what uvicorn's own leaves unlimited.

Rule: a peer that is slow, silent or endless costs a bounded time and a bounded memory, and then its connection. What
is refused here, before there is a request that the application could see, has the documented shape too, comes after
the answers that are still due, and is the last on its connection.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import http
import sys
import termios
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from maestro_schemas.errors import MaestroError

from .guard import ANSWER_HEADERS
from .responses import error_answer

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from maestro_schemas.http_limits import HttpLimits

    from .peers import Peers

# Over the limit of connections, as many are told so at a time; beyond, they are just closed.
TOLD_MAX: Final = 200
# The ASGI extension by which an application may ask how much of its answer is still on its way.
UNTAKEN: Final = "maestro.untaken"
_INT_BYTES: Final = 4
_WEBSOCKET_VERSION: Final = b"13"  # RFC 6455 section 4.1
_WEBSOCKET_KEY_BYTES: Final = 16
# `name: value` and its line end, beside the two themselves.
_HEADER_EXTRA_BYTES: Final = 4


class ConnectionTable:
    """What the connections of one gateway share. `waiting`: those that have asked nothing at the moment, the longest
    idle first."""

    def __init__(self, limits: HttpLimits, peers: Peers) -> None:
        self.limits = limits
        self.peers = peers
        self.waiting: dict[GuardedProtocol, None] = {}


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's, bounded. `shared` comes by `functools.partial`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        shared: ConnectionTable,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._shared = shared
        self._limits = shared.limits
        self._is_stranger = False
        # Of the head that is being read, or of what is neither head nor body: chunk extensions, trailers.
        self._in_head = True
        self._in_body = False
        self._head_bytes = 0
        self._quiet_bytes = 0
        self._moved = False
        self._fault: MaestroError | None = None
        # Requests that were read and not yet answered, and the refusal that is to follow their answers.
        self._due = 0
        self._refusal: MaestroError | None = None
        self._refused = False
        self._discarded = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None

    # --- the connection --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio: a peer has connected."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections_max:
            count = self._limits.connections_max
            if len(self.connections) > count + TOLD_MAX:
                transport.abort()
                return
            self._refuse(
                MaestroError(
                    "BUSY",
                    f"the gateway has its {count:,} connections",
                    "Close some, or try again in a moment.",
                    retry_after_s=1.0,
                    limit=count,
                )
            )
            return
        self._is_stranger = self._shared.peers.is_stranger(_end(transport, "peername"), _end(transport, "sockname"))
        self._wait()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._let_go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """asyncio: some bytes. Replaces uvicorn's, whose refusal is plain text and overtakes answers that are due."""
        self._unset_keepalive_if_required()
        if self._refused or self._refusal is not None:
            self._discard(len(data))
            return
        self._moved = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()
        except httptools.HttpParserError:
            self._refuse(self._fault or _malformed())
        else:
            self._count(len(data))

    def shutdown(self) -> None:
        """uvicorn: the gateway ends."""
        if self._refused:
            self.transport.close()
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """uvicorn: it has rested long enough. One that reads no answers would never finish closing."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """asyncio: the peer leaves its answer unread."""
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(self._limits.stall_timeout_ms / 1000, self.transport.abort)

    def resume_writing(self) -> None:
        """asyncio: the peer reads again."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    # --- the parser ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """httptools: the first byte of a request."""
        super().on_message_begin()
        self._in_head, self._in_body = True, False
        self._head_bytes = self._quiet_bytes = 0
        self.scope["extensions"] = {UNTAKEN: {"bytes": self._untaken_bytes}}

    def on_url(self, url: bytes) -> None:
        """httptools: a piece of the target."""
        super().on_url(url)
        self._add_to_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header; after the head, a trailer, which must not become one (RFC 9110 section 6.5.1)."""
        self._add_to_head(len(name) + len(value) + _HEADER_EXTRA_BYTES)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """httptools: the head is whole."""
        self._stop_head_timer()
        if self._is_stranger:
            self._fail(
                MaestroError(
                    "PEER_REFUSED",
                    "the program that asks runs as another user, or has gone",
                    "Run it as the user that started the gateway.",
                )
            )
        self._shared.waiting.pop(self, None)
        self._take_target()
        super().on_headers_complete()
        self._in_head, self._in_body, self._moved = False, True, True
        self._quiet_bytes = 0
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            self._due += 1

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of a body."""
        self._moved = True
        self._quiet_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """httptools: the request is whole."""
        self._in_head, self._in_body, self._moved = True, False, True
        self._head_bytes = self._quiet_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn: an answer is written."""
        self._due -= 1
        super().on_response_complete()
        if self._refusal is not None and self._due == 0 and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._answer(self._refusal)
        elif self.transport.is_closing():
            # What is written may never be read.
            self._end_in(self._limits.stall_timeout_ms)
        elif self._due == 0:
            self._wait()
            if (self._head_bytes or self._quiet_bytes) and self._head_timer is None:
                self._await_head()

    # --- WebSocket -------------------------------------------------------------------------------------------

    def handle_websocket_upgrade(self) -> None:
        """uvicorn: hand the connection over. What the handshake lacks is said here, in the documented shape."""
        refusal = _handshake_fault(self.scope["method"], self.headers)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._let_go()
        super().handle_websocket_upgrade()

    def _upgrade(self) -> None:
        if self._should_upgrade():
            if self._due:
                # Answers in the order of the requests: a handshake behind others would overtake them.
                self._refuse(_malformed())
            else:
                self.handle_websocket_upgrade()
            return
        # Another protocol's (h2c): answered as HTTP/1.1, which ends here, for the parser takes nothing more.
        self.cycle.keep_alive = False

    def _untaken_bytes(self) -> int:
        """What was written and the peer's machine has not acknowledged (tty_ioctl(2), tcp(7): SIOCOUTQ); 0 where the
        kernel does not tell."""
        waiting = self.transport.get_write_buffer_size()
        sock = self.transport.get_extra_info("socket")
        try:
            told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT_BYTES))
        except (OSError, ValueError):
            return waiting
        return waiting + int.from_bytes(told, sys.byteorder)

    # --- limits ----------------------------------------------------------------------------------------------

    def _add_to_head(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > self._limits.head_bytes_max:
            self._fail(self._head_too_large(self._head_bytes))

    def _count(self, size: int) -> None:
        """After `size` bytes: what the parser holds back, because its line has no end yet, counts as well. Not where
        the piece also held something whole, for then its share is not known; that happens once."""
        if not self._moved:
            self._quiet_bytes += size
            if self._quiet_bytes > self._limits.head_bytes_max:
                self._refuse(self._head_too_large(self._quiet_bytes))
                return
        if self._in_head and self._head_timer is None and not self._due:
            self._await_head()

    def _head_too_large(self, actual: int) -> MaestroError:
        limit = self._limits.head_bytes_max
        return MaestroError(
            "HEAD_TOO_LARGE",
            f"the request's line and headers have {actual:,} bytes or more, and the limit is {limit:,}",
            "Send fewer or shorter headers.",
            limit=limit,
            actual=actual,
        )

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_timeout_ms / 1000, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._refused or self.transport.is_closing():
            return
        if not self._quiet_bytes and not self._head_bytes:
            # Nothing was asked; a browser keeps such a connection in store, and would take an answer for its next.
            self.transport.close()
            return
        self._refuse(
            MaestroError(
                "REQUEST_TIMEOUT",
                f"the request's head did not arrive within {self._limits.head_timeout_ms} ms",
                "Send it at once.",
                limit=self._limits.head_timeout_ms,
            )
        )

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _wait(self) -> None:
        """It asks nothing at the moment. Where too many do, the longest idle of them goes."""
        waiting = self._shared.waiting
        waiting[self] = None
        if len(waiting) > self._limits.idle_connections_max:
            oldest = next(iter(waiting))
            del waiting[oldest]
            oldest.timeout_keep_alive_handler()

    def _take_target(self) -> None:
        """Bring `http://host/path` into the form of the others: its host takes the place of `Host` (RFC 9112 section
        3.2.2), so that the two can't differ."""
        if self.url.startswith(b"/"):
            return
        target = httptools.parse_url(self.url)
        if target.schema is None or target.schema.lower() != b"http" or not target.host or target.userinfo:
            self._fail(_malformed())
        host = b"[%b]" % target.host if b":" in target.host else target.host
        authority = host if target.port is None else b"%b:%d" % (host, target.port)
        # In place: the scope holds the same list.
        self.headers[:] = [(name, authority if name == b"host" else value) for name, value in self.headers]
        self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")

    # --- refusing --------------------------------------------------------------------------------------------

    def _fail(self, error: MaestroError) -> None:
        """End a parser's callback with a refusal; `data_received` finds it."""
        self._fault = error
        raise error

    def _refuse(self, error: MaestroError) -> None:
        """The last answer of this connection, when those before it are written."""
        self._stop_head_timer()
        self._shared.waiting.pop(self, None)
        if self._in_body and self.cycle is not None and not self.cycle.response_complete:
            # It is about the request that is being read, so that one gets no other answer.
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._due -= 1
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
        if self._due > 0:
            self._refusal = error
        else:
            self._answer(error)

    def _answer(self, error: MaestroError) -> None:
        """Write it, and read on for a moment, so that no reset overtakes it (RFC 9112 section 9.6)."""
        self._refused = True
        response = error_answer(error, {"Connection": "close"})
        lines = [b"HTTP/1.1 %d %b\r\n" % (response.status_code, _phrase(response.status_code))]
        lines += [b"%b: %b\r\n" % header for header in (*response.raw_headers, *ANSWER_HEADERS)]
        self.transport.write(b"".join((*lines, b"\r\n", bytes(response.body))))
        self.flow.resume_reading()
        self.transport.write_eof()
        self._end_in(self._limits.linger_ms)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self._limits.linger_bytes_max:
            if self._refused:
                self.transport.abort()
            else:
                self.flow.pause_reading()

    def _end_in(self, wait_ms: int) -> None:
        if self._end_timer is None:
            self._end_timer = self.loop.call_later(wait_ms / 1000, self.transport.abort)

    def _let_go(self) -> None:
        self._shared.waiting.pop(self, None)
        for timer in (self._head_timer, self._stall_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()


def _malformed() -> MaestroError:
    return MaestroError("BAD_REQUEST", "that is no HTTP/1.1 request", "RFC 9112 has its form.")


def _handshake_fault(method: str, headers: list[tuple[bytes, bytes]]) -> MaestroError | None:
    """What keeps a request from being a WebSocket handshake (RFC 6455 section 4.2.1)."""
    keys = [value.strip() for name, value in headers if name == b"sec-websocket-key"]
    versions = [value.strip() for name, value in headers if name == b"sec-websocket-version"]
    try:
        key_sizes = [len(base64.b64decode(key, validate=True)) for key in keys]
    except binascii.Error:
        key_sizes = []
    if method == "GET" and key_sizes == [_WEBSOCKET_KEY_BYTES] and versions == [_WEBSOCKET_VERSION]:
        return None
    return MaestroError(
        "BAD_REQUEST", "that is no WebSocket handshake of version 13", "RFC 6455 section 4.1 has its form."
    )


def _phrase(status: int) -> bytes:
    return http.HTTPStatus(status).phrase.encode()


def _end(transport: asyncio.Transport, name: str) -> tuple[str, int] | None:
    found = transport.get_extra_info(name)
    return (found[0], found[1]) if found else None
