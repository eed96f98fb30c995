"""Orders: what the broker and the process of the index say to each other.

Rule: the broker has checked the caller and resolved all names: an order has ids only. Each frame is its length in
four bytes and one msgpack value. An answer's fields are passed on undecoded.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from maestro_schemas.texts.search_query import Term

LENGTH_BYTES = 4
# What one search may take of the processor: the searches of others wait meanwhile.
SEARCH_S_MAX = 2.0


class Scope(Struct, frozen=True, omit_defaults=True):
    """Which mail the caller may see, and which of it was asked for."""

    # The caller; None: the operator.
    reader: str | None = None
    # The sessions of an orchestrator's own project.
    project: tuple[str, ...] = ()
    # The session whose mail was asked for.
    owner: str | None = None
    # The sessions of the project that was asked for.
    party_of: tuple[str, ...] | None = None


class Part(Struct, frozen=True, omit_defaults=True):
    """An operator of a query, with the ids that its value means."""

    operator: str
    values: tuple[str, ...] = ()
    is_excluded: bool = False
    at_ms: int = 0


class IndexOrder(Struct, frozen=True, omit_defaults=True):
    """One request. `head`: the newest record; the index reads up to there first."""

    kind: Literal["search", "threads", "analytics", "rebuild"]
    head: int
    scope: Scope = Scope()
    terms: tuple[Term, ...] = ()
    parts: tuple[Part, ...] = ()
    before: int | None = None
    limit: int = 0
    bytes_max: int = 0
    since: int = 0
    until: int = 0
    bucket_ms: int = 0
    utc_offset_minutes: int = 0


class IndexReport(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The state of the index, for `maestro status`."""

    up_to: int
    messages: int
    bytes: int
    # Whether this Python's SQLite has FTS5.
    full_text: bool
    rebuilding: float | None = None


class IndexAnswer(Struct, frozen=True, omit_defaults=True):
    """The answer to the order of this number; 0: only a report."""

    number: int
    report: IndexReport
    fields: dict[str, msgspec.Raw] = {}
    # The sessions that the fields mention; None where the reply names no sessions.
    mentioned: tuple[str, ...] | None = None
    # Why there is no answer.
    failure: str | None = None
    # It needed more than SEARCH_S_MAX.
    is_too_long: bool = False


_encode = msgspec.msgpack.Encoder().encode


def frame(value: Any) -> bytes:
    """The bytes of one value."""
    body = _encode(value)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Frames:
    """Cuts a stream of bytes into the bodies of its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are whole now."""
        self._buffer += data
        found = []
        while len(self._buffer) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            if len(self._buffer) < end:
                break
            found.append(bytes(self._buffer[LENGTH_BYTES:end]))
            del self._buffer[:end]
        return found
