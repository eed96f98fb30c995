"""One-shot driver: one request at a time over a plain blocking socket, for a process that does little else.

Rule: the result is a reply, or None. None leaves open what happened: no broker listens, the peer is odd, or the reply
did not come in time. The caller then repeats the request, with the same ids, over the sync channel, which waits,
reconnects and explains. Imports a hundredth of what the sync channel does.
"""

from __future__ import annotations

import _socket
import os
import time

from maestro_runtime import ownership, paths
from maestro_schemas.errors import MaestroError
from maestro_wire import minimal_msgpack, zmtp

from .core import ChannelCore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# The broker answers in a millisecond or after a slow fsync (seen up to 200 ms). The sync channel, which is tried
# next, has 10 s of its own.
PATIENCE_S = 1.0
# Every broker accepts a body of this size, or answers. For a larger one its limit must be known first
# (`commands.BYTES_ALWAYS_TAKEN`).
BODY_BYTES_MAX = 16 * 1024
# No reply on the fast path is nearly as large; a length above it is garbage.
_FRAME_BYTES_MAX = 1 << 22
_CHUNK = 65_536
_SCHEME = "ipc://"


def router_path(data: str) -> str | None:
    """The socket of the broker that serves `data`, from its endpoints file; None where it names no usable one. Raises
    MaestroError NOT_PRIVATE."""
    ownership.check_data_dir(data)
    try:
        # O_NONBLOCK: a FIFO in its place is not waited for.
        fd = os.open(paths.endpoints_file(data), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            text = os.read(fd, _CHUNK).decode()
        finally:
            os.close(fd)
    except (OSError, ValueError):
        return None
    values = paths.parse_endpoints(text)
    router = values.get("router", "")
    path = router[len(_SCHEME) :]
    # A leading `@` is libzmq's mark of an abstract name, which is no path.
    usable = router.startswith(_SCHEME) and path[:1] == "/" and values.get("pid", "").isdecimal()
    return path if usable else None


def address(path: str) -> str:
    """The inverse: the address that the endpoints file has for the socket."""
    return _SCHEME + path


class OneShotConnection:
    """A connection to the broker at the Unix socket `path`, made with the first request; to be closed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket: _socket.socket | None = None
        self._timeout_s = 0.0
        # Whether the last request may have reached the broker.
        self.was_sent = False
        self._zmtp = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, _FRAME_BYTES_MAX)
        self._core = ChannelCore(_decode)

    def open(self) -> bool:
        """Connect now, and not with the first request; False where no broker of this user listens."""
        try:
            self._connected(PATIENCE_S)
        except (OSError, ValueError, MaestroError):
            self.close()
            return False
        return True

    def ask(
        self, command: bytes, body: Mapping[str, Any], patience_s: float = PATIENCE_S
    ) -> tuple[int, dict[str, Any]] | None:
        """The reply's status and body, or None, as the module's rule says. After None the connection is unusable."""
        now_s = time.monotonic()
        self.was_sent = False
        try:
            packed = minimal_msgpack.pack(dict(body))
            if len(packed) > BODY_BYTES_MAX:
                return None
            request_id, frames = self._core.request(command.decode(), packed, now_s, patience_s)
            return self._exchange(request_id, zmtp.message(frames), patience_s)
        except (OSError, ValueError, RecursionError, zmtp.ProtocolError, MaestroError):
            return None

    def close(self) -> None:
        """Close the connection. Can be repeated."""
        if self._socket is not None:
            self._socket.close()

    def _connected(self, patience_s: float) -> _socket.socket:
        if self._socket is None:
            self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            self._socket.settimeout(patience_s)
            self._timeout_s = patience_s
            ownership.check_socket_place(self.path)
            self._socket.connect(self.path)
            ownership.check_peer(self._socket, self.path)
            self._socket.sendall(zmtp.DEALER_OPENING)
        if self._timeout_s != patience_s:
            # Only on a change, since it is a system call. A peer that sends byte by byte gets up to twice the time.
            self._socket.settimeout(patience_s)
            self._timeout_s = patience_s
        return self._socket

    def _exchange(self, request_id: bytes, request: bytes, patience_s: float) -> tuple[int, dict[str, Any]]:
        """Send the request and receive its reply. Raises OSError (also TimeoutError), ProtocolError, MaestroError."""
        deadline_s = time.monotonic() + patience_s
        socket, wire, core = self._connected(patience_s), self._zmtp, self._core
        unsent, sent = b"", False
        while request_id not in core.ended:
            _left_s(deadline_s)
            if wire.ready and not sent:
                unsent += request
                sent = self.was_sent = True
            if unsent:
                socket.sendall(unsent)
            data = socket.recv(_CHUNK)
            if not data:
                raise zmtp.ProtocolError("the peer has gone")
            unsent = wire.receive(data)
            messages, wire.messages = wire.messages, []
            core.receive(messages, 0.0)
        outcome = core.ended.pop(request_id)
        if isinstance(outcome, MaestroError):
            raise outcome
        return outcome


def ask(
    path: str, command: bytes, body: Mapping[str, Any], patience_s: float = PATIENCE_S
) -> tuple[int, dict[str, Any]] | None:
    """One request over a connection of its own, as `OneShotConnection.ask`."""
    connection = OneShotConnection(path)
    try:
        return connection.ask(command, body, patience_s)
    finally:
        connection.close()


def _decode(raw: bytes) -> dict[str, Any]:
    body = minimal_msgpack.unpack(raw)
    if not isinstance(body, dict):
        raise zmtp.ProtocolError("a body that is no map")
    return body


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
