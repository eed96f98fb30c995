"""Turns: what a scripted model answers to one request, in no API's words.

Rule: plain values; how a turn travels is the business of each API's module.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, TypeAlias


class Say(NamedTuple):
    """Text; the model's turn ends with it."""

    text: str


class Call(NamedTuple):
    """The model wants a tool run, and will be asked again with the outcome."""

    tool: str
    arguments: dict[str, Any]


class Request(NamedTuple):
    """What an agent asked its model."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    def __contains__(self, text: object) -> bool:
        """Whether the model would read this text."""
        return isinstance(text, str) and self.count(text) > 0

    def count(self, text: str) -> int:
        """How many times the model would read this text."""
        return sum(string.count(text) for string in self.texts())

    def texts(self) -> list[str]:
        """Every string in it, in order."""
        return strings(self.body)

    def pretty(self) -> str:
        """The whole of it, for a person who looks into a failed test."""
        return json.dumps(self.body, indent=1, ensure_ascii=False)


Turn: TypeAlias = Say | Call


def strings(value: Any) -> list[str]:
    """Every string in a JSON value, in order, keys left out."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [found for one in value.values() for found in strings(one)]
    if isinstance(value, list):
        return [found for one in value for found in strings(one)]
    return []
