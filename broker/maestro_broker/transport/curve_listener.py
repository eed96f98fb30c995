"""TCP door: the way in from other machines.

Rule: CURVE or nothing. Sockets, context and I/O thread of its own, so that the local ones are as quick as without
it. Keys are looked up at every handshake, request and subscription, in files, so that a revocation holds at once;
a revoked key's notices end because the notices' socket is made anew and only those with a key come back.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import zmq
from zmq.utils import z85

from maestro_broker.core import key_authorization
from maestro_runtime import key_files
from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import TOPIC_SEPARATOR

from .local_listener import IncomingRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_broker.core.model.state import State
    from maestro_schemas.keys import Key

_ZAP = "inproc://zeromq.zap.01"  # RFC 27
_MONITOR = "inproc://door"
# Not HANDSHAKE_FAILED_NO_DETAIL: a line that was lost on the way in is nobody's refusal.
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_DISCONNECTED
)
_HIGH_WATER = 10_000
_BACKLOG = 1_024
_HANDSHAKE_MS = 5_000
_LINGER_MS = 500
_HARD_FACTOR = 4
_TOPIC_BYTES_MAX = 1_024
# How long after a port could not be had it is tried again.
_BIND_AGAIN_MS = 20
# A line that is cut is noticed after this long; clients ask as often.
HEARTBEAT_MS = 2_000
SILENCE_MS = 6_000
# A directory changed so shortly ago may change again within the same tick of its clock: it is read again.
_UNSURE_NS = 50_000_000


class KeyRing:
    """The keys in `<data>/keys`, as they are now."""

    def __init__(self, data: str, warn: Callable[[str], None]) -> None:
        self._data = data
        self._warn = warn
        self._stamp = -1
        self._by_public: dict[str, Key] = {}

    def refresh(self) -> set[str]:
        """Look again; the public keys that are no longer good."""
        try:
            stamp = os.stat(key_files.keys_dir(self._data)).st_mtime_ns
        except FileNotFoundError:
            stamp = 0
        if stamp == self._stamp:
            return set()
        self._stamp = stamp if time.time_ns() - stamp > _UNSURE_NS else -1
        try:
            keys = key_files.read_all(self._data)
        except MaestroError as error:
            # Who can't be read is not let in; nor is anybody else, until somebody has looked after it.
            self._warn(f"no key is good until this is mended: {error.message}")
            keys = []
        before, self._by_public = self._by_public, {key.public: key for key in keys if key.revoked_at is None}
        return before.keys() - self._by_public.keys()

    def get(self, public: str) -> Key | None:
        """The key that is good now."""
        return self._by_public.get(public)


class CurveListener:
    """`held`: topics that peers were let subscribe to. `opened`: handshakes done; `refused`: not done."""

    def __init__(
        self, data: str, address: str, wire_bytes_max: int, state: State, warn: Callable[[str], None]
    ) -> None:
        self.host, self.port = parse_address(address)
        if not zmq.has("curve"):
            raise MaestroError(
                "CURVE_MISSING",
                "this machine's libzmq was built without CURVE, and without it nothing is served over TCP",
                "Install pyzmq from its wheel (pip install --force-reinstall pyzmq), or leave --tcp off.",
            )
        self._state = state
        self._pair = key_files.server_pair(data, new_pair)
        self._ring = KeyRing(data, warn)
        self._context = zmq.Context()
        # Before any socket that needs it: a handshake that finds nobody to ask is refused.
        self.zap = self._context.socket(zmq.REP)
        self.zap.bind(_ZAP)
        self.router = self._secured(zmq.ROUTER)
        self.router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.router.setsockopt(zmq.MAXMSGSIZE, wire_bytes_max * _HARD_FACTOR)
        self.router.monitor(_MONITOR, _EVENTS)
        self._monitor = self._context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.RCVHWM, 0)
        self._monitor.connect(_MONITOR)
        self.publisher = self._new_publisher()
        self._publisher_is_bound = False
        self._polled: list[zmq.Socket[bytes]] = []
        self.held: set[str] = set()
        self._revoked: set[str] = set()
        self._holders: dict[str, int] = {}
        self._denied: dict[str, int] = {}
        self._last_seen_ms: dict[str, int] = {}
        self.opened = self.closed = self.refused = self.refused_topics = self.unsent = 0

    @property
    def address(self) -> str:
        """Where requests are taken; notices on the port after it."""
        return f"tcp://{self.host}:{self.port}"

    def bind(self) -> None:
        """Listen. Raises MaestroError BAD_SETTING."""
        self._ring.refresh()
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
        self.publisher.bind(f"tcp://{self.host}:{self.port + 1}")
        self._publisher_is_bound = True

    def _secured(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._pair.secret.encode())
        socket.setsockopt(zmq.ZAP_DOMAIN, b"maestro")
        socket.setsockopt(zmq.LINGER, _LINGER_MS)
        socket.setsockopt(zmq.BACKLOG, _BACKLOG)
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        socket.setsockopt(zmq.SNDHWM, _HIGH_WATER)
        socket.setsockopt(zmq.RCVHWM, _HIGH_WATER)
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
        socket.setsockopt(zmq.HEARTBEAT_TTL, SILENCE_MS)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.IPV6, int(":" in self.host))
        return socket

    def _new_publisher(self) -> zmq.Socket[bytes]:
        publisher = self._secured(zmq.XPUB)
        # Manual: a subscription counts only when we say so. It also passes every one up, as XPUB_VERBOSE does.
        publisher.setsockopt(zmq.XPUB_MANUAL, 1)
        publisher.setsockopt(zmq.MAXMSGSIZE, _TOPIC_BYTES_MAX)
        return publisher

    def register(self, poller: zmq.Poller) -> None:
        """Have the loop woken by what comes; to be called again whenever it is about to wait."""
        sockets = [self.zap, self.router, self.publisher]
        if sockets != self._polled:
            for socket in self._polled:
                poller.unregister(socket)
            for socket in sockets:
                poller.register(socket, zmq.POLLIN)
            self._polled = sockets

    # --- who comes in --------------------------------------------------------------------------------------

    def _let_in(self) -> None:
        """Answer the handshakes that wait."""
        while True:
            try:
                frames = self.zap.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            # version, request id, domain, address, identity, mechanism, credentials; libzmq makes them, no peer.
            public = z85.encode(frames[6]).decode() if frames[5] == b"CURVE" else ""
            self._refresh()
            good = self._ring.get(public) is not None
            status = (b"200", b"OK", public.encode()) if good else (b"400", b"no such key", b"")
            self.zap.send_multipart((frames[0], frames[1], *status, b""))

    def _refresh(self) -> None:
        self._revoked |= self._ring.refresh()

    def look_after(self, tick_ms: int) -> int:
        """Every `tick_ms`: revoked keys go, what happened at the door is counted. When to look again, in ms."""
        self._refresh()
        if self._revoked:
            self._revoked.clear()
            # A subscription can't be taken from one peer of an XPUB; so all go, and whoever still has a key is back
            # within a fifth of a second, gets its head again, and catches up.
            self.publisher.close(0)
            self.publisher = self._new_publisher()
            self._publisher_is_bound = False
            self.held.clear()
            self._holders.clear()
            self._denied.clear()
        if not self._publisher_is_bound:
            # The closed one lets go of the port a moment later; then the next look gets it.
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
        """Up to `most` requests that are there now; who stands before the door is let in first."""
        self._let_in()
        for _ in range(most):
            try:
                # The key comes with each: a routing id is the peer's to choose, and may have been another's.
                peer, *parts = self.router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            public = _user(parts[0]) if parts else ""
            yield IncomingRequest(peer.bytes, None, [part.bytes for part in parts] or [b""], public)

    def authenticate(self, public: str, now_ms: int) -> Key:
        """The key of the peer with this public key. Raises MaestroError KEY_REVOKED."""
        self._refresh()
        key = self._ring.get(public)
        if key is None:
            raise MaestroError(
                "KEY_REVOKED",
                "the key of this connection was revoked",
                "Ask for a new one: `maestro keys new NAME` on the broker's machine.",
            )
        self._last_seen_ms[key.name] = now_ms
        return key

    def reply(self, peer: bytes, request_id: bytes, status: bytes, body: bytes) -> None:
        """Answer, if the peer is still there and takes it."""
        try:
            self.router.send_multipart((peer, PROTOCOL_HEADER, request_id, status, body), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            self.unsent += 1

    def flush(self) -> None:
        """Nothing: libzmq's own thread sends."""

    # --- notices -------------------------------------------------------------------------------------------

    def publish(self, topic: str, body: bytes) -> None:
        """Give a notice to whoever listens."""
        with contextlib.suppress(zmq.Again):
            self.publisher.send_multipart((topic.encode(), body), zmq.NOBLOCK)

    def wants(self, session: str) -> bool:
        """Whether anybody holds a topic that this session's notices could match."""
        own = f"{session}{TOPIC_SEPARATOR}"
        return own in self.held or "" in self.held or any(topic.startswith(own) for topic in self.held)

    def subscriptions(self) -> Iterator[str]:
        """Topics newly subscribed to by those who may; keeps `held`."""
        while True:
            try:
                frame = self.publisher.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            raw = frame.bytes
            topic = raw[1:].decode("utf-8", "replace")
            if raw[:1] == b"\x01":
                self._refresh()
                key = self._ring.get(_user(frame))
                if key is None or not key_authorization.may_hear(self._state, key, topic):
                    self.refused_topics += 1
                    self._denied[topic] = self._denied.get(topic, 0) + 1
                    continue
                # libzmq applies it to the peer of the frame that was received last.
                self.publisher.setsockopt(zmq.SUBSCRIBE, raw[1:])
                self._holders[topic] = self._holders.get(topic, 0) + 1
                self.held.add(topic)
                yield topic
            elif raw[:1] == b"\x00":
                self._let_go(topic, raw[1:], by_peer=bool(_user(frame)))

    def _let_go(self, topic: str, raw: bytes, *, by_peer: bool) -> None:
        if by_peer:
            # One that is gone takes its subscriptions with it; one that stays must be told.
            self.publisher.setsockopt(zmq.UNSUBSCRIBE, raw)
        # Whose it was is not told of a peer that is gone: a denied one's is taken first, so that nobody who was let
        # in is left without notices.
        for counted in (self._denied, self._holders):
            if topic in counted:
                counted[topic] -= 1
                if not counted[topic]:
                    del counted[topic]
                    if counted is self._holders:
                        self.held.discard(topic)
                return

    # --- the end -------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """For `maestro status`. `keys`: when each was last heard of, ms since the epoch."""
        return {
            "address": self.address,
            "noticesPort": self.port + 1,
            "connected": max(0, self.opened - self.closed),
            "handshakes": self.opened,
            "refusedHandshakes": self.refused,
            "refusedTopics": self.refused_topics,
            "unsentReplies": self.unsent,
            "keys": dict(self._last_seen_ms),
        }

    def close(self) -> None:
        """Flush for half a second at most."""
        self.router.disable_monitor()
        self._monitor.close(0)
        self.router.close()
        self.publisher.close()
        self.zap.close(0)
        self._context.term()


class TopicUnion(AbstractSet[str]):
    """The topics held at the local socket or at the door."""

    def __init__(self, *parts: AbstractSet[str]) -> None:
        self._parts = parts

    def __contains__(self, topic: object) -> bool:
        return any(topic in part for part in self._parts)

    def __iter__(self) -> Iterator[str]:
        return iter(set().union(*self._parts))

    def __len__(self) -> int:
        return sum(map(len, self._parts))  # one held at both counts twice; asked at every commit


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT. Raises MaestroError BAD_SETTING."""
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_535:
        raise MaestroError(
            "BAD_SETTING",
            f"--tcp takes HOST:PORT, not {text[:80]!r}",
            "For example 0.0.0.0:5570; a port from 1 to 65,534, since notices go out at the one after it.",
        )
    return host, int(port)


def new_pair() -> key_files.KeyPair:
    """A new Curve25519 pair."""
    public, secret = zmq.curve_keypair()
    return key_files.KeyPair(public.decode(), secret.decode())


def _user(frame: zmq.Frame) -> str:
    """The public key that the handshake was made with; empty where a frame carries none."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
