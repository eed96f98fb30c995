"""Codec: between bytes on the wire and plain values.

Rule: decoding succeeds or raises MaestroError, whatever the bytes are. No extension type comes out of it, since the
protocol has none. It uses msgpack and not msgspec, which takes 25 ms to import instead of 4; the golden vectors hold
both to the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

import msgpack

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from maestro_schemas.documents import EventDoc

# A request: the protocol's header, its id, the command, the body.
Frames = tuple[bytes, bytes, bytes, bytes]

_NOTICE_FRAMES = 2
_TOPIC_SEPARATOR = "|"
_TIMESTAMP_AS_FLOAT = 1


class Notice(NamedTuple):
    """A hint from the broker to the watchers of `session`."""

    session: str
    event: EventDoc


def encoder() -> Callable[[Mapping[str, Any]], bytes]:
    """A function from a map to its msgpack. It reuses one buffer, so it is for one thread.

    The function raises MaestroError INVALID for a value that msgpack can't hold.
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
    """The error for bytes that no broker of this version sends."""
    return MaestroError(
        "BAD_REQUEST",
        f"the peer sent {what}",
        "Is it a broker of this post office? `maestro status` says which one answers.",
    )
