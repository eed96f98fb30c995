"""Golden vectors: documents of the contract with their bytes on the wire.

Rule: a vector's `document` is written by hand. This script (`just schemas`) writes its `hex`, with plain msgpack as
a client packs it. `brokerHex` exists if the broker writes other bytes: msgspec sizes a map's header by the fields of
the type, not by those that are present, so from 16 fields on the header is longer than necessary. A diff in either is
a change of the wire and needs another protocol version.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import msgpack
import msgspec

from maestro_schemas.commands import REPLIES
from maestro_schemas.events import Event

DIRECTORY = os.path.dirname(os.path.abspath(__file__))

_WRITTEN: list[type[msgspec.Struct]] = [*REPLIES.values(), Event]
_SHAPES = {shape.__name__: shape for shape in _WRITTEN}


def regenerated(text: str) -> str:
    """A vector file's text, with the bytes of every vector computed again."""
    content = json.loads(text)
    content["vectors"] = [_with_bytes(vector) for vector in content["vectors"]]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def files() -> list[str]:
    """The paths of the vector files."""
    return sorted(os.path.join(DIRECTORY, name) for name in os.listdir(DIRECTORY) if name.endswith(".json"))


def _with_bytes(vector: dict[str, Any]) -> dict[str, Any]:
    whole = {name: value for name, value in vector.items() if name not in ("hex", "brokerHex")}
    packed = msgpack.packb(_plain(whole["document"]))
    whole["hex"] = packed.hex()
    shape = _SHAPES.get(whole.get("type", ""))
    if shape is not None:
        by_broker = msgspec.msgpack.encode(msgspec.msgpack.decode(packed, type=shape))
        if by_broker != packed:
            whole["brokerHex"] = by_broker.hex()
    return whole


def _plain(value: Any) -> Any:
    """A document with its byte strings, which the file writes as `{"$bytes": hex}`."""
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return bytes.fromhex(value["$bytes"])
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def main() -> int:
    """Write the files that differ."""
    for path in files():
        with open(path, encoding="utf-8") as file:
            before = file.read()
        after = regenerated(before)
        if after != before:
            with open(path, "w", encoding="utf-8") as file:
                file.write(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
