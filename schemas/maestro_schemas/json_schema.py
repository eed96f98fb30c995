"""JSON Schema: the contract for programs that are not ours.

Rule: every `schemas/*.schema.json` is generated from the Structs, never written by hand:
`python -m maestro_schemas.json_schema` writes them into the checkout, `--check` fails when one differs. On the
wire the documents are msgpack maps; a schema says the same of both forms.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from . import PROTOCOL_VERSION, commands, documents, events, messages, names, replies, requests, sessions
from .errors import CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SUFFIX = ".schema.json"
_TEMPLATE = "#/$defs/{name}"
_CODE_SPAN = re.compile(r"`(\w+)`")

_SINGLE: dict[str, Any] = {
    "message": messages.Message,
    "session": sessions.Session,
    "session-file": sessions.StoredSession,
    "event": events.Event,
    "outbox-entry": documents.OutboxEntryDoc,
    "error": documents.ErrorDoc,
}
# Fields that hold an id and nothing else, wherever they are. `to` is one in a message, and may be a name in a send.
IDS = frozenset({"Message.id", "Message.from", "Message.to", "Session.id", "Outgoing.id", "SessionStart.id"})


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema, for all of them."""
    found = {f"{name}{_SUFFIX}": _single(name, shape) for name, shape in _SINGLE.items()}
    found[f"requests{_SUFFIX}"] = _by_command("requests", "the body of its request", commands.REQUESTS)
    found[f"replies{_SUFFIX}"] = _by_command("replies", "the body of its successful reply", commands.REPLIES)
    return found


def render(schema: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def differing(directory: str) -> list[str]:
    """The schema files in `directory` that are not what the Structs say: changed, missing, or left over."""
    wanted = {name: render(schema) for name, schema in schemas().items()}
    there = {name for name in os.listdir(directory) if name.endswith(_SUFFIX)}
    wrong = there ^ set(wanted)
    for name in there & set(wanted):
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            if file.read() != wanted[name]:
                wrong.add(name)
    return sorted(wrong)


def write(directory: str) -> None:
    """Make the schema files in `directory` what the Structs say."""
    wanted = schemas()
    for name in differing(directory):
        path = os.path.join(directory, name)
        if name not in wanted:
            os.unlink(path)
            continue
        with open(path, "w", encoding="utf-8") as file:
            file.write(render(wanted[name]))


def _single(name: str, shape: Any) -> dict[str, Any]:
    parts = definitions([shape])
    own = parts.pop(shape.__name__)
    return {"$schema": _DRAFT, "$id": _identifier(name), **own, **({"$defs": parts} if parts else {})}


def _by_command(name: str, what: str, shapes: dict[str, type[Any]]) -> dict[str, Any]:
    """One schema for `{command: body}`, so that a body is checked together with the command that it belongs to."""
    return {
        "$schema": _DRAFT,
        "$id": _identifier(name),
        "title": name,
        "description": f"An object with one property: the command's name, and {what}.",
        "type": "object",
        "properties": {command: {"$ref": _TEMPLATE.format(name=shape.__name__)} for command, shape in shapes.items()},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
        "$defs": dict(sorted(definitions([*shapes.values(), documents.ErrorDoc]).items())),
    }


def _identifier(name: str) -> str:
    return f"urn:maestro-messaging:m{PROTOCOL_VERSION}:{name}"


def definitions(
    shapes: Iterable[Any],
    *,
    template: str = _TEMPLATE,
    ids: frozenset[str] = IDS,
    keeps_null: Callable[[str], bool] = lambda _name: False,
    structs: Mapping[str, type[Struct]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Struct or TypedDict name -> its schema, of `shapes` and of all that they are built of.

    `template`: of a reference to another one, with `{name}`. `ids`: fields, as `Shape.field`, that hold an id.
    `keeps_null`: whether null is told as a value of the optional fields of the shape so named. `structs`: by name,
    those that are not the contract's own.
    """
    known = {**_STRUCTS, **(structs or {})}
    _, components = msgspec.json.schema_components(tuple(shapes), ref_template=template)
    found = {}
    for name, component in components.items():
        told = inspect.cleandoc(component.get("description", ""))
        schema = {**component, **({"description": _in_wire_names(known.get(name), told)} if told else {})}
        schema["properties"] = {
            field: _property(f"{name}.{field}", shape, template, ids, null=keeps_null(name))
            for field, shape in component["properties"].items()
        }
        if name == "ErrorDoc":
            # A newer peer may have further codes, so they are told and not enforced.
            schema["properties"]["code"]["examples"] = list(CODES)
        found[name] = schema
    return found


def _property(where: str, shape: dict[str, Any], template: str, ids: frozenset[str], *, null: bool) -> dict[str, Any]:
    """An absent field is left out: neither `null` nor a default that is built of absent fields is part of it."""
    if where.endswith(".error") and shape.get("type") == "object":
        return {"$ref": template.format(name="ErrorDoc")}
    found = {key: value for key, value in shape.items() if key != "default" or value not in (None, {}, [])}
    if "$ref" in found:
        found.pop("default", None)
    kinds = [kind for kind in found.pop("anyOf", []) if null or kind != {"type": "null"}]
    if len(kinds) == 1:
        found |= kinds[0]
    elif kinds:
        found["anyOf"] = kinds
    if where in ids:
        found["pattern"] = names.ID_PATTERN
    return found


def _in_wire_names(shape: type[Struct] | None, text: str) -> str:
    """The docstrings speak of Python's names; a reader of the schema knows the wire's."""
    if shape is None:
        return text
    wire = {field.name: field.encode_name for field in msgspec.structs.fields(shape)}
    return _CODE_SPAN.sub(lambda span: f"`{wire.get(span[1], span[1])}`", text)


_STRUCTS: dict[str, type[Struct]] = {
    name: shape
    for module in (messages, sessions, events, requests, replies)
    for name, shape in vars(module).items()
    if isinstance(shape, type) and issubclass(shape, Struct)
}


def main(argv: list[str]) -> int:
    """Write the files, or with `--check` say which differ; 0 when none does."""
    directory = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.exists(os.path.join(directory, "PROTOCOL.md")):
        print("The schema files are written in a checkout of the source, and this is none.", file=sys.stderr)
        return 1
    if argv == ["--check"]:
        wrong = differing(directory)
        for name in wrong:
            print(f"{name} is not what the code says: run `just schemas`.", file=sys.stderr)
        return 1 if wrong else 0
    if argv:
        print("usage: python -m maestro_schemas.json_schema [--check]", file=sys.stderr)
        return 2
    write(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
