"""libzmq transport: the sockets of libzmq as every client makes them.

Rule: no request is remembered here; the channel does that. This imports no event loop, which would cost a command
that needs none 45 ms. A socket's descriptor only announces that something may have changed, and any call to the
socket may consume the announcement. So a caller asks the socket after each send, and reads until nothing is readable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

from maestro_schemas.errors import MaestroError

from .addresses import SCHEME, is_remote, unix_path
from .socket_place import SocketPlace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maestro_clients.protocol.codec import Frames

    from .curve import HandshakeMonitor

# The most replies received at once, so that a caller sees the first before the last of a long stream.
DRAIN = 256
RECONNECT_MS = 20
RECONNECT_MAX_MS = 200
# More requests than any caller keeps in flight; a full queue means that the broker does not read.
_HIGH_WATER = 10_000
# Plain integers: pyzmq's flags are enums, whose arithmetic costs more than the send (9 us a message instead of 2).
NOW = int(zmq.NOBLOCK)
_NOW_AND_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS = int(zmq.EVENTS)
_READABLE = int(zmq.POLLIN)
_RECEIVE_TIMEOUT = int(zmq.RCVTIMEO)


def new_socket(kind: int) -> zmq.Socket[bytes]:
    """A socket of the process's one context: one I/O thread for all sockets, and a new context after a fork. Raises
    MaestroError BROKER_UNREACHABLE where no more can be made (a thousand, by default)."""
    try:
        return zmq.Context.instance().socket(kind)
    except zmq.ZMQError as error:
        raise MaestroError(
            "BROKER_UNREACHABLE",
            f"no more connections can be made in this process: {error}",
            "Close some, or raise the limit of open files (ulimit -n).",
        ) from None


def connected(address: str) -> zmq.Socket[bytes]:
    """A DEALER that connects to `address`, whether a broker listens there or not. Its unsent messages are dropped
    when it is closed. Raises as `connect`."""
    socket = new_socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    socket.setsockopt(zmq.SNDHWM, _HIGH_WATER)
    socket.setsockopt(zmq.RCVHWM, _HIGH_WATER)
    try:
        connect(socket, address)
    except MaestroError:
        socket.close()
        raise
    return socket


def connect(socket: zmq.Socket[bytes], address: str) -> SocketPlace | None:
    """Returns what is to be closed after the socket, for a broker on this machine.

    Raises MaestroError BROKER_UNREACHABLE for text that is no address, or where no broker was yet; KEY_FILE_UNUSABLE
    for a broker on another machine whose key can't be used; NOT_PRIVATE where another user listens, or could.
    """
    path = unix_path(address)
    place = None
    try:
        if path is not None:
            place = SocketPlace(path)
            socket.connect(f"{SCHEME}{place.path}")
            return place
        if is_remote(address):
            from .curve import configure_curve

            configure_curve(socket, address)
        socket.connect(address.partition("#")[0])
    except (zmq.ZMQError, OSError) as error:
        if place is not None:
            place.close()
        raise MaestroError(
            "BROKER_UNREACHABLE",
            f"{address!r} can't be connected to: {error}",
            "The file `endpoints` in the data directory of a running broker has its address.",
        ) from None
    return None


def is_readable(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message is there. The call also resets the socket's descriptor."""
    events: Any = socket.getsockopt(_EVENTS)
    return bool(events & _READABLE)


def send(socket: zmq.Socket[bytes], frames: Frames) -> None:
    """Hand a request to libzmq. If its queue is full, the request is dropped: it is sent again when it is due."""
    put = socket.send
    header, request_id, command, body = frames
    try:
        put(header, _NOW_AND_MORE)
    except zmq.Again:
        return
    # libzmq takes the rest of a message whose first frame it took.
    put(request_id, _NOW_AND_MORE)
    put(command, _NOW_AND_MORE)
    put(body, NOW)


class LibzmqTransport:
    """A DEALER, for a broker on another machine; see `transport.Transport` for the methods."""

    def __init__(self, address: str) -> None:
        self.socket = connected(address)
        self._wait_ms = -1
        self._handshakes: HandshakeMonitor | None = None
        if is_remote(address):
            from .curve import HandshakeMonitor

            self._handshakes = HandshakeMonitor(self.socket)

    @property
    def descriptors(self) -> list[int]:
        # The second one is readable when libzmq reports a change of the connection.
        sockets = [self.socket] if self._handshakes is None else [self.socket, self._handshakes.monitor]
        return [socket.FD for socket in sockets]

    @property
    def unannounced(self) -> bool:
        return is_readable(self.socket)

    @property
    def holds_back(self) -> bool:
        # libzmq's own thread sends.
        return False

    def send(self, frames: Frames) -> None:
        send(self.socket, frames)

    def send_all(self, messages: Iterable[Frames]) -> None:
        for frames in messages:
            send(self.socket, frames)

    def receive(self, wait_s: float, spin_s: float = 0.0) -> Sequence[Sequence[bytes]]:  # noqa: ARG002 - see Transport
        # Rounded up: a wait that ended a fraction too early would be followed by a busy loop until the deadline.
        wait_ms = int(wait_s * 1000) + 1 if wait_s > 0 else 0
        if wait_ms != self._wait_ms:
            self.socket.setsockopt(_RECEIVE_TIMEOUT, wait_ms)
            self._wait_ms = wait_ms
        messages: list[tuple[bytes, ...]] = []
        # In an event loop most wake-ups bring no message: EAGAIN as an exception costs more than this test.
        if not wait_ms and not is_readable(self.socket):
            return messages
        receive, flags = self.socket.recv, 0
        try:
            while len(messages) < DRAIN:
                # Four frames without a test for more, which takes six times as long as receiving them. If a peer
                # sends another number, a frame is soon in the place of a header, which is an error.
                messages.append((receive(flags), receive(NOW), receive(NOW), receive(NOW)))
                flags = NOW
        except zmq.Again:
            pass
        return messages

    def may_answer(self) -> bool:
        return self._handshakes is None or self._handshakes.may_answer

    def refused(self) -> MaestroError | None:
        return None if self._handshakes is None else self._handshakes.refused()

    def close(self) -> None:
        # In a forked child pyzmq notices that the socket is the parent's, and only marks its own copy.
        if self._handshakes is not None:
            self._handshakes.close()
        self.socket.close()
