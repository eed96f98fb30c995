"""CURVE listener: the broker's sockets for other machines, over TCP.

Rule: no connection without CURVE. Sockets, context and I/O thread are separate from the local ones, whose speed is
then the same with and without TCP. Keys are looked up at every handshake, request and subscription, so that a
revocation takes effect at once. To end the notices of a revoked key, the socket of notices is made again, and only
peers with a valid key come back.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import zmq
from zmq.utils import z85

from maestro_broker.core import key_authorization
from maestro_runtime import key_files
from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.errors import MaestroError

from . import socket_options
from .curve_publisher import CurvePublisher, public_key
from .key_ring import KeyRing
from .listener import DelimitedPeer, IncomingRequest, without_delimiter
from .publisher import has_arrived

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_broker.core.model.state import State
    from maestro_schemas.keys import Key

    from .zmtp_router import ZmtpRouter

_ZAP = "inproc://zeromq.zap.01"  # RFC 27
_MONITOR = "inproc://handshakes"
# Not HANDSHAKE_FAILED_NO_DETAIL: a connection that was lost during its handshake was not refused.
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_DISCONNECTED
)
# Try again to bind a port that was still in use, after this time.
_BIND_AGAIN_MS = 20
# A cut connection is noticed after `SILENCE_MS`; clients use the same times.
HEARTBEAT_MS = 2_000
SILENCE_MS = 6_000


class CurveListener:
    """A ROUTER for requests, an XPUB on the next port for notices, and a ZAP socket for handshakes."""

    def __init__(
        self, data: str, address: str, wire_bytes_max: int, state: State, warn: Callable[[str], None]
    ) -> None:
        """Raises MaestroError BAD_SETTING, CURVE_MISSING or KEY_FILE_UNUSABLE."""
        self.host, self.port = parse_address(address)
        if not zmq.has("curve"):
            raise MaestroError(
                "CURVE_MISSING",
                "this machine's libzmq was built without CURVE, and without it nothing is served over TCP",
                "Install pyzmq from its wheel (pip install --force-reinstall pyzmq), or leave --tcp off.",
            )
        self._state = state
        self._pair = key_files.server_pair(data, new_pair)
        self._keys = KeyRing(data, warn)
        self._context = zmq.Context()
        # Before any socket that needs it: libzmq refuses a handshake if there is no ZAP socket to ask.
        self.zap = self._context.socket(zmq.REP)
        self.zap.bind(_ZAP)
        self.router = self._secured(zmq.ROUTER, frame_bytes_max=wire_bytes_max * socket_options.FRAME_FACTOR)
        self.router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.router.monitor(_MONITOR, _EVENTS)
        self._monitor = self._context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.RCVHWM, 0)
        self._monitor.connect(_MONITOR)
        self.notices = CurvePublisher(self._new_publisher(), self._may_subscribe)
        self._publisher_is_bound = False
        # The socket of notices that wakes the loop.
        self._watched: zmq.Socket[bytes] | None = None
        self._revoked: set[str] = set()
        self._last_seen_ms: dict[str, int] = {}
        # Handshakes done, connections ended, handshakes refused, replies that could not be sent.
        self.opened = self.closed = self.refused = self.unsent = 0

    @property
    def address(self) -> str:
        """The address of requests; notices use the next port."""
        return f"tcp://{self.host}:{self.port}"

    def bind(self) -> None:
        """Listen. Raises MaestroError BAD_SETTING."""
        self._keys.refresh()
        try:
            self.router.bind(self.address)
            self._bind_publisher()
        except zmq.ZMQError as error:
            self.close()
            raise MaestroError(
                "BAD_SETTING",
                f"{self.host}:{self.port} and {self.port + 1} can't be listened on: {error}",
                "Give --tcp an address of this machine (0.0.0.0 is all) and a port whose next one is free, too.",
            ) from None

    def _bind_publisher(self) -> None:
        self.notices.socket.bind(f"tcp://{self.host}:{self.port + 1}")
        self._publisher_is_bound = True

    def _secured(self, kind: int, *, frame_bytes_max: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket_options.set_limits(socket, frame_bytes_max=frame_bytes_max)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._pair.secret.encode())
        socket.setsockopt(zmq.ZAP_DOMAIN, b"maestro")
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
        socket.setsockopt(zmq.HEARTBEAT_TTL, SILENCE_MS)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.IPV6, int(":" in self.host))
        return socket

    def _new_publisher(self) -> zmq.Socket[bytes]:
        publisher = self._secured(zmq.XPUB, frame_bytes_max=socket_options.TOPIC_BYTES_MAX)
        # Manual: a subscription takes effect only if we apply it. Each one is passed up, as XPUB_VERBOSE does.
        publisher.setsockopt(zmq.XPUB_MANUAL, 1)
        return publisher

    def watch_by(self, waiting: ZmtpRouter) -> None:
        """Have this listener's sockets wake the loop. Call it before each wait, because a revocation changes them."""
        if self.notices.socket is not self._watched:
            for socket in (self.zap, self.router, self.notices.socket):
                waiting.watch(int(socket.getsockopt(zmq.FD)))
            self._watched = self.notices.socket

    @property
    def has_left(self) -> bool:
        """Whether something has arrived that no descriptor reports: sending takes it in, and `receive` may leave some
        of it."""
        return has_arrived(self.router) or has_arrived(self.zap)

    # --- keys ----------------------------------------------------------------------------------------------

    def _answer_handshakes(self) -> None:
        while True:
            try:
                frames = self.zap.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            # version, request id, domain, address, identity, mechanism, credentials: made by libzmq, not by the peer.
            public = z85.encode(frames[6]).decode() if frames[5] == b"CURVE" else ""
            self._refresh()
            is_valid = self._keys.get(public) is not None
            status = (b"200", b"OK", public.encode()) if is_valid else (b"400", b"no such key", b"")
            self.zap.send_multipart((frames[0], frames[1], *status, b""))

    def _refresh(self) -> None:
        self._revoked |= self._keys.refresh()

    def _may_subscribe(self, public: str, topic: str) -> bool:
        self._refresh()
        key = self._keys.get(public)
        return key is not None and key_authorization.may_hear(self._state, key, topic)

    def look_after(self, tick_ms: int) -> int:
        """Disconnect revoked keys, and count connections. Returns the time until the next call, in milliseconds;
        usually `tick_ms`."""
        self._refresh()
        if self._revoked:
            self._revoked.clear()
            # A subscription can't be taken from one peer of an XPUB. All are disconnected; a peer with a valid key is
            # back within a fifth of a second, gets its head again, and catches up.
            self.notices.replace_socket(self._new_publisher())
            self._publisher_is_bound = False
        if not self._publisher_is_bound:
            # The closed socket releases the port a moment later; then the next call gets it.
            with contextlib.suppress(zmq.ZMQError):
                self._bind_publisher()
        while True:
            try:
                frames = self._monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return tick_ms if self._publisher_is_bound else _BIND_AGAIN_MS
            event = int.from_bytes(frames[0][:2], sys.byteorder)
            self.opened += event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self.closed += event == zmq.EVENT_DISCONNECTED
            self.refused += event not in (zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED)

    # --- requests ------------------------------------------------------------------------------------------

    def receive(self, most: int) -> Iterator[IncomingRequest]:
        """Answer the handshakes that wait; then yield up to `most` requests that have arrived."""
        self._answer_handshakes()
        for _ in range(most):
            try:
                # The key is read from each request: a routing id is chosen by the peer, and may have been another's.
                peer, *parts = self.router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            public = public_key(parts[0]) if parts else ""
            route, request = without_delimiter(peer.bytes, [part.bytes for part in parts] or [b""])
            yield IncomingRequest(route, None, request, public)

    def authenticate(self, public: str, now_ms: int) -> Key:
        """The key of the peer with this public key. Raises MaestroError KEY_REVOKED."""
        self._refresh()
        key = self._keys.get(public)
        if key is None:
            raise MaestroError(
                "KEY_REVOKED",
                "the key of this connection was revoked",
                "Ask for a new one: `maestro keys new NAME` on the broker's machine.",
            )
        self._last_seen_ms[key.name] = now_ms
        return key

    def reply(self, peer: bytes | DelimitedPeer, request_id: bytes, status: bytes, body: bytes) -> None:
        """Send a reply; drop and count it if the peer is gone or does not read."""
        envelope = (peer.peer, b"") if isinstance(peer, DelimitedPeer) else (peer,)
        try:
            self.router.send_multipart((*envelope, PROTOCOL_HEADER, request_id, status, body), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            self.unsent += 1

    def flush(self) -> None:
        """Do nothing: libzmq's own thread sends."""

    # --- status and end ------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """For `maestro status`. `keys`: the time of each key's last request, in ms since the epoch."""
        return {
            "address": self.address,
            "noticesPort": self.port + 1,
            "connected": max(0, self.opened - self.closed),
            "handshakes": self.opened,
            "refusedHandshakes": self.refused,
            "refusedTopics": self.notices.refused_topics,
            "unsentReplies": self.unsent,
            "keys": dict(self._last_seen_ms),
        }

    def close(self) -> None:
        """Stop listening; libzmq sends what it can within half a second."""
        self.router.disable_monitor()
        self._monitor.close(0)
        self.router.close()
        self.notices.socket.close()
        self.zap.close(0)
        self._context.term()


class TopicUnion(AbstractSet[str]):
    """The topics that have a subscriber at any listener."""

    def __init__(self, *parts: AbstractSet[str]) -> None:
        self._parts = parts

    def __contains__(self, topic: object) -> bool:
        return any(topic in part for part in self._parts)

    def __iter__(self) -> Iterator[str]:
        return iter(set().union(*self._parts))

    def __len__(self) -> int:
        return sum(map(len, self._parts))  # a topic of two listeners counts twice: every commit asks for this


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT. Raises MaestroError BAD_SETTING."""
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_535:
        raise MaestroError(
            "BAD_SETTING",
            f"--tcp takes HOST:PORT, not {text[:80]!r}",
            "For example 0.0.0.0:5570; a port from 1 to 65,534, since notices use the next one.",
        )
    return host, int(port)


def new_pair() -> key_files.KeyPair:
    """A new Curve25519 pair."""
    public, secret = zmq.curve_keypair()
    return key_files.KeyPair(public.decode(), secret.decode())
