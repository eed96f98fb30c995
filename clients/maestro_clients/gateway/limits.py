"""Limits: every number that bounds one HTTP gateway, in one place.

Rule: a limit is a field of `Limits` with a unit in its name and an entry in `DOCS`; `GET /health` shows it; breaking
it is a typed error. Set by environment, `MAESTRO_HTTP_<NAME>`, where a trailing `_ms` may be left off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas import limits as post_office
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Doc

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIRE_BYTES = post_office.Limits().wire_bytes_max
# JSON's own: names, quotes, and what an escape takes more than the character.
_ROOM_BYTES = 64 << 10
_HOUR_MS = 3_600_000


class Limits(NamedTuple):
    """The limits in force. What each means, its unit and its range are in DOCS."""

    body_bytes_max: int = _WIRE_BYTES + _ROOM_BYTES
    body_timeout_ms: int = 30_000
    head_bytes_max: int = 32 << 10
    head_timeout_ms: int = 10_000
    keep_alive_ms: int = 75_000
    stall_timeout_ms: int = 30_000
    linger_ms: int = 2_000
    linger_bytes_max: int = 4 << 20
    connections_max: int = 2_000
    idle_connections_max: int = 1_500


DOCS: dict[str, Doc] = {
    "body_bytes_max": Doc("bytes", 4_096, 64 << 20, "one request's body: the wire's limit and room for JSON"),
    "body_timeout_ms": Doc("ms", 100, _HOUR_MS, "from a request's head to the end of its body"),
    "head_bytes_max": Doc("bytes", 1_024, 1 << 20, "a request's line and headers; also what follows a body's chunks"),
    "head_timeout_ms": Doc("ms", 100, _HOUR_MS, "from a connection's start, or a request's first byte, to its head"),
    "keep_alive_ms": Doc("ms", 100, _HOUR_MS, "how long a connection may rest between two requests"),
    "stall_timeout_ms": Doc("ms", 100, _HOUR_MS, "how long a peer may leave an answer unread"),
    "linger_ms": Doc("ms", 0, 60_000, "how long a refused request is still read, so that the refusal arrives"),
    "linger_bytes_max": Doc("bytes", 0, 64 << 20, "how much of a refused request is still read"),
    "connections_max": Doc("count", 1, 100_000, "connections at once; each further one is told 503"),
    "idle_connections_max": Doc("count", 1, 100_000, "connections that ask nothing; the longest idle one goes first"),
}


def resolve(environ: Mapping[str, str]) -> Limits:
    """The limits in force. Raises MaestroError BAD_SETTING for a value out of range."""
    values: dict[str, int] = {}
    for name, doc in DOCS.items():
        # Where both spellings are set, the one with the unit wins.
        for variable in (f"MAESTRO_HTTP_{name.removesuffix('_ms').upper()}", f"MAESTRO_HTTP_{name.upper()}"):
            if environ.get(variable):
                values[name] = _parsed(variable, environ[variable], doc)
    return Limits(**values)


def _parsed(variable: str, text: str, doc: Doc) -> int:
    # As in `Limits` of the post office: a number of milliseconds, or a duration with its unit.
    if text.isascii() and text.isdigit():
        value = int(text) if len(text) <= len(str(doc.high)) else doc.high + 1
    elif doc.unit == "ms":
        value = post_office.parse_duration_ms(text)
    else:
        value = -1
    if not doc.low <= value <= doc.high:
        raise MaestroError(
            "BAD_SETTING",
            f"{variable} can't be {text[:80]!r}: it is {doc.text}",
            f"Give a value from {doc.low:,} to {doc.high:,} ({doc.unit}).",
            limit=doc.high if value > doc.high else doc.low,
            actual=value if value >= 0 else None,
        )
    return value
