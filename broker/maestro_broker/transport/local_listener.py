"""Local listener: the broker's two sockets on this machine.

Rule: requests arrive at a ROUTER of our own (`zmtp_router`), notices leave by libzmq's XPUB. Both are Unix sockets in
a directory that only this user may enter (0700).
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from typing import TYPE_CHECKING, cast

import zmq

from maestro_runtime import places
from maestro_runtime.paths import NOTICE_SOCKET, ROUTER_SOCKET
from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.errors import MaestroError

from . import socket_options
from .listener import DelimitedPeer, IncomingRequest, without_delimiter
from .publisher import Publisher
from .zmtp_router import ZmtpRouter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .socket_activation import Activation
    from .zmtp_router import ZmtpPeer

# This share of the descriptors is for connections with requests; the rest is for watchers and files.
_SHARE = 2


class LocalListener:
    """The ROUTER `router`, for a poller too, and the XPUB of `notices`."""

    def __init__(self, runtime: str, wire_bytes_max: int, activation: Activation | None = None) -> None:
        """`activation`: sockets that a service manager holds; without it they are made in `runtime`."""
        self._runtime = runtime
        self._activation = activation
        self.router = ZmtpRouter(wire_bytes_max * socket_options.FRAME_FACTOR, _raise_files_max() // _SHARE)
        self._context = zmq.Context()
        publisher = self._context.socket(zmq.XPUB)
        socket_options.set_limits(publisher, frame_bytes_max=socket_options.TOPIC_BYTES_MAX)
        # Every subscription is passed up, not only a topic's first, since each new watcher needs its head.
        publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
        if activation is not None:
            # libzmq listens on it at `bind`, closes its copy at the end, and does not remove the file.
            publisher.setsockopt(zmq.USE_FD, activation.notices_fd)
        self.notices = Publisher(publisher)

    @property
    def addresses(self) -> tuple[str, str]:
        """Of requests and of notices, for clients."""
        return (
            f"ipc://{os.path.join(self._runtime, ROUTER_SOCKET)}",
            f"ipc://{os.path.join(self._runtime, NOTICE_SOCKET)}",
        )

    def bind(self) -> None:
        """Listen. Raises MaestroError DATA_DIR_UNUSABLE if the directory of the sockets is not this user's alone."""
        _make_own_directory(os.path.dirname(self._runtime), private=False)
        _make_own_directory(self._runtime, private=True)
        router, notices = self.addresses
        held = self._activation
        try:
            self.router.listen(router.removeprefix("ipc://"), None if held is None else held.router_fd)
            self.notices.socket.bind(notices)
        except (OSError, zmq.ZMQError) as error:
            fault = error if isinstance(error, OSError) else OSError(error.errno, error.strerror, self._runtime)
            raise places.refusal(
                "DATA_DIR_UNUSABLE",
                f"the sockets in {self._runtime} can't be made",
                fault,
                "Or set MAESTRO_RUNTIME_DIR to a directory of yours on a local file system.",
            ) from None

    def receive(self, most: int) -> Iterator[IncomingRequest]:
        """Yield up to `most` requests that have arrived."""
        for peer, frames in self.router.receive(most):
            route, request = without_delimiter(peer, frames)
            yield IncomingRequest(route, peer.uid, request)

    def reply(self, peer: ZmtpPeer | DelimitedPeer, request_id: bytes, status: bytes, body: bytes) -> None:
        """Send a reply with the next `flush`; drop and count it if the peer is gone or does not read."""
        frames = (PROTOCOL_HEADER, request_id, status, body)
        if type(peer) is DelimitedPeer:
            self.router.reply(peer.peer, (b"", *frames))
        else:
            self.router.reply(cast("ZmtpPeer", peer), frames)

    def flush(self) -> None:
        """Send the replies of this batch, all of a peer's in one call."""
        self.router.flush()

    def close(self) -> None:
        """Stop listening, send what can be sent within half a second, and remove the sockets' files."""
        self.router.close(socket_options.LINGER_MS / 1000)
        self.notices.socket.close()
        self._context.term()
        if self._activation is not None:
            return  # the service manager listens on them, for the next broker
        for name in (ROUTER_SOCKET, NOTICE_SOCKET):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._runtime, name))


def _raise_files_max() -> int:
    """Raise the limit of open files, usually 1,024, as far as allowed; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS reports no limit, and accepts at most 10,240
        return soft
    return hard


def _make_own_directory(directory: str, *, private: bool) -> None:
    """Make a directory if it is missing. Raises MaestroError DATA_DIR_UNUSABLE if it is another user's.

    `private`: it must be this user's, and no other user may enter it; else it may be root's (/tmp, /run).
    """
    try:
        places.make_directory(directory)
        status = os.lstat(directory)
        if status.st_uid == os.getuid() and private:
            os.chmod(directory, 0o700)
    except OSError as error:
        raise places.refusal(
            "DATA_DIR_UNUSABLE",
            f"the directory of the sockets, {places.shown(directory)}, can't be used",
            error,
            "Or set MAESTRO_RUNTIME_DIR to a directory that you may write to.",
        ) from None
    owners = (os.getuid(),) if private else (os.getuid(), 0)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners:
        raise MaestroError(
            "DATA_DIR_UNUSABLE",
            f"{directory} belongs to uid {status.st_uid} or is no directory",
            "Set MAESTRO_RUNTIME_DIR to a directory of yours.",
        )
