"""Frames: the parts of a request and of its reply on the wire.

Rule: imports nothing that costs time, since the fast path reads replies by it. The body's encoding is the caller's:
`codec` for most clients, `minimal_msgpack` for the fast path.
"""

from __future__ import annotations

from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    # A request: the protocol's header, its id, the command, the body.
    Frames = tuple[bytes, bytes, bytes, bytes]
    # A reply: HTTP's status number, and the body; from 400 on, the body is an error's.
    Reply = tuple[int, dict[str, Any]]

ERROR_STATUS = 400
_REPLY_FRAMES = 4


def decode_reply(frames: Sequence[bytes], decode: Callable[[bytes], dict[str, Any]]) -> tuple[bytes, Reply]:
    """The request's id and the reply. Raises MaestroError UNSUPPORTED_PROTOCOL or BAD_REQUEST, and as `decode`."""
    if not frames or frames[0] != PROTOCOL_HEADER:
        raise MaestroError(
            "UNSUPPORTED_PROTOCOL",
            f"the peer answered with {frames[0][:16] if frames else b''!r} where {PROTOCOL_HEADER!r} must stand",
            "The broker is of another version: `maestro down`; the next command starts the installed one.",
        )
    if len(frames) != _REPLY_FRAMES:
        raise unreadable(f"{len(frames)} frames instead of {_REPLY_FRAMES}")
    _, request_id, status, body = frames
    if len(status) != 3 or not status.isdigit():
        raise unreadable(f"the status {status[:16]!r}")
    return request_id, (int(status), decode(body))


def body_of(outcome: Reply | MaestroError) -> dict[str, Any]:
    """The body of a reply. Raises the MaestroError that the outcome or the reply is."""
    if isinstance(outcome, MaestroError):
        raise outcome
    status, body = outcome
    if status >= ERROR_STATUS:
        raise MaestroError.from_body(body)
    return body


def unreadable(what: str) -> MaestroError:
    """The error for bytes that no broker of this version sends."""
    return MaestroError(
        "BAD_REQUEST",
        f"the peer sent {what}",
        "Is it a broker of this post office? `maestro status` says which one answers.",
    )
