"""JSON text: one value on one line, without `import json`, which costs more than a whole command of the fast path.

Rule: what is read is what `json.loads` reads, but for NaN and infinity, which are no JSON. What is written is the
same text as `json.dumps` with its default separators, but that characters that a reader can't see are escaped; tests
compare them by fuzzing. Values that are not text, a number, a boolean, None, or a list or map of them
are left to `json`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _NotPlain(Exception):  # noqa: N818 - not an error: json writes it
    pass


def line(value: object, *, ascii_only: bool) -> str:
    """`json.dumps(value, ensure_ascii=ascii_only)` with hidden characters escaped, and raises as that."""
    try:
        # `json.encoder` takes the same functions from there.
        import _json

        text = _written(value, _json.encode_basestring_ascii if ascii_only else _json.encode_basestring)
    except (ImportError, RecursionError, _NotPlain):
        import json

        text = json.dumps(value, ensure_ascii=ascii_only)
    if text.isascii() and text.isprintable():
        return text
    from maestro_schemas.texts.visible_text import escaped

    return escaped(text)


def parsed(text: str) -> object:
    """The value of a text. Raises ValueError for what is no JSON, RecursionError where it is nested too deeply."""
    inside = text.strip(" \t\r\n")
    try:
        # `json.decoder` takes the same function from there.
        import _json

        scan: Any = _json.make_scanner(_Reading)  # type: ignore[arg-type]
        value, end = scan(inside, 0)
    except StopIteration:
        raise ValueError("there is no value") from None
    except (ImportError, AttributeError, TypeError, SystemError):
        # SystemError: `_json` looks for the class of its error in the module that is not imported.
        import json

        return json.loads(inside, parse_constant=_no_constant)
    if end != len(inside):
        raise ValueError("there is more text after the value")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


class _Reading:
    """How `_json` reads, as `json.JSONDecoder` says it."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_no_constant)
    memo: dict[str, str] = {}  # noqa: RUF012 - nothing is kept in it


def _written(value: object, quoted: Callable[[str], str]) -> str:
    if type(value) is str:
        return quoted(value)
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int or (type(value) is float and value - value == 0):
        return repr(value)
    if type(value) is dict:
        return "{" + ", ".join([_pair(key, item, quoted) for key, item in value.items()]) + "}"
    if type(value) is list or type(value) is tuple:
        return "[" + ", ".join([_written(item, quoted) for item in value]) + "]"
    raise _NotPlain  # infinite numbers, and other classes


def _pair(key: object, item: object, quoted: Callable[[str], str]) -> str:
    if type(key) is not str:
        raise _NotPlain
    return f"{quoted(key)}: {_written(item, quoted)}"
