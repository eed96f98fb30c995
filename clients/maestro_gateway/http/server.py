"""Server: one HTTP connection, judged and bounded here, and served by uvicorn.

Rule: a peer that is slow, silent or endless costs a bounded time and a bounded memory, and then its connection. What
is refused here, before there is a request that the application could see, has the documented shape too, comes after
the answers that are still due, and is the last on its connection.

`ConnectionGuard` is the class for uvicorn's option `http`. It passes what `RequestParser` has judged to uvicorn's own
protocol object, which it uses as any asyncio protocol. The application reaches the guard of its connection in the
ASGI scope, under `scope["state"][CONNECTION]`. What uvicorn does not document, and is used all the same, is named in
UNDOCUMENTED; pyproject.toml allows only the release of uvicorn that has it, and
tests/unit/gateway/http/test_server.py looks for each name.
"""

from __future__ import annotations

import asyncio
import fcntl
import http
import socket
import sys
import termios
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from maestro_schemas.errors import MaestroError

from .request_parser import RequestParser, malformed
from .responses import ANSWER_HEADERS, CONNECTION, error_answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from maestro_schemas.http_limits import HttpLimits

    from .peers import Peers, Standing

    # head: until the head is whole. idle: until an idle connection is closed. stall: until a peer that does not read
    # is cut. end: until a connection that is closing is cut. look: until the kernel is asked for a peer that has
    # ended its side.
    _Timer = Literal["head", "idle", "stall", "end", "look"]

# Name -> the property that is used.
UNDOCUMENTED: Final = {
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol": (
        "an asyncio.Protocol, made with config, server_state, app_state, _loop; a copy of app_state is the scope's "
        "`state`; it hands its transport to the WebSocket protocol by set_protocol"
    ),
    "uvicorn.server.ServerState.connections": "the set of all connections that are served, WebSocket ones included",
    "uvicorn.server.Server.shutdown": "is awaited once, when the server ends, and closes the connections",
}
# Over the limit of connections, this many at a time are answered; beyond, a connection is closed without an answer.
REFUSED_CONNECTIONS_MAX: Final = 200
_INT_BYTES: Final = 4
_READ_BYTES: Final = 1 << 16
_LOOK_EVERY_MS: Final = 1_000
# tcp(7), TCP_INFO: its first byte is the connection's state; include/net/tcp_states.h has the number.
_TCP_CLOSE: Final = 7


class ConnectionTable:
    """What the connections of one gateway share."""

    def __init__(self, limits: HttpLimits, peers: Peers) -> None:
        self.limits = limits
        self.peers = peers
        # Connections without a request at the moment, the longest idle first.
        self.idle: dict[ConnectionGuard, None] = {}
        # Refused connections that are still open, so that the refusal arrives.
        self.refused: set[ConnectionGuard] = set()
        # For the bytes that the loop reads.
        self.buffer = memoryview(bytearray(_READ_BYTES))

    def close_refused(self) -> None:
        """Close the refused connections: the server ends."""
        for connection in list(self.refused):
            connection.close()


class ConnectionGuard(asyncio.BufferedProtocol):
    """One connection. `shared` comes by `functools.partial`; the rest is given by uvicorn."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        shared: ConnectionTable,
    ) -> None:
        self._loop = _loop or asyncio.get_running_loop()
        self._shared = shared
        self._limits = shared.limits
        self._served = server_state.connections
        self._parser = RequestParser(shared.limits)
        state = {**app_state, CONNECTION: self}
        # uvicorn's protocol; None once the connection is refused or gone.
        self._server: HttpToolsProtocol | None = HttpToolsProtocol(config, server_state, state, self._loop)
        self._transport: asyncio.Transport
        self._standing: Standing = "stranger"
        # Requests passed on and not yet answered.
        self._unanswered = 0
        # The answer to the oldest of them has begun; and it has no end of its own.
        self._is_answering = False
        self._is_streaming = False
        # The peer sends nothing more (TCP's half-close), and may still read.
        self._has_peer_ended = False
        # The refusal that follows the answers that are due.
        self._refusal: MaestroError | None = None
        self._discarded_bytes = 0
        self._timers: dict[_Timer, asyncio.TimerHandle] = {}

    # --- asyncio calls these ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected."""
        self._transport = transport
        open_count, limit = self.open_connections, self._limits.connections_max
        if open_count >= limit + REFUSED_CONNECTIONS_MAX:
            self._server = None
            transport.abort()
            return
        if open_count >= limit:
            self._server = None
            self._refuse(
                MaestroError(
                    "BUSY",
                    f"the gateway has its {limit:,} connections",
                    "Close some, or try again in a moment.",
                    retry_after_s=1.0,
                    limit=limit,
                )
            )
            return
        assert self._server is not None  # noqa: S101 - nothing was refused yet
        self._server.connection_made(transport)
        peer, here = _address(transport, "peername"), _address(transport, "sockname")
        self._standing = self._shared.peers.standing(peer, here)
        self._become_idle()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._release()
        self._shared.refused.discard(self)
        server, self._server = self._server, None
        if server is not None:
            server.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop knows no size
        """Where the loop puts the bytes that it reads next. Each piece is used up before the next one is read, from
        any connection. So all share one buffer, and a connection holds no memory for what it may send."""
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The peer has sent some bytes."""
        self._receive(bytes(self._shared.buffer[:nbytes]))

    def _receive(self, data: bytes) -> None:
        self._stop("idle")
        if self._server is None or self._refusal is not None or self._parser.is_done:
            self._discard(len(data))
            return
        parsed = self._parser.feed(data)
        if parsed.heads or parsed.handshake is not None:
            self._stop("head")
            self._shared.idle.pop(self, None)
            if self._standing == "other":
                self._refuse(
                    MaestroError(
                        "PEER_REFUSED",
                        "the program that asks runs as another user of this machine",
                        "Run it as the user that started the gateway.",
                    )
                )
                return
        self._unanswered += parsed.heads
        if parsed.requests:
            self._server.data_received(parsed.requests)
        if parsed.handshake is not None:
            self._upgrade(self._server, parsed.handshake)
        elif parsed.error is not None:
            self._refuse(parsed.error)
        elif self._parser.in_head and not self._unanswered:
            self._await_head()

    def eof_received(self) -> bool:
        """The peer sends nothing more. True keeps the connection: the peer gets the answers that are due."""
        if self._server is None or self._transport.is_closing():
            return False
        if self._refusal is None and (self._parser.has_partial_head or not self._parser.in_head):
            self._refuse(MaestroError("BAD_REQUEST", "the connection ended within a request", "Send it whole."))
        elif self._is_streaming or (self._refusal is None and not self._unanswered):
            return False
        self._has_peer_ended = True
        self._look_for_reset()
        return True

    def pause_writing(self) -> None:
        """The peer leaves its answer unread."""
        if self._server is not None:
            self._server.pause_writing()
        self._start("stall", self._limits.stall_timeout_ms, self._transport.abort)

    def resume_writing(self) -> None:
        """The peer reads again."""
        if self._server is not None:
            self._server.resume_writing()
        self._stop("stall")

    # --- the application calls these -------------------------------------------------------------------------

    @property
    def is_own(self) -> bool:
        """Whether the peer is a program of this process's user, or of root, on this machine."""
        return self._standing == "own"

    @property
    def open_connections(self) -> int:
        """How many connections the gateway has, this one included."""
        return len(self._served) + len(self._shared.refused)

    def answer_begins(self, *, is_stream: bool) -> None:
        """The oldest unanswered request gets its answer. `is_stream`: it has no end of its own."""
        self._is_answering = True
        self._is_streaming = is_stream

    def answer_ends(self) -> None:
        """That answer is written, or never will be."""
        if self._server is None:
            return
        self._is_answering = self._is_streaming = False
        self._unanswered -= 1
        if self._transport.is_closing():
            # The peer may never read what is written.
            self._end_after(self._limits.stall_timeout_ms)
        elif self._refusal is not None:
            if self._unanswered == 0:
                self._write_refusal(self._refusal)
        elif self._unanswered == 0 and self._has_peer_ended:
            self._transport.close()
            self._end_after(self._limits.stall_timeout_ms)
        elif self._unanswered == 0:
            self._become_idle()
            self._start("idle", self._limits.keep_alive_ms, self.close)
            if self._parser.has_partial_head:
                self._await_head()

    @property
    def has_peer_ended(self) -> bool:
        """Whether the peer sends nothing more: it closed its side, or has gone."""
        return self._has_peer_ended

    def unacknowledged_bytes(self) -> int:
        """The bytes that were written and that the peer's machine has not acknowledged (tty_ioctl(2), tcp(7):
        SIOCOUTQ). Where the kernel does not tell, those that it has not taken."""
        waiting = self._transport.get_write_buffer_size()
        sock = self._transport.get_extra_info("socket")
        try:
            queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT_BYTES))
        except (OSError, ValueError):
            return waiting
        return waiting + int.from_bytes(queued, sys.byteorder)

    # --- limits ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection. If the peer does not read, closing would never end, and the connection is cut."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def _become_idle(self) -> None:
        """Add this connection to the idle ones. If these are too many, close the one that is idle for the longest
        time."""
        idle = self._shared.idle
        idle[self] = None
        if len(idle) > self._limits.idle_connections_max:
            oldest = next(iter(idle))
            del idle[oldest]
            oldest.close()

    def _await_head(self) -> None:
        self._start("head", self._limits.head_timeout_ms, self._head_is_late)

    def _head_is_late(self) -> None:
        self._stop("head")
        if self._server is None or self._transport.is_closing():
            return
        if not self._parser.has_partial_head:
            # A browser keeps a connection without a request, and would take an answer for that to its next request.
            self._transport.close()
            return
        self._refuse(
            MaestroError(
                "REQUEST_TIMEOUT",
                f"the request's head did not arrive within {self._limits.head_timeout_ms} ms",
                "Send it at once.",
                limit=self._limits.head_timeout_ms,
            )
        )

    def _look_for_reset(self) -> None:
        """Cut the connection once it is reset: the peer had closed its socket, which looks the same as ending its
        side until something is written. asyncio notices that only when it writes again."""
        self._stop("look")
        sock = self._transport.get_extra_info("socket")
        try:
            [state] = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        except (OSError, AttributeError):
            # The next write tells it.
            return
        if state == _TCP_CLOSE:
            self._transport.abort()
        else:
            self._start("look", _LOOK_EVERY_MS, self._look_for_reset)

    def _discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes > self._limits.linger_bytes_max:
            if self._server is None:
                self._transport.abort()
            else:
                self._transport.pause_reading()

    def _end_after(self, wait_ms: int) -> None:
        self._start("end", wait_ms, self._transport.abort)

    def _release(self) -> None:
        self._shared.idle.pop(self, None)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _start(self, timer: _Timer, wait_ms: int, then: Callable[[], None]) -> None:
        """Call `then` after this time; a timer that runs already is left as it is."""
        if timer not in self._timers:
            self._timers[timer] = self._loop.call_later(wait_ms / 1000, then)

    def _stop(self, timer: _Timer) -> None:
        if timer in self._timers:
            self._timers.pop(timer).cancel()

    # --- other ends of the requests --------------------------------------------------------------------------

    def _upgrade(self, server: HttpToolsProtocol, handshake: bytes) -> None:
        """Hand the connection over to the WebSocket protocol."""
        if self._unanswered:
            # Answers come in the order of the requests, and a handshake would overtake those before it.
            self._refuse(malformed())
            return
        self._release()
        server.data_received(handshake)
        if self._transport.get_protocol() is self:
            self._transport.abort()

    def _refuse(self, error: MaestroError) -> None:
        """Make `error` the last answer of this connection, after those that are due."""
        self._stop("head")
        self._shared.idle.pop(self, None)
        if not self._parser.in_head and self._unanswered:
            # The error is the answer to the request whose body is being read, so that request gets no other.
            if self._unanswered == 1 and self._is_answering:
                self._transport.close()
                self._end_after(self._limits.stall_timeout_ms)
                return
            self._unanswered -= 1
        self._refusal = error
        if not self._unanswered:
            self._write_refusal(error)

    def _write_refusal(self, error: MaestroError) -> None:
        """Write it, and read on for a moment, so that no reset overtakes it (RFC 9112 section 9.6)."""
        server, self._server = self._server, None
        if server is not None:
            # To uvicorn the connection is gone: a request in progress sees a disconnect and writes nothing.
            server.connection_lost(ConnectionAbortedError())
        self._shared.refused.add(self)
        response = error_answer(error, {"Connection": "close"})
        phrase = http.HTTPStatus(response.status_code).phrase.encode()
        lines = [b"HTTP/1.1 %d %b\r\n" % (response.status_code, phrase)]
        lines += [b"%b: %b\r\n" % header for header in (*response.raw_headers, *ANSWER_HEADERS)]
        self._transport.write(b"".join((*lines, b"\r\n", bytes(response.body))))
        self._transport.resume_reading()
        self._transport.write_eof()
        self._end_after(self._limits.linger_ms)


def _address(transport: asyncio.Transport, name: str) -> tuple[str, int] | None:
    found = transport.get_extra_info(name)
    if not found:
        return None
    # An IPv6 address has its interface apart.
    return (f"{found[0]}%{found[3]}" if found[3:] and found[3] else found[0]), found[1]
