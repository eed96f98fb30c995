"""Field comments: the comment above a Struct's field, as the description of that field.

Rule: a field is described once, in the source. The JSON Schemas, the OpenAPI document and `documents` repeat it from
there. Where the source is not installed, they lack descriptions and are otherwise the same.
"""

from __future__ import annotations

import functools
import re
import sys

_CLASS = re.compile(r"class (\w+)\(")
_COMMENT = re.compile(r"    # (.+)")
_FIELD = re.compile(r"    (\w+): ")


def field_comments(shape: type) -> dict[str, str]:
    """Field name in Python -> its comment, also of inherited fields; a field without one is left out."""
    found: dict[str, str] = {}
    for owner in reversed(shape.__mro__):
        found |= _of_module(owner.__module__).get(owner.__name__, {})
    return found


@functools.cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    path = getattr(sys.modules.get(name), "__file__", None) or ""
    if not path.endswith(".py"):
        return {}
    try:
        # Read directly: `inspect.getsource` would parse the whole module once for each class.
        with open(path, encoding="utf-8") as file:
            return parse(file.read())
    except OSError:
        return {}


def parse(source: str) -> dict[str, dict[str, str]]:
    """Class name -> field name -> comment, of one module's source."""
    classes: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    lines: list[str] = []
    for line in source.splitlines():
        if (start := _CLASS.match(line)) is not None:
            fields = classes.setdefault(start[1], {})
        if (comment := _COMMENT.fullmatch(line)) is not None:
            lines.append(comment[1])
            continue
        field = _FIELD.match(line)
        if field is not None and lines:
            fields[field[1]] = " ".join(lines)
        lines = []
    return classes
