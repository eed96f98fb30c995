"""JSON editor: parses a JSON document and keeps the position of each value in the text.

Rule: pure; accepts what the standard library accepts, plus comments where they are allowed. With these positions an
editor can change one value and leave every other character as it is.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from maestro_schemas.errors import MaestroError

_DEPTH_MAX = 64
_BLANK = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_INDENT = "  "
_SCALAR = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?[0-9][-+.0-9eE]*|true|false|null')


class JsonValue(NamedTuple):
    """A value, and its position in the text."""

    start: int
    end: int
    # The value as the standard library gives it.
    value: object
    # The members of an object, by key. If a key occurs twice, the last one counts.
    members: dict[str, JsonValue]
    # The items of a list.
    items: list[JsonValue]
    # The start of each member (its key) or item, in order.
    starts: list[int]

    @property
    def is_object(self) -> bool:
        """Whether it is a JSON object."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether it is a JSON list."""
        return isinstance(self.value, list)

    @property
    def ends(self) -> list[int]:
        """The end of each item of a list."""
        return [item.end for item in self.items]


def parse(text: str, *, comments: bool) -> JsonValue:
    """Parse a text that has one value. Raises MaestroError INVALID with the line of the mistake."""
    parser = _Parser(text, comments=comments)
    value = parser.value(parser.skip(0 if not text.startswith("\ufeff") else 1), 0)
    rest = parser.skip(value.end)
    if rest != len(text):
        raise parser.error(rest, "there is more text after its end")
    return value


# --- changing ----------------------------------------------------------------------------------------------


def index_of(value: JsonValue, key: str) -> int:
    """The index of an object's member: the last member that starts before the value of `key`."""
    return sum(start < value.members[key].start for start in value.starts) - 1


def cut(text: str, container: JsonValue, index: int, end: int) -> tuple[int, int]:
    """Start and end of a member or item with one comma: the comma before it, or after it if it is the first."""
    start = container.starts[index]
    if index == 0:
        following = container.starts[1:2]
        return start, following[0] if following else end
    comma = text.rindex(",", container.starts[index - 1], start)
    return comma, end


def with_member(text: str, container: JsonValue, key: str, value: object, depth: int) -> str:
    """Add a last member or item in the text's own layout: on its own line if the first one is."""
    newline = "\r\n" if "\r\n" in text else "\n"
    unit = _unit(text)
    if container.starts and "\n" not in text[container.start : container.starts[0]]:
        end = _last_end(container)
        return f"{text[:end]}, {key}{json.dumps(value)}{text[end:]}"
    margin = _margin(text, container.starts[0]) if container.starts else unit * depth
    laid_out = json.dumps(value, indent=unit).replace("\n", newline + margin)
    if container.starts:
        end = _last_end(container)
        return f"{text[:end]},{newline}{margin}{key}{laid_out}{text[end:]}"
    # The container has no member: its blanks and comments stay before the new one.
    inside = text[container.start + 1 : container.end - 1].rstrip()
    outer = margin[: -len(unit)] if margin.endswith(unit) else ""
    before, after = text[: container.start + 1], text[container.end - 1 :]
    return f"{before}{inside}{newline}{margin}{key}{laid_out}{newline}{outer}{after}"


def _last_end(container: JsonValue) -> int:
    return max(value.end for value in (*container.members.values(), *container.items))


def _unit(text: str) -> str:
    """One step of indentation in this text."""
    found = re.search(r'^([ \t]+)"', text, re.MULTILINE)
    return found[1] if found is not None else _INDENT


def _margin(text: str, at: int) -> str:
    line = text.rfind("\n", 0, at) + 1
    blank = re.match(r"[ \t]*", text[line:at])
    return blank[0] if blank is not None else ""


# --- parsing -----------------------------------------------------------------------------------------------


class _Parser:
    def __init__(self, text: str, *, comments: bool) -> None:
        self._text = text
        self._comments = comments

    def error(self, at: int, problem: str) -> MaestroError:
        line = self._text.count("\n", 0, at) + 1
        return MaestroError("INVALID", f"line {line} is not JSON: {problem}")

    def skip(self, at: int) -> int:
        """The position after blanks, and after comments where they are allowed."""
        while True:
            blank = _BLANK.match(self._text, at)
            at = blank.end() if blank else at
            comment = _COMMENT.match(self._text, at) if self._comments else None
            if comment is None:
                return at
            at = comment.end()

    def value(self, at: int, depth: int) -> JsonValue:
        if depth > _DEPTH_MAX:
            raise self.error(at, "it is nested too deeply")
        first = self._text[at : at + 1]
        if first == "{":
            return self._object(at, depth)
        if first == "[":
            return self._list(at, depth)
        found = _SCALAR.match(self._text, at)
        if found is None:
            raise self.error(at, f"{first!r} where a value must be" if first else "it ends too early")
        try:
            value = json.loads(found[0])
        except ValueError as error:
            raise self.error(at, str(error)) from None
        return JsonValue(at, found.end(), value, {}, [], [])

    def _object(self, start: int, depth: int) -> JsonValue:
        members: dict[str, JsonValue] = {}
        starts: list[int] = []
        at = self.skip(start + 1)
        while self._text[at : at + 1] != "}":
            key = self.value(at, depth + 1)
            if not isinstance(key.value, str):
                raise self.error(at, "a key must be a string")
            starts.append(at)
            at = self.skip(key.end)
            if self._text[at : at + 1] != ":":
                raise self.error(at, "a colon is missing")
            members[key.value] = self.value(self.skip(at + 1), depth + 1)
            at = self._after_comma(self.skip(members[key.value].end), "}")
        value = {name: member.value for name, member in members.items()}
        return JsonValue(start, at + 1, value, members, [], starts)

    def _list(self, start: int, depth: int) -> JsonValue:
        items: list[JsonValue] = []
        at = self.skip(start + 1)
        while self._text[at : at + 1] != "]":
            items.append(self.value(at, depth + 1))
            at = self._after_comma(self.skip(items[-1].end), "]")
        return JsonValue(start, at + 1, [item.value for item in items], {}, items, [item.start for item in items])

    def _after_comma(self, at: int, closing: str) -> int:
        """The position of the next member or item, or of the closing bracket."""
        found = self._text[at : at + 1]
        if found == closing:
            return at
        if found != ",":
            raise self.error(at, f"a comma or {closing!r} is missing")
        after = self.skip(at + 1)
        if self._text[after : after + 1] == closing:
            raise self.error(after, "there is a comma before the closing bracket")
        return after
