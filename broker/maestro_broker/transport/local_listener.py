"""Transport: the broker's two local sockets.

Rule: a ROUTER for requests (`local_router`) and libzmq's XPUB for notices, both on Unix sockets in a directory of our
own (0700); sends never block. A reply or a notice that can't be sent is dropped: a client repeats its request, a
watcher sees the gap.
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq

from maestro_runtime.paths import NOTICE_SOCKET, ROUTER_SOCKET
from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import TOPIC_SEPARATOR

from .zmtp_router import ZmtpRouter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .socket_activation import Activation
    from .zmtp_router import ZmtpPeer

_BACKLOG = 1_024
_HIGH_WATER = 10_000
_HANDSHAKE_MS = 5_000
_LINGER_MS = 500
# A connection with one frame above this is dropped, as libzmq does, and nobody is told which; up to here we answer.
_HARD_FACTOR = 4
# Of the descriptors, one in so many is for connections with requests: the rest is for watchers and files.
_SHARE = 2
_SUBSCRIBE = 1


class IncomingRequest(NamedTuple):
    """One request as it came: who (what the post knows it by), the peer's uid, the frames, and of a peer at the TCP
    door the public key that it has proved to hold."""

    peer: Any
    uid: int | None
    frames: list[bytes]
    public: str | None = None


class OutgoingReply(NamedTuple):
    """A reply that waits for the commit."""

    peer: Any
    request_id: bytes
    status: bytes
    body: bytes


class LocalListener:
    """`router`: where requests come in, for a poller too; `publisher`: the XPUB."""

    def __init__(self, runtime: str, wire_bytes_max: int, activation: Activation | None = None) -> None:
        self._runtime = runtime
        self._activation = activation
        self.router = ZmtpRouter(wire_bytes_max * _HARD_FACTOR, _allow_connections() // _SHARE)
        self._context = zmq.Context()
        self.publisher = self._context.socket(zmq.XPUB)
        # Every subscription is passed up, not only a topic's first, since each new watcher wants the head.
        self.publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.publisher.setsockopt(zmq.MAXMSGSIZE, 1_024)
        self.publisher.setsockopt(zmq.LINGER, _LINGER_MS)
        self.publisher.setsockopt(zmq.BACKLOG, _BACKLOG)
        self.publisher.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        self.publisher.setsockopt(zmq.SNDHWM, _HIGH_WATER)
        self.publisher.setsockopt(zmq.RCVHWM, _HIGH_WATER)
        if activation is not None:
            # libzmq listens on it at `bind`, closes its copy at the end, and leaves the file alone.
            self.publisher.setsockopt(zmq.USE_FD, activation.notices_fd)
        self.held: set[str] = set()
        self._odd: set[str] = set()

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
        held = self._activation
        try:
            self.router.listen(router.removeprefix("ipc://"), None if held is None else held.router_fd)
            self.publisher.bind(notices)
        except (OSError, zmq.ZMQError) as error:
            raise MaestroError(
                "DATA_DIR_UNUSABLE",
                f"the sockets in {self._runtime} can't be made: {error}",
                "Set MAESTRO_RUNTIME_DIR to a directory of yours on a local file system.",
            ) from None

    def receive(self, most: int) -> Iterator[IncomingRequest]:
        """Some `most` requests that are there now."""
        for peer, frames in self.router.receive(most):
            yield IncomingRequest(peer, peer.uid, frames)

    def reply(self, peer: ZmtpPeer, request_id: bytes, status: bytes, body: bytes) -> None:
        """Answer with the next `flush`, if the peer is still there and takes it."""
        self.router.reply(peer, (PROTOCOL_HEADER, request_id, status, body))

    def flush(self) -> None:
        """Send the replies of this turn, all of a peer's at once."""
        self.router.flush()

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

    def close(self) -> None:
        """Flush for half a second at most, and remove the sockets' files."""
        self.router.close(_LINGER_MS / 1000)
        self.publisher.close()
        self._context.term()
        if self._activation is not None:
            return  # somebody else listens on them, for the next broker
        for name in (ROUTER_SOCKET, NOTICE_SOCKET):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._runtime, name))


def _allow_connections() -> int:
    """As many descriptors as we may have, for the usual 1,024 are few; how many that is."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):  # macOS says "no limit", and takes 10,240 at most
        return soft
    return most


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
