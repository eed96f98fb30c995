"""Transport: the broker's two sockets.

Rule: a ROUTER for requests and an XPUB for notices, both on ipc in a directory of our own (0700); sends never
block. A reply or a notice that can't be sent is dropped: a client repeats its request, a watcher sees the gap.
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import sys
from typing import TYPE_CHECKING, NamedTuple

import zmq

from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import TOPIC_SEPARATOR
from maestro_schemas.paths import NOTICE_SOCKET, ROUTER_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .activation import Activation

_BACKLOG = 1_024
_HIGH_WATER = 10_000
_HANDSHAKE_MS = 5_000
_LINGER_MS = 500
_PEERS_MAX = 8_192
# libzmq drops a connection for one frame above MAXMSGSIZE and tells nobody which; up to here we answer instead.
_HARD_FACTOR = 4
_SUBSCRIBE = 1
_MONITOR = "inproc://connections"
_LAST = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK) | int(zmq.SNDMORE)


class Arrival(NamedTuple):
    """One request as it came: who (libzmq's routing id), the peer's uid, the frames after the routing id, and of a
    peer at the TCP door the public key that it has proved to hold."""

    peer: bytes
    uid: int | None
    frames: list[bytes]
    public: str | None = None


class Answer(NamedTuple):
    """A reply that waits for the commit."""

    peer: bytes
    request_id: bytes
    status: bytes
    body: bytes


class Transport:
    """`opened`, `closed`: connections so far. `unsent`: replies that nobody could be given."""

    def __init__(self, runtime: str, wire_bytes_max: int, activation: Activation | None = None) -> None:
        self._runtime = runtime
        self._is_activated = activation is not None
        _allow_connections()
        self._context = zmq.Context()
        self.router = self._context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.router.setsockopt(zmq.MAXMSGSIZE, wire_bytes_max * _HARD_FACTOR)
        self.publisher = self._context.socket(zmq.XPUB)
        # Every subscription is passed up, not only a topic's first, since each new watcher wants the head.
        self.publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.publisher.setsockopt(zmq.MAXMSGSIZE, 1_024)
        for socket in (self.router, self.publisher):
            socket.setsockopt(zmq.LINGER, _LINGER_MS)
            socket.setsockopt(zmq.BACKLOG, _BACKLOG)
            socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
            socket.setsockopt(zmq.SNDHWM, _HIGH_WATER)
            socket.setsockopt(zmq.RCVHWM, _HIGH_WATER)
        if activation is not None:
            # libzmq listens on them at `bind`, closes its copies at the end, and leaves the files alone.
            self.router.setsockopt(zmq.USE_FD, activation.router_fd)
            self.publisher.setsockopt(zmq.USE_FD, activation.notices_fd)
        # Without a high-water mark: a flood of connections would fill the queue between two looks at it, and libzmq's
        # one I/O thread, which writes to it, would stand still for everybody until the next look.
        self.router.monitor(_MONITOR, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self.monitor = self._context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.RCVHWM, 0)
        self.monitor.connect(_MONITOR)
        self._uids: dict[bytes, int | None] = {}
        self.held: set[str] = set()
        self._odd: set[str] = set()
        self.opened = self.closed = self.unsent = 0

    @property
    def addresses(self) -> tuple[str, str]:
        """Of the ROUTER and of the XPUB, for clients."""
        return (
            f"ipc://{os.path.join(self._runtime, ROUTER_SOCKET)}",
            f"ipc://{os.path.join(self._runtime, NOTICE_SOCKET)}",
        )

    def bind(self) -> None:
        """Listen. Raises MaestroError DATA_DIR_UNUSABLE when the directory of the sockets is not ours alone."""
        _own_directory(os.path.dirname(self._runtime), private=False)
        _own_directory(self._runtime, private=True)
        router, notices = self.addresses
        try:
            self.router.bind(router)
            self.publisher.bind(notices)
        except zmq.ZMQError as error:
            raise MaestroError(
                "DATA_DIR_UNUSABLE",
                f"the sockets in {self._runtime} can't be made: {error}",
                "Set MAESTRO_RUNTIME_DIR to a directory of yours on a local file system.",
            ) from None

    def receive(self, most: int) -> Iterator[Arrival]:
        """Up to `most` requests that are there now."""
        router = self.router
        for _ in range(most):
            try:
                peer = router.recv(_LAST)
            except zmq.Again:
                return
            uid = self._uids.get(peer, -1)
            if uid == -1:
                parts = router.recv_multipart(copy=False)
                uid = _peer_uid(parts[0])
                if len(self._uids) >= _PEERS_MAX:
                    self._uids.clear()
                self._uids[peer] = uid
                yield Arrival(peer, uid, [part.bytes for part in parts])
            else:
                # A frame object says whether more follow; asking the socket costs more than making the object.
                frame = router.recv(copy=False)
                frames = [frame.bytes]
                while frame.more:
                    frame = router.recv(copy=False)
                    frames.append(frame.bytes)
                yield Arrival(peer, uid, frames)

    def reply(self, peer: bytes, request_id: bytes, status: bytes, body: bytes) -> None:
        """Answer, if the peer is still there and takes it."""
        # Frame by frame with plain integers: send_multipart builds four enum members a message, which was a
        # twentieth of the loop's time. A message that fails does so at its first frame, so none is left half sent.
        send = self.router.send
        try:
            send(peer, _MORE)
            send(PROTOCOL_HEADER, _MORE)
            send(request_id, _MORE)
            send(status, _MORE)
            send(body, _LAST)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            self.unsent += 1

    def publish(self, topic: str, body: bytes) -> None:
        """Give a notice to whoever listens."""
        with contextlib.suppress(zmq.Again):
            self.publisher.send_multipart((topic.encode(), body), zmq.NOBLOCK)

    def wants(self, session: str) -> bool:
        """Whether anybody holds a topic that this session's notices could match."""
        held = self.held
        if not held:
            return False
        own = f"{session}{TOPIC_SEPARATOR}"
        return own in held or "" in held or any(own.startswith(odd) or odd.startswith(own) for odd in self._odd)

    def subscriptions(self) -> Iterator[str]:
        """Topics newly subscribed to, each time one is; keeps `held`."""
        while True:
            try:
                frame = self.publisher.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            topic = frame[1:].decode("utf-8", "replace")
            plain = topic == "" or topic.endswith(TOPIC_SEPARATOR)
            if frame[:1] == bytes([_SUBSCRIBE]):
                self.held.add(topic)
                if not plain:
                    self._odd.add(topic)
                yield topic
            else:
                self.held.discard(topic)
                self._odd.discard(topic)

    def count_connections(self) -> None:
        """Keep `opened` and `closed`."""
        while True:
            try:
                frames = self.monitor.recv_multipart(_LAST)
            except zmq.Again:
                return
            event = int.from_bytes(frames[0][:2], sys.byteorder)
            self.opened += event == zmq.EVENT_ACCEPTED
            self.closed += event == zmq.EVENT_DISCONNECTED

    def close(self) -> None:
        """Flush for half a second at most, and remove the sockets' files."""
        self.router.disable_monitor()
        self.monitor.close(0)
        self.router.close()
        self.publisher.close()
        self._context.term()
        if self._is_activated:
            return  # somebody else listens on them, for the next broker
        for name in (ROUTER_SOCKET, NOTICE_SOCKET):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._runtime, name))


def _allow_connections() -> None:
    """As many descriptors as we may have: the usual 1,024 are few, and libzmq 4.3.5 aborts the process when an ipc
    connection can't be accepted for want of one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS says "no limit", and takes 10,240 at most
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _peer_uid(frame: zmq.Frame) -> int | None:
    """The uid that the kernel gave for an ipc peer: Peer-Address is `host:uid:gid:pid` (libzmq, SO_PEERCRED)."""
    try:
        address = frame.get("Peer-Address")
    except zmq.ZMQError:
        return None
    parts = str(address).split(":")
    return int(parts[1]) if len(parts) == 4 and parts[1].isdecimal() else None


def _own_directory(directory: str, *, private: bool) -> None:
    """Make it, and be sure that it is ours; `private`: that nobody else may enter it."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        status = os.lstat(directory)
        if status.st_uid == os.getuid() and private:
            os.chmod(directory, 0o700)
    except OSError as error:
        raise MaestroError(
            "DATA_DIR_UNUSABLE",
            f"the directory of the sockets can't be made: {error}",
            "Set MAESTRO_RUNTIME_DIR to a directory that you may write to.",
        ) from None
    # The one above may be root's (/tmp, /run); the innermost must be ours.
    owners = (os.getuid(),) if private else (os.getuid(), 0)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners:
        raise MaestroError(
            "DATA_DIR_UNUSABLE",
            f"{directory} belongs to uid {status.st_uid} or is no directory",
            "Set MAESTRO_RUNTIME_DIR to a directory of yours.",
        )
