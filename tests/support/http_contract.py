"""HTTP contract: what a client of the HTTP interface may rely on, as lines.

Rule: made from the OpenAPI document. A line that begins with `!` is a demand on the client: version 1 may drop it,
and may get no new one. Every other line is a promise: version 1 may get new ones, and may drop none.
`python -m support.http_contract` in `tests` prints the lines, for the record `http_v1.txt`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_gateway.api.websocket import CLOSE_CODES
from maestro_gateway.docs import openapi
from maestro_gateway.http.routing import API_VERSION
from maestro_gateway.routes import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator


def lines() -> list[str]:
    """All lines, in order."""
    contract = openapi.document(CALLS)
    found = [f"version {API_VERSION.partition('.')[0]}"]
    for path, calls in contract["paths"].items():
        for method, call in calls.items():
            found += _of_call(f"{method.upper()} {path}", call)
    for name, schema in contract["components"]["schemas"].items():
        found += _of_schema(name, schema)
    found += [f"WebSocket closes with {number} for {code}" for code, number in CLOSE_CODES.items()]
    return sorted(set(found))


def _of_call(name: str, call: dict[str, Any]) -> Iterator[str]:
    for part in call.get("parameters", ()):
        yield f"{name} takes {part['in']} {part['name']}"
        if part["required"] and part["in"] != "path":
            yield f"! {name} requires {part['in']} {part['name']}"
    if "requestBody" in call:
        for media, body in call["requestBody"]["content"].items():
            yield f"{name} takes {_kind(body['schema']) if media == 'application/json' else media}"
    for status, answer in call["responses"].items():
        content = answer.get("content", {})
        if int(status) < 400:
            for media in content or ("nothing",):
                yield f"{name} answers {status} {media} {_kind(content[media].get('schema', {})) if content else ''}"
            continue
        exact = content["application/json"]["schema"].get("allOf", [{}, {}])[1]
        for code in exact.get("properties", {}).get("code", {}).get("enum", ()):
            yield f"{name} says {status} {code}"


def _of_schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    is_asked = name.endswith(("Body", "Given")) and name != "ErrorBody"
    for field, shape in schema.get("properties", {}).items():
        yield f"{name}.{field}: {_kind(shape)}"
        if not is_asked and field in schema.get("required", ()):
            yield f"{name}.{field} is always there"
    if is_asked:
        yield from (f"! {name} requires {field}" for field in schema.get("required", ()))


def _kind(shape: dict[str, Any]) -> str:
    """A type in short."""
    if "$ref" in shape:
        return str(shape["$ref"]).rpartition("/")[2]
    if "anyOf" in shape:
        return " or ".join(sorted(_kind(kind) for kind in shape["anyOf"]))
    if "const" in shape:
        return repr(shape["const"])
    if "prefixItems" in shape:
        return f"list of exactly {', '.join(_kind(each) for each in shape['prefixItems'])}"
    if shape.get("type") == "array":
        return f"list of {_kind(shape.get('items', {}))}"
    kind = shape.get("type", "anything")
    return " or ".join(sorted(kind)) if isinstance(kind, list) else str(kind)


if __name__ == "__main__":
    print("\n".join(lines()))
