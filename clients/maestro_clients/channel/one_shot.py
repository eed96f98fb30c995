"""Swift: a request and its answer over a plain socket, one at a time, for a process that does little else.

Rule: an answer, or None. None says nothing of what happened: nobody listens, the peer is odd, or the answer did not
come; whether the request was done is then not known, and the caller repeats it, with the same ids, over `line`, which
can wait, look after silence and say what is wrong. Imports a hundredth of what that does.
"""

from __future__ import annotations

import _socket
import os
import time

from maestro_runtime import paths
from maestro_schemas import PROTOCOL_HEADER
from maestro_wire import minimal_msgpack, zmtp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# The broker answers in a millisecond or after a slow fsync (seen up to 200 ms). Behind that stands the usual way,
# which has 10 s of its own.
PATIENCE_S = 1.0
# Every broker takes so much, or answers; for more one has to ask it first (`commands.BYTES_ALWAYS_TAKEN`).
BODY_BYTES_MAX = 16 * 1024
# No answer to a quick command is larger, by far; a length above it is garbage.
_FRAME_BYTES_MAX = 1 << 22
_REPLY_FRAMES = 4
_CHUNK = 65_536
_SCHEME = "ipc://"


def router_path(data: str) -> str | None:
    """The socket of the broker that serves `data`, as its endpoints file says; None where there is none to use."""
    try:
        fd = os.open(paths.endpoints_file(data), os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, _CHUNK).decode()
        finally:
            os.close(fd)
    except (OSError, ValueError):
        return None
    values = paths.parse_endpoints(text)
    router = values.get("router", "")
    path = router[len(_SCHEME) :]
    # `@` is libzmq's mark of an abstract name, which is no path.
    usable = router.startswith(_SCHEME) and path[:1] == "/" and values.get("pid", "").isdecimal()
    return path if usable else None


def address(path: str) -> str:
    """The inverse: what the endpoints file calls the socket."""
    return _SCHEME + path


class OneShotConnection:
    """A connection to the broker at the Unix socket `path`, made with the first request; to be closed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket: _socket.socket | None = None
        self._link = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, _FRAME_BYTES_MAX)
        self._count = 0

    def open(self) -> bool:
        """Connect now, and not with the first request; False where no broker listens."""
        try:
            self._connected(time.monotonic() + PATIENCE_S)
        except (OSError, ValueError):
            self.close()
            return False
        return True

    def ask(
        self, command: bytes, body: Mapping[str, Any], patience_s: float = PATIENCE_S
    ) -> tuple[int, dict[str, Any]] | None:
        """The answer's status and body, or None; see the rule above. After None it is of no use any more."""
        deadline_s = time.monotonic() + patience_s
        try:
            packed = minimal_msgpack.pack(dict(body))
            if len(packed) > BODY_BYTES_MAX:
                return None
            self._count += 1
            request_id = b"%x" % self._count
            socket = self._connected(deadline_s)
            request = zmtp.message((PROTOCOL_HEADER, request_id, command, packed))
            return _answer(self._conversation(socket, request, deadline_s), request_id)
        except (OSError, ValueError, RecursionError, zmtp.ProtocolError):
            return None

    def close(self) -> None:
        """Let go. Can be repeated."""
        if self._socket is not None:
            self._socket.close()

    def _connected(self, deadline_s: float) -> _socket.socket:
        if self._socket is None:
            self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            self._socket.settimeout(_left_s(deadline_s))
            self._socket.connect(self.path)
            self._socket.sendall(zmtp.DEALER_OPENING)
        return self._socket

    def _conversation(self, socket: _socket.socket, request: bytes, deadline_s: float) -> list[bytes]:
        """The frames of the answer. Raises OSError (TimeoutError among it) and zmtp.Broken."""
        link, asked = self._link, False
        answers = b""
        while True:
            socket.settimeout(_left_s(deadline_s))
            if link.ready and not asked:
                answers += request
                asked = True
            if answers:
                socket.sendall(answers)
            data = socket.recv(_CHUNK)
            if not data:
                raise zmtp.ProtocolError("the peer has gone")
            answers = link.receive(data)
            if link.messages:
                return link.messages.pop(0)


def ask(
    path: str, command: bytes, body: Mapping[str, Any], patience_s: float = PATIENCE_S
) -> tuple[int, dict[str, Any]] | None:
    """One request, as `Exchange.ask`."""
    exchange = OneShotConnection(path)
    try:
        return exchange.ask(command, body, patience_s)
    finally:
        exchange.close()


def _answer(frames: list[bytes], request_id: bytes) -> tuple[int, dict[str, Any]]:
    if len(frames) != _REPLY_FRAMES or frames[0] != PROTOCOL_HEADER or frames[1] != request_id:
        raise zmtp.ProtocolError("an answer of another protocol")
    status, body = frames[2], minimal_msgpack.unpack(frames[3])
    if len(status) != 3 or not status.isdigit() or not isinstance(body, dict):
        raise zmtp.ProtocolError("an answer without a status or a body")
    return int(status), body


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
