"""Socket options: the limits that every libzmq socket of the broker has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from typing import Any

_BACKLOG = 1_024
_HIGH_WATER_MESSAGES = 10_000
_HANDSHAKE_MS = 5_000
LINGER_MS = 500
# libzmq drops a connection that sends a longer frame, without a reply. Up to this factor above the limit of the wire,
# the broker answers with an error.
FRAME_FACTOR = 4
TOPIC_BYTES_MAX = 1_024


def set_limits(socket: zmq.Socket[Any], *, frame_bytes_max: int) -> None:
    """Bound what one peer, and all peers together, can occupy."""
    socket.setsockopt(zmq.MAXMSGSIZE, frame_bytes_max)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.BACKLOG, _BACKLOG)
    socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    socket.setsockopt(zmq.SNDHWM, _HIGH_WATER_MESSAGES)
    socket.setsockopt(zmq.RCVHWM, _HIGH_WATER_MESSAGES)
