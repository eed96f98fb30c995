"""Dealer: one DEALER socket as every client makes it, and what a request without an answer ends with.

Rule: nothing here waits and nothing here remembers; `line` and `asynchronous_line` do. Imports no event loop, for a
command that needs none would pay 45 ms for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

from maestro_schemas.errors import MaestroError

from .liveness import listens

if TYPE_CHECKING:
    from .connection import Frames

# Silence that makes us look whether the broker is there. A look costs 20 us, and the broker one accept.
QUIET_S = 0.3
# How often a patient client looks whether somebody listens again.
LOOK_AGAIN_S = 0.02
LOOK_AGAIN_MAX_S = 0.25
# How many answers are taken in at once, so that a caller sees the first before the last of a long stream.
DRAIN = 256
ERROR_STATUS = 400
RECONNECT_MS = 20
RECONNECT_MAX_MS = 200
# More than any caller keeps in flight; a full queue means that the broker does not read.
_HIGH_WATER = 10_000
# Plain integers: pyzmq's flags are enums, whose arithmetic costs more than the send (9 us a message instead of 2).
NOW = int(zmq.NOBLOCK)
_NOW_AND_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS = int(zmq.EVENTS)
_READABLE = int(zmq.POLLIN)


def new_socket(kind: int) -> zmq.Socket[bytes]:
    """A socket of the process's one context: one I/O thread however many sockets, and another context by itself
    after a fork. Raises MaestroError BROKER_UNREACHABLE where no more can be made (a thousand, by default)."""
    try:
        return zmq.Context.instance().socket(kind)
    except zmq.ZMQError as error:
        raise MaestroError(
            "BROKER_UNREACHABLE",
            f"no more connections can be made in this process: {error}",
            "Close some, or raise the limit of open files (ulimit -n).",
        ) from None


def connected(address: str) -> zmq.Socket[bytes]:
    """A DEALER that connects to `address`, whether somebody listens there or not, and forgets what it holds when it
    is closed. Raises MaestroError BROKER_UNREACHABLE for an address that is none."""
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


def connect(socket: zmq.Socket[bytes], address: str) -> None:
    """Raises MaestroError BROKER_UNREACHABLE for an address that is none, KEY_FILE_UNUSABLE for one on another
    machine whose key can't be used."""
    try:
        if is_far(address):
            from .far import dress

            dress(socket, address)
        socket.connect(address.partition("#")[0])
    except zmq.ZMQError as error:
        raise MaestroError(
            "BROKER_UNREACHABLE",
            f"{address!r} can't be connected to: {error}",
            "The file `endpoints` in the data directory of a running broker has its address.",
        ) from None


def is_readable(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message is there. Asking also settles what the socket's descriptor had to tell."""
    events: Any = socket.getsockopt(_EVENTS)
    return bool(events & _READABLE)


def send(socket: zmq.Socket[bytes], frames: Frames) -> None:
    """Hand a request to libzmq. Where its queue is full, nothing: the request is sent again when it is due."""
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


def unanswered(address: str, *, connected: bool) -> MaestroError:
    """The error of a request whose time is over: TIMEOUT where somebody listens, else BROKER_UNREACHABLE."""
    if not connected or not listens(address):
        return unreachable(address)
    return MaestroError(
        "TIMEOUT",
        f"the broker at {address.partition('#')[0]} did not answer in time",
        "It is not known whether the request was done: repeat it with the same ids, which is safe.",
    )


def is_far(address: str) -> bool:
    """Whether the broker is on another machine, where a key is needed: `tcp://HOST:PORT#KEY_FILE`."""
    return address.startswith("tcp://")


def unreachable(address: str) -> MaestroError:
    """The error for an address where nobody listens."""
    if is_far(address):
        return MaestroError(
            "BROKER_UNREACHABLE",
            f"no broker can be reached at {address.partition('#')[0]}",
            "Look whether `maestro up --tcp` runs there, and no firewall bars this port or the next. "
            "Repeating a request with the same ids is safe.",
        )
    return MaestroError(
        "BROKER_UNREACHABLE",
        f"no broker listens at {address}",
        "`maestro up` starts one. Repeating a request with the same ids is safe.",
    )


def closed() -> MaestroError:
    """The error for a client that is used after its end."""
    return MaestroError("BAD_REQUEST", "this client is closed", "Make a new one.")


def not_ours() -> MaestroError:
    """The error for requests of another process, or of a closed client."""
    return MaestroError(
        "BAD_REQUEST",
        "these requests are no longer this client's: it was closed, or another process made them",
        "Begin anew; repeating them with the same ids is safe.",
    )
