"""JSON places: a JSON document with the place of each value in its text.

Rule: pure; reads what the standard library reads, plus comments where they are allowed, and nothing more: who edits
a text by these places leaves every other character of it as it was.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from maestro_schemas.errors import MaestroError

_DEPTH_MAX = 64
_BLANK = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_SCALAR = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?[0-9][-+.0-9eE]*|true|false|null')


class JsonValue(NamedTuple):
    """A value at `start` to `end` of the text. `value`: a scalar, or what the members or items make up.

    `members`: of an object, by key, the last of a key that stands twice; `items`: of a list. `starts`: where each
    member or item begins, keys included, in order.
    """

    start: int
    end: int
    value: object
    members: dict[str, JsonValue]
    items: list[JsonValue]
    starts: list[int]

    @property
    def is_object(self) -> bool:
        """Whether it is an object."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.value, list)

    @property
    def ends(self) -> list[int]:
        """Where each item of a list ends."""
        return [item.end for item in self.items]


def parse(text: str, *, comments: bool) -> JsonValue:
    """The one value in a text. Raises MaestroError INVALID with the line of what is wrong."""
    reader = _Reader(text, comments=comments)
    place = reader.value(reader.skip(0 if not text.startswith("\ufeff") else 1), 0)
    rest = reader.skip(place.end)
    if rest != len(text):
        raise reader.wrong(rest, "there is more behind its end")
    return place


class _Reader:
    def __init__(self, text: str, *, comments: bool) -> None:
        self._text = text
        self._comments = comments

    def wrong(self, at: int, what: str) -> MaestroError:
        line = self._text.count("\n", 0, at) + 1
        return MaestroError("INVALID", f"line {line} is no JSON: {what}")

    def skip(self, at: int) -> int:
        """Behind blanks, and comments where there may be some."""
        while True:
            blank = _BLANK.match(self._text, at)
            at = blank.end() if blank else at
            comment = _COMMENT.match(self._text, at) if self._comments else None
            if comment is None:
                return at
            at = comment.end()

    def value(self, at: int, depth: int) -> JsonValue:
        if depth > _DEPTH_MAX:
            raise self.wrong(at, "it is nested too deep")
        first = self._text[at : at + 1]
        if first == "{":
            return self._object(at, depth)
        if first == "[":
            return self._list(at, depth)
        found = _SCALAR.match(self._text, at)
        if found is None:
            raise self.wrong(at, f"{first!r} where a value must be" if first else "it ends too early")
        try:
            value = json.loads(found[0])
        except ValueError as error:
            raise self.wrong(at, str(error)) from None
        return JsonValue(at, found.end(), value, {}, [], [])

    def _object(self, start: int, depth: int) -> JsonValue:
        members: dict[str, JsonValue] = {}
        starts: list[int] = []
        at = self.skip(start + 1)
        while self._text[at : at + 1] != "}":
            key = self.value(at, depth + 1)
            if not isinstance(key.value, str):
                raise self.wrong(at, "a key must be a string")
            starts.append(at)
            at = self.skip(key.end)
            if self._text[at : at + 1] != ":":
                raise self.wrong(at, "a colon is missing")
            members[key.value] = self.value(self.skip(at + 1), depth + 1)
            at = self._behind_comma(self.skip(members[key.value].end), "}")
        value = {name: place.value for name, place in members.items()}
        return JsonValue(start, at + 1, value, members, [], starts)

    def _list(self, start: int, depth: int) -> JsonValue:
        items: list[JsonValue] = []
        at = self.skip(start + 1)
        while self._text[at : at + 1] != "]":
            items.append(self.value(at, depth + 1))
            at = self._behind_comma(self.skip(items[-1].end), "]")
        return JsonValue(start, at + 1, [item.value for item in items], {}, items, [item.start for item in items])

    def _behind_comma(self, at: int, closing: str) -> int:
        """The next member or item, or the closing bracket."""
        found = self._text[at : at + 1]
        if found == closing:
            return at
        if found != ",":
            raise self.wrong(at, f"a comma or {closing!r} is missing")
        after = self.skip(at + 1)
        if self._text[after : after + 1] == closing:
            raise self.wrong(after, "a comma stands before the closing bracket")
        return after
