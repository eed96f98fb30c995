"""Codec: between bytes on the wire and plain values.

Rule: decoding either succeeds or raises MaestroError, whatever the bytes are; no extension type comes out of it,
since no surface but this one has them. msgpack and not msgspec: it imports in 4 ms instead of 25, and the golden
vectors hold both to the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

import msgpack

from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maestro_schemas.documents import EventDoc

# A request: the protocol's header, its id, the command, the body.
Frames = tuple[bytes, bytes, bytes, bytes]

_REPLY_FRAMES = 4
_NOTICE_FRAMES = 2
_TOPIC_SEPARATOR = "|"
_TIMESTAMP_AS_FLOAT = 1


class Reply(NamedTuple):
    """An answer. `status`: HTTP's number; from 400 on, `body` is an error body."""

    request_id: bytes
    status: int
    body: dict[str, Any]


class Notice(NamedTuple):
    """A hint of the broker's to the watchers of `session`."""

    session: str
    event: EventDoc


def encoder() -> Callable[[Mapping[str, Any]], bytes]:
    """A function from a map to its msgpack, with a buffer of its own that each call uses again; for one thread.

    It raises MaestroError INVALID for what msgpack can't hold.
    """
    pack = msgpack.Packer(use_bin_type=True).pack

    def encode(body: Mapping[str, Any]) -> bytes:
        try:
            return cast("bytes", pack(body))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise MaestroError(
                "INVALID",
                f"the request can't be encoded: {error}",
                "Use text, numbers up to 64 bits, booleans, lists and maps; text must be valid Unicode.",
            ) from None

    return encode


def decode(raw: bytes) -> dict[str, Any]:
    """One msgpack map with string keys. Raises MaestroError BAD_REQUEST."""
    try:
        # A number instead of a Timestamp object; `ext_hook` sees every other extension.
        body = msgpack.unpackb(raw, timestamp=_TIMESTAMP_AS_FLOAT, ext_hook=_refuse_extension)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise _unreadable(f"a body that is no msgpack map: {error}") from None
    if not isinstance(body, dict):
        raise _unreadable(f"a body that is no map but {type(body).__name__}")
    return body


def decode_reply(frames: Sequence[bytes]) -> Reply:
    """An answer's four frames. Raises MaestroError UNSUPPORTED_PROTOCOL or BAD_REQUEST."""
    if not frames or frames[0] != PROTOCOL_HEADER:
        raise MaestroError(
            "UNSUPPORTED_PROTOCOL",
            f"the peer answered with {frames[0][:16] if frames else b''!r} where {PROTOCOL_HEADER!r} must stand",
            "The broker is of another version: `maestro down`; the next command starts the installed one.",
        )
    if len(frames) != _REPLY_FRAMES:
        raise _unreadable(f"{len(frames)} frames instead of {_REPLY_FRAMES}")
    _, request_id, status, body = frames
    if len(status) != 3 or not status.isdigit():
        raise _unreadable(f"the status {status[:16]!r}")
    return Reply(request_id, int(status), decode(body))


def decode_notice(frames: Sequence[bytes]) -> Notice:
    """A notice's two frames. Raises MaestroError BAD_REQUEST."""
    if len(frames) != _NOTICE_FRAMES:
        raise _unreadable(f"a notice of {len(frames)} frames")
    session, separator, _ = frames[0].decode("utf-8", "replace").partition(_TOPIC_SEPARATOR)
    body = decode(frames[1])
    if not separator or not isinstance(body.get("event"), str):
        raise _unreadable("a notice without a session or an event")
    return Notice(session, cast("EventDoc", body))


def _refuse_extension(code: int, _data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}")


def _unreadable(what: str) -> MaestroError:
    return MaestroError(
        "BAD_REQUEST",
        f"the peer sent {what}",
        "Is it a broker of this post office? `maestro status` says which one answers.",
    )
