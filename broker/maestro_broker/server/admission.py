"""Admission: which arrivals are requests that the broker may serve.

Rule: it checks the peer first (its uid comes from the kernel), then the grammar, then the size, before anything is
decoded. Each refusal is typed and counted.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from maestro_schemas import PROTOCOL_HEADER, PROTOCOL_VERSION, UPGRADE
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import REQUEST_ID_BYTES_MAX

if TYPE_CHECKING:
    from maestro_broker.transport.listener import IncomingRequest

_FRAMES = 4
CLIENT_IS_OLDER = f"The client is the older one: {UPGRADE}, where it runs."
BROKER_IS_OLDER = (
    "The broker is the older one: `maestro down`; the next command of the newer installation starts the newer broker."
)


class Admission:
    """`refused`: the number of refused arrivals by reason (`oversize`, `malformed`, `peer`)."""

    def __init__(self, wire_bytes_max: int) -> None:
        self._wire_bytes_max = wire_bytes_max
        self._uids = (os.getuid(), 0)
        self.refused = {"oversize": 0, "malformed": 0, "peer": 0}

    def admit(self, arrival: IncomingRequest) -> tuple[bytes, bytes]:
        """The command and the body. Raises MaestroError PEER_REFUSED, UNSUPPORTED_PROTOCOL, BAD_REQUEST or
        FRAME_TOO_LARGE."""
        frames, uid = arrival.frames, arrival.uid
        # Outside Linux libzmq may not report the uid; there only the 0700 directory of the sockets protects them.
        # Over TCP the key is checked instead.
        if arrival.public is None and uid not in self._uids and (uid is not None or sys.platform == "linux"):
            self.refused["peer"] += 1
            raise MaestroError(
                "PEER_REFUSED",
                f"the peer runs as uid {uid}, the broker as {self._uids[0]}",
                "Use a broker of your own.",
            )
        if frames[0] != PROTOCOL_HEADER:
            self.refused["malformed"] += 1
            raise MaestroError(
                "UNSUPPORTED_PROTOCOL",
                f"a request begins with {frames[0][:16]!r}; this broker speaks M{PROTOCOL_VERSION}",
                _advice(frames[0]),
            )
        if len(frames) != _FRAMES or not 0 < len(frames[1]) <= REQUEST_ID_BYTES_MAX:
            self.refused["malformed"] += 1
            raise MaestroError(
                "BAD_REQUEST",
                f"a request has four frames (M1, request id of 1 to {REQUEST_ID_BYTES_MAX} bytes, command, body), "
                f"and this one has {len(frames)}, the id {len(frames[1]) if len(frames) > 1 else 0} bytes",
                "See PROTOCOL.md, Grammar.",
            )
        size = len(frames[3])
        if size > self._wire_bytes_max:
            self.refused["oversize"] += 1
            raise MaestroError(
                "FRAME_TOO_LARGE",
                f"the request's body is {size:,} bytes, and the limit is {self._wire_bytes_max:,}",
                "Send less at a time.",
                limit=self._wire_bytes_max,
                actual=size,
            )
        return frames[2], frames[3]


def _advice(header: bytes) -> str:
    """The hint for a request with another first frame."""
    if header[:1] != b"M" or not header[1:].isdigit():
        return "See PROTOCOL.md, Grammar."
    return CLIENT_IS_OLDER if int(header[1:8]) < PROTOCOL_VERSION else BROKER_IS_OLDER


def request_id(arrival: IncomingRequest) -> bytes:
    """The id that the reply repeats, also for a malformed request."""
    frames = arrival.frames
    return frames[1][:REQUEST_ID_BYTES_MAX] if len(frames) > 1 and frames[1] else b"-"
