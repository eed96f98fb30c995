"""Protocol page: PROTOCOL.md, read by a program.

Rule: it knows the page's own notation (`{a, b?, c?: [{d}]}`, sections, tables) and nothing of the code.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_PAGE = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "schemas", "PROTOCOL.md")
_TOKEN = re.compile(r"\s*([A-Za-z0-9]+\??|[{}\[\]:,])")
_EXCHANGE = re.compile(r"`(\{[^`]*\})`[^`→]*→\s*`(\{[^`]*\})`")


class Field(NamedTuple):
    """One field of a document. `inner`: the fields of its value or of its items, where the page gives them."""

    optional: bool
    inner: dict[str, Field] | None


Shape = dict[str, Field]


def text() -> str:
    """The whole page."""
    with open(_PAGE, encoding="utf-8") as file:
        return file.read()


def sections(level: str) -> dict[str, str]:
    """Heading (without backticks) -> text, of the headings that begin with `level`."""
    parts = re.split(rf"^{level} (.+)$", text(), flags=re.MULTILINE)
    return {
        heading.strip("`"): body.split("\n## ")[0] for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def exchanges() -> dict[str, tuple[Shape, Shape]]:
    """Command -> its request and its reply."""
    found = {}
    for command, body in sections("###").items():
        match = _EXCHANGE.search(body)
        assert match is not None, f"{command} shows no request and reply"
        found[command] = (shape(match[1]), shape(match[2]))
    return found


def named_shape(lead: str) -> Shape:
    """The shape in backticks after the words `lead`."""
    after = re.search(re.escape(lead) + r":? `(\{[^`]*\})`", text())
    assert after is not None, f"the page does not show {lead!r}"
    return shape(after[1])


def rows(heading: str) -> list[list[str]]:
    """The cells of the table in the section `heading`, without its head, with backticks."""
    lines = [line for line in sections("##")[heading].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def spans(words: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", words)


def blocks(section: str) -> list[list[str]]:
    """The indented blocks of a section, each as its lines."""
    found: list[list[str]] = []
    inside = False
    for line in section.splitlines():
        if line.startswith("    "):
            if not inside:
                found.append([])
            found[-1].append(line.strip())
        inside = line.startswith("    ")
    return found


def shape(notation: str) -> Shape:
    """`{a, b?: {c}, d: [{e}]}` as fields. Anything else in the notation fails."""
    tokens = _TOKEN.findall(notation)
    assert "".join(tokens) == re.sub(r"\s", "", notation), notation
    found, rest = _shape(tokens)
    assert rest == [], notation
    return found


def _shape(tokens: list[str]) -> tuple[Shape, list[str]]:
    assert tokens[0] == "{", tokens
    fields: Shape = {}
    rest = tokens[1:]
    while rest[0] != "}":
        name, inner, rest = rest[0], None, rest[1:]
        if rest[0] == ":":
            listed = rest[1] == "["
            inner, rest = _shape(rest[2 if listed else 1 :])
            rest = rest[1:] if listed else rest
        assert name.removesuffix("?") not in fields, name
        fields[name.removesuffix("?")] = Field(name.endswith("?"), inner)
        rest = rest[1:] if rest[0] == "," else rest
    return fields, rest[1:]
