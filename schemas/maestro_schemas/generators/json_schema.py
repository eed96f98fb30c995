"""JSON Schema: the contract for programs in other languages.

Rule: every file of `json_schemas` and `documents.py` are generated from the Structs, never written by hand.
`python -m maestro_schemas.generators.json_schema` writes them into the checkout; `--check` fails when one differs. On
the wire the documents are msgpack maps; a schema describes both forms.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from maestro_schemas import PROTOCOL_VERSION, commands, events, messages, names, replies, requests, sessions
from maestro_schemas.errors import CODES

from . import document_writer
from .document_writer import in_wire_names
from .field_comments import field_comments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SUFFIX = ".schema.json"
_TEMPLATE = "#/$defs/{name}"
_DOCUMENTS = "maestro_schemas/documents.py"
# In the package, so that an installation has them too.
_PLACE = "maestro_schemas/json_schemas"

_SINGLE: dict[str, type[Struct]] = {
    "message": messages.Message,
    "session": sessions.Session,
    "session-file": sessions.StoredSession,
    "event": events.Event,
    "outbox-entry": requests.OutboxFile,
    "error": replies.ErrorBody,
}
# Fields that hold an id. `to` holds one in a message, and may be a name in a send.
IDS = frozenset({"Message.id", "Message.from", "Message.to", "Session.id", "Outgoing.id", "SessionStart.id"})


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema, of all schema files."""
    found = {f"{name}{_SUFFIX}": _single(name, shape) for name, shape in _SINGLE.items()}
    found[f"requests{_SUFFIX}"] = _by_command("requests", "the body of its request", commands.REQUESTS)
    found[f"replies{_SUFFIX}"] = _by_command("replies", "the body of its successful reply", commands.REPLIES)
    return found


def generated() -> dict[str, str]:
    """Path below `schemas/` -> text, of all generated files."""
    found = {
        f"{_PLACE}/{name}": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }
    return {**found, _DOCUMENTS: document_writer.render()}


def differing(directory: str) -> list[str]:
    """The files below `directory` that differ from what the Structs say: changed, missing, or left over."""
    wanted = generated()
    there = {f"{_PLACE}/{name}" for name in os.listdir(os.path.join(directory, _PLACE))}
    left_over = {name for name in there if name.endswith(_SUFFIX)} - set(wanted)
    changed = {name for name, text in wanted.items() if _read(os.path.join(directory, name)) != text}
    return sorted(left_over | changed)


def write(directory: str) -> None:
    """Write the files that differ, and remove those that are left over."""
    wanted = generated()
    for name in differing(directory):
        path = os.path.join(directory, name)
        if name not in wanted:
            os.unlink(path)
            continue
        with open(path, "w", encoding="utf-8") as file:
            file.write(wanted[name])


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _single(name: str, shape: Any) -> dict[str, Any]:
    parts = definitions([shape])
    own = parts.pop(shape.__name__)
    return {"$schema": _DRAFT, "$id": _identifier(name), **own, **({"$defs": parts} if parts else {})}


def _by_command(name: str, what: str, shapes: dict[str, type[Any]]) -> dict[str, Any]:
    """One schema for `{command: body}`, so that a body is checked together with its command."""
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
        "$defs": dict(sorted(definitions([*shapes.values(), replies.ErrorBody]).items())),
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
    """The schemas of `shapes` and of all types that they use, by the name of the Struct or TypedDict.

    `template`: the form of a reference to another schema, with `{name}`. `ids`: fields, as `Shape.field`, that hold
    an id. `keeps_null`: whether the optional fields of the shape so named accept null. `structs`: by name, Structs
    that are not part of the contract.
    """
    known = {**_STRUCTS, **(structs or {})}
    _, components = msgspec.json.schema_components(tuple(shapes), ref_template=template)
    found = {}
    for name, component in components.items():
        struct = known.get(name)
        schema = dict(component)
        if "description" in component:
            text = inspect.cleandoc(component["description"])
            schema["description"] = in_wire_names(struct, text) if struct else text
        schema["properties"] = {
            field: _property(f"{name}.{field}", shape, template, ids, null=keeps_null(name))
            for field, shape in component["properties"].items()
        }
        for field, text in (_descriptions(struct) if struct else {}).items():
            schema["properties"][field] = {"description": text, **schema["properties"][field]}
        if name == "ErrorBody":
            # Examples and not an enumeration: a newer peer may have further codes.
            schema["properties"]["code"]["examples"] = list(CODES)
        found[name] = schema
    return found


def _descriptions(struct: type[Struct]) -> dict[str, str]:
    """Name on the wire -> description, from the comments above the fields."""
    comments = field_comments(struct)
    return {
        field.encode_name: in_wire_names(struct, comments[field.name])
        for field in msgspec.structs.fields(struct)
        if field.name in comments
    }


def _property(where: str, shape: dict[str, Any], template: str, ids: frozenset[str], *, null: bool) -> dict[str, Any]:
    """One field's schema. An absent field is left out, so `null` and defaults made of absent fields are removed."""
    if where.endswith(".error") and shape.get("type") == "object":
        return {"$ref": template.format(name="ErrorBody")}
    found = {key: value for key, value in shape.items() if key != "default" or value not in (None, {}, [], ())}
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


_STRUCTS: dict[str, type[Struct]] = {
    name: shape
    for module in (messages, sessions, events, requests, replies)
    for name, shape in vars(module).items()
    if isinstance(shape, type) and issubclass(shape, Struct)
}


def main(argv: list[str]) -> int:
    """Write the files; with `--check`, list those that differ. The exit status is 0 when none differs."""
    directory = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 2))
    if not os.path.exists(os.path.join(directory, "PROTOCOL.md")):
        print("The generated files belong to a checkout of the source, and this is not one.", file=sys.stderr)
        return 1
    if argv == ["--check"]:
        wrong = differing(directory)
        for name in wrong:
            print(f"{name} differs from the code: run `just schemas`.", file=sys.stderr)
        return 1 if wrong else 0
    if argv:
        print("usage: python -m maestro_schemas.generators.json_schema [--check]", file=sys.stderr)
        return 2
    write(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
