"""Vectors: the golden documents, read from `schemas/golden`.

Rule: each comes with the Struct that the broker uses for it, or None where there is no one type.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_schemas.commands import REPLIES, REQUESTS
from maestro_schemas.events import Event

if TYPE_CHECKING:
    from msgspec import Struct

SCHEMAS = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "schemas")
GOLDEN = os.path.join(SCHEMAS, "golden")
FILES = ("requests", "requests-short", "replies", "events", "errors", "values")


class Vector(NamedTuple):
    """`file`: which it is from. `kind`: its command or event, or what it is called. `by_broker`: its bytes when the
    broker encodes it as `shape`."""

    file: str
    kind: str
    shape: type[Struct] | None
    document: Any
    raw: bytes
    by_broker: bytes


def vectors() -> list[Vector]:
    """All of them."""
    return [_vector(file, found) for file in FILES for found in _content(file)]


def _content(file: str) -> list[dict[str, Any]]:
    with open(os.path.join(GOLDEN, f"{file}.json"), encoding="utf-8") as opened:
        found: list[dict[str, Any]] = json.load(opened)["vectors"]
    return found


def _vector(file: str, found: dict[str, Any]) -> Vector:
    document = with_bytes(found["document"])
    shape: type[Struct] | None = None
    if file.startswith("requests"):
        kind, shape = found["command"], REQUESTS[found["command"]]
    elif file == "replies":
        kind, shape = found["command"], REPLIES[found["command"]]
    elif file == "events":
        kind, shape = document["event"], Event
    else:
        kind = found.get("name") or document["code"]
    assert shape is None or shape.__name__ == found["type"]
    by_broker = bytes.fromhex(found.get("brokerHex", found["hex"]))
    return Vector(file, kind, shape, document, bytes.fromhex(found["hex"]), by_broker)


def with_bytes(value: Any) -> Any:
    """A document with its byte strings: JSON has none, so a vector's file writes one as `{"$bytes": hex}`."""
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return bytes.fromhex(value["$bytes"])
        return {name: with_bytes(inner) for name, inner in value.items()}
    return [with_bytes(inner) for inner in value] if isinstance(value, list) else value
