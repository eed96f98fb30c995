"""Local listener: the broker's two sockets on this machine.

Rule: requests arrive at a ROUTER of our own (`zmtp_router`), notices leave by libzmq's XPUB. Both are Unix sockets in
a directory that only this user may enter (0700).
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
from typing import TYPE_CHECKING

import zmq

from maestro_runtime import ownership, places
from maestro_runtime.paths import NOTICE_SOCKET, ROUTER_SOCKET
from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.errors import MaestroError
from maestro_wire import zmtp

from . import socket_options
from .listener import DelimitedPeer
from .publisher import Publisher
from .zmtp_router import ZmtpRouter, listening_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .listener import IncomingRequest
    from .socket_activation import Activation
    from .zmtp_router import ZmtpPeer

# This share of the descriptors is for connections with requests; the rest is for watchers and files.
_SHARE = 2
# What each reply begins with, and before that what the reply to a REQ begins with.
_HEADER_FRAME = zmtp.frame(PROTOCOL_HEADER)
_DELIMITER_FRAME = zmtp.frame(b"")


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
        self.notices = Publisher(publisher)
        # The sockets' files by name: device and inode, as they were bound.
        self._bound: dict[str, tuple[int, int] | None] = {}
        # Those that this broker made itself.
        self._own: set[str] = set()

    @property
    def addresses(self) -> tuple[str, str]:
        """Of requests and of notices, for clients."""
        return (
            f"ipc://{os.path.join(self._runtime, ROUTER_SOCKET)}",
            f"ipc://{os.path.join(self._runtime, NOTICE_SOCKET)}",
        )

    def bind(self) -> None:
        """Listen. Raises MaestroError NOT_PRIVATE if the directory of the sockets is not this user's alone,
        DATA_DIR_UNUSABLE if there can be none."""
        self._make_directories()
        held = self._activation
        try:
            self._bind_router(None if held is None else held.router_fd)
            self._bind_notices(None if held is None else held.notices_fd)
        except (OSError, zmq.ZMQError) as error:
            raise self._unusable(error) from None

    def restore(self) -> list[str]:
        """Bind the sockets again whose files were removed or replaced; return their paths. Connections stay. Raises
        MaestroError as `bind`."""
        lost = [name for name in _BINDS if self._seen(name) != self._bound[name]]
        if lost:
            self._make_directories()
            try:
                for name in lost:
                    _BINDS[name](self, None)
            except (OSError, zmq.ZMQError) as error:
                raise self._unusable(error) from None
        return [os.path.join(self._runtime, name) for name in lost]

    def _make_directories(self) -> None:
        _make_own_directory(os.path.dirname(self._runtime), private=False)
        _make_own_directory(self._runtime, private=True)

    def _bind_router(self, fd: int | None) -> None:
        """`fd`: a socket that listens already."""
        self.router.listen(os.path.join(self._runtime, ROUTER_SOCKET), fd)
        self._note(ROUTER_SOCKET, is_own=fd is None)

    def _bind_notices(self, fd: int | None) -> None:
        publisher, (_, address) = self.notices.socket, self.addresses
        if NOTICE_SOCKET in self._bound:
            publisher.unbind(address)
        # libzmq listens on a socket that it is given, closes it at the end, and never removes the file: that could
        # be another one's by then.
        path = os.path.join(self._runtime, NOTICE_SOCKET)
        publisher.setsockopt(zmq.USE_FD, listening_socket(path).detach() if fd is None else fd)
        publisher.bind(address)
        self._note(NOTICE_SOCKET, is_own=fd is None)

    def _note(self, name: str, *, is_own: bool) -> None:
        self._bound[name] = self._seen(name)
        if is_own:
            self._own.add(name)

    def _seen(self, name: str) -> tuple[int, int] | None:
        try:
            status = os.lstat(os.path.join(self._runtime, name))
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _unusable(self, error: OSError | zmq.ZMQError) -> MaestroError:
        fault = error if isinstance(error, OSError) else OSError(error.errno, error.strerror, self._runtime)
        return places.refusal(
            "DATA_DIR_UNUSABLE",
            f"the sockets in {self._runtime} can't be made",
            fault,
            "Or set MAESTRO_RUNTIME_DIR to a directory of yours on a local file system.",
        )

    def receive(self, most: int) -> Iterator[IncomingRequest]:
        """Yield up to `most` requests that have arrived."""
        return self.router.receive(most)

    def reply(self, peer: ZmtpPeer | DelimitedPeer, request_id: bytes, status: bytes, body: bytes) -> None:
        """Send a reply with the next `flush`; drop and count it if the peer is gone or does not read."""
        data = zmtp.message_after(_HEADER_FRAME, request_id, status, body)
        if isinstance(peer, DelimitedPeer):
            self.router.reply(peer.peer, _DELIMITER_FRAME + data)
        else:
            self.router.reply(peer, data)

    def flush(self) -> None:
        """Send the replies of this batch, all of a peer's in one call."""
        self.router.flush()

    def close(self) -> None:
        """Stop listening, send what can be sent within half a second, and remove the sockets' files."""
        self.router.close(socket_options.LINGER_MS / 1000)
        self.notices.socket.close()
        self._context.term()
        for name in self._own:  # on the others a service manager listens, for the next broker
            if self._seen(name) == self._bound[name]:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._runtime, name))


_BINDS = {ROUTER_SOCKET: LocalListener._bind_router, NOTICE_SOCKET: LocalListener._bind_notices}


def _raise_files_max() -> int:
    """Raise the limit of open files, usually 1,024, as far as allowed; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS reports no limit, and accepts at most 10,240
        return soft
    return hard


def _make_own_directory(directory: str, *, private: bool) -> None:
    """Make a directory if it is missing. Raises MaestroError NOT_PRIVATE if it is another user's,
    DATA_DIR_UNUSABLE if it can't be made.

    `private`: it must be this user's, and no other user may enter it; else it may be root's (/tmp, /run).
    """
    try:
        places.make_directory(directory)
        status = os.lstat(directory)
        if status.st_uid == os.geteuid() and private:
            os.chmod(directory, 0o700)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
        if private or status.st_uid != 0:
            ownership.check_socket_place(os.path.join(directory, ROUTER_SOCKET))
    except OSError as error:
        raise places.refusal(
            "DATA_DIR_UNUSABLE",
            f"the directory of the sockets, {places.shown(directory)}, can't be used",
            error,
            "Or set MAESTRO_RUNTIME_DIR to a directory that you may write to.",
        ) from None
