"""Swift: one request and its answer over a plain socket, for a process that does nothing else.

Rule: an answer, or None. None says nothing of what happened: nobody listens, the peer is odd, or the answer did not
come; whether the request was done is then not known, and the caller repeats it, with the same ids, over `line`, which
can wait, look after silence and say what is wrong. Imports a hundredth of what that does.
"""

from __future__ import annotations

import _socket
import os
import time

from maestro_schemas import PROTOCOL_HEADER, paths, zmtp

from . import packing

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
_REQUEST_ID = b"1"
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


def ask(
    path: str, command: bytes, body: Mapping[str, Any], patience_s: float = PATIENCE_S
) -> tuple[int, dict[str, Any]] | None:
    """The answer's status and body from the broker at the Unix socket `path`, or None; see the rule above."""
    deadline_s = time.monotonic() + patience_s
    try:
        packed = packing.pack(dict(body))
        if len(packed) > BODY_BYTES_MAX:
            return None
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            request = zmtp.message((PROTOCOL_HEADER, _REQUEST_ID, command, packed))
            return _answer(_conversation(socket, path, request, deadline_s))
        finally:
            socket.close()
    except (OSError, ValueError, RecursionError, zmtp.Broken):
        return None


def _conversation(socket: _socket.socket, path: str, request: bytes, deadline_s: float) -> list[bytes]:
    """The frames of the answer. Raises OSError (TimeoutError among it) and zmtp.Broken."""
    link = zmtp.Link(zmtp.DEALERS_PEERS, _FRAME_BYTES_MAX)
    socket.settimeout(_left_s(deadline_s))
    socket.connect(path)
    socket.sendall(zmtp.DEALER_OPENING)
    asked = False
    while True:
        socket.settimeout(_left_s(deadline_s))
        data = socket.recv(_CHUNK)
        if not data:
            raise zmtp.Broken("the peer has gone")
        answers = link.receive(data)
        if link.ready and not asked:
            answers += request
            asked = True
        if answers:
            socket.sendall(answers)
        if link.messages:
            return link.messages[0]


def _answer(frames: list[bytes]) -> tuple[int, dict[str, Any]]:
    if len(frames) != _REPLY_FRAMES or frames[0] != PROTOCOL_HEADER or frames[1] != _REQUEST_ID:
        raise zmtp.Broken("an answer of another protocol")
    status, body = frames[2], packing.unpack(frames[3])
    if len(status) != 3 or not status.isdigit() or not isinstance(body, dict):
        raise zmtp.Broken("an answer without a status or a body")
    return int(status), body


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
