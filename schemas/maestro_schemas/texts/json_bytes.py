"""JSON bytes: a value as JSON in UTF-8, for programs, in which a person sees all that it holds.

Rule: characters that a reader can't see are escaped. The value is the same, and a terminal that prints a reply, or a
log of it, obeys nothing in it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .visible_text import escaped

_encoder = msgspec.json.Encoder()


def encode(value: Any) -> bytes:
    """The value as JSON on one line. Raises as `msgspec.json.encode`."""
    raw = _encoder.encode(value)
    if raw.isascii() and b"\x7f" not in raw:
        return raw
    return escaped(raw.decode()).encode()
