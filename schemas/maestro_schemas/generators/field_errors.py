"""Field errors: what is wrong with a field of a request, with the values or fields that are allowed.

Rule: made from msgspec's error and the request's own type, so that an error lists what the decoder takes. A value is
shown only in part, because it may be as long as the request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import inspect

from maestro_schemas.texts import near_words

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_VALUE: Final = "Invalid enum value "
_NO_FIELD: Final = "Object contains unknown field "
_AT: Final = " - at `$"
# A step of msgspec's path: a field, or an element of a list or of a map.
_STEP: Final = re.compile(r"\.(\w+)|\[[^\]]*\]")
_SHOWN_CHARS_MAX: Final = 64


def explained(error: msgspec.ValidationError, shape: type[msgspec.Struct]) -> str:
    """The error in words. `shape`: what was decoded."""
    text = str(error)
    what, _, path = text.rpartition(_AT) if _AT in text else (text, "", "")
    path = path.removesuffix("`")
    found = _types(inspect.type_info(shape))
    for step in _STEP.finditer(path):
        found = [inner for outer in found for part in _parts(outer, step[1]) for inner in _types(part)]
    place = path.lstrip(".")
    if what.startswith(_NO_VALUE):
        values = _values(found)
        return (
            f"`{place}` can't be {_shown(what, _NO_VALUE)}; it is one of: {', '.join(values)}{_guess(what, values)}"
        )
    if what.startswith(_NO_FIELD):
        owner = f"`{place}`" if place else "the request"
        fields = _fields(found)
        no_field = f"{owner} has no field {_shown(what, _NO_FIELD)}"
        return f"{no_field}; its fields are: {', '.join(fields)}{_guess(what, fields)}"
    return text


def _types(found: inspect.Type) -> list[inspect.Type]:
    """The type without its descriptions; the alternatives of a union."""
    if isinstance(found, inspect.Metadata):
        return _types(found.type)
    if isinstance(found, inspect.UnionType):
        return [inner for kind in found.types for inner in _types(kind)]
    return [found]


def _parts(found: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    """The types behind one step: the field `name`, or without a name an element."""
    if isinstance(found, inspect.StructType):
        yield from (field.type for field in found.fields if field.encode_name == name)
    elif isinstance(found, inspect.ListType):
        yield found.item_type
    elif isinstance(found, inspect.DictType):
        yield found.value_type


def _values(found: list[inspect.Type]) -> list[str]:
    return [str(value) for kind in found if isinstance(kind, inspect.LiteralType) for value in kind.values]


def _fields(found: list[inspect.Type]) -> list[str]:
    return [field.encode_name for kind in found if isinstance(kind, inspect.StructType) for field in kind.fields]


def _guess(what: str, known: list[str]) -> str:
    """`; did you mean X?`, of the word that msgspec's error ends with in quotes; empty if none is near."""
    found = near_words.nearest(what.rpartition(" ")[2].strip("'`"), known)
    return f"; did you mean {found[0]}?" if found else ""


def _shown(what: str, before: str) -> str:
    value = what.removeprefix(before)
    return value if len(value) <= _SHOWN_CHARS_MAX else f"{value[:_SHOWN_CHARS_MAX]}…"
