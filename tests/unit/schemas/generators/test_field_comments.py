"""Field comments: the comment above a field belongs to that field, of the class that declares it."""

from __future__ import annotations

import types

import msgspec
import pytest

from maestro_schemas import requests
from maestro_schemas.generators.field_comments import field_comments, parse

SOURCE = '''
class First(Struct):
    """A docstring."""

    plain: int
    # One line.
    described: int
    # Two
    # lines.
    long: int = 3

    # Of a method, and of no field.
    def method(self) -> int:
        # Inside.
        value: int = 1


class Second(Struct):
    # Of the second class.
    described: str
'''


def test_each_comment_belongs_to_the_field_below_it() -> None:
    assert parse(SOURCE) == {
        "First": {"described": "One line.", "long": "Two lines."},
        "Second": {"described": "Of the second class."},
    }


def test_an_inherited_field_has_its_comment() -> None:
    assert "who" in field_comments(requests.Send)
    assert "whole" in field_comments(requests.Send)
    assert "whole" not in field_comments(requests.Inbox)


def test_without_the_source_there_are_no_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("without_source")
    module.__file__ = "/nonexistent/without_source.py"
    monkeypatch.setitem(__import__("sys").modules, "without_source", module)
    assert field_comments(msgspec.defstruct("Made", [("a", int)], module="without_source")) == {}
