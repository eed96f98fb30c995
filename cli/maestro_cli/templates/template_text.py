"""Template text: a template's front matter, its places, and how they are filled in.

Rule: each `{{name}}` is replaced once, and what replaces it is never searched again, so that a value can't name
another place. There is no logic and no inclusion. A place without a value, and a value without a place, is an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, get_args

from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.near_words import nearest
from maestro_schemas.vocabularies import MessageType, Priority

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The fields of the front matter, and the words that each takes; none for any text.
FIELDS: dict[str, tuple[str, ...]] = {
    "type": get_args(MessageType),
    "priority": get_args(Priority),
    "requireAck": ("true", "false"),
    "task": (),
    "to": (),
}

_MARK = "---"
_PLACE = re.compile(r"\{\{[ \t]*([A-Za-z_][A-Za-z0-9_-]*)[ \t]*\}\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Template(NamedTuple):
    """One template, as its file has it."""

    name: str
    # Where it was found; empty for one that is shipped.
    path: str
    source: str
    # The front matter, by field; a value may have places too.
    fields: dict[str, str]
    # The text below the front matter.
    text: str

    @property
    def places(self) -> list[str]:
        """The names of the places, in the order of their first appearance."""
        found = [name for value in (*self.fields.values(), self.text) for name in _PLACE.findall(value)]
        return list(dict.fromkeys(found))

    def title(self) -> str:
        """The first line of the text."""
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")


class FilledTemplate(NamedTuple):
    """What a template says with its places filled in."""

    fields: dict[str, str]
    text: str

    def word(self, field: str) -> str | None:
        """The value of a field; None where it has none."""
        return self.fields.get(field) or None


def parsed(name: str, path: str, source: str, raw: str) -> Template:
    """The template in a file's text. Raises MaestroError INVALID for front matter with an error, with its line."""
    lines = raw.replace("\r\n", "\n").removeprefix("\ufeff").split("\n")
    if lines[0].rstrip() != _MARK:
        return Template(name, path, source, {}, raw.strip("\n"))
    fields: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        text = line.strip()
        if text == _MARK:
            return Template(name, path, source, fields, "\n".join(lines[number:]).strip("\n"))
        if not text or text.startswith("#"):
            continue
        field, colon, value = (part.strip() for part in text.partition(":"))
        if not colon or field not in FIELDS:
            raise _wrong(
                name,
                path,
                number,
                f"{field[:60]!r} is no field" if colon else "has no colon",
                field,
            )
        if field in fields:
            raise MaestroError(
                "INVALID", f"{_where(name, path, number)}: `{field}` is there twice", "Leave one of them."
            )
        fields[field] = _unquoted(value)
    raise MaestroError(
        "INVALID",
        f"{_where(name, path, 1)}: the front matter has no end",
        f"Write a line `{_MARK}` below it; or leave the first `{_MARK}` away.",
    )


def given(settings: Sequence[str]) -> dict[str, str]:
    """The values of the options `--set NAME=VALUE`. Raises MaestroError INVALID."""
    found: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        name = name.strip()
        if not equals or not _NAME.fullmatch(name):
            raise MaestroError(
                "INVALID", f"--set takes NAME=VALUE, and got {setting[:80]!r}", "For example: --set pr=123"
            )
        if name in found:
            raise MaestroError("INVALID", f"--set {name} was given twice", "Leave one of them off.")
        found[name] = value
    return found


def filled(template: Template, values: Mapping[str, str]) -> FilledTemplate:
    """The template with each place replaced by its value. Raises MaestroError INVALID, with the list of the places,
    for a place without a value, a value without a place, and a field that then has no allowed word."""
    places = template.places
    missing = [name for name in places if name not in values]
    unknown = [name for name in values if name not in places]
    if missing or unknown:
        raise _unfilled(template, missing, unknown)

    def replaced(text: str) -> str:
        return _PLACE.sub(lambda found: values[found[1]], text)

    fields = {field: replaced(value).strip() for field, value in template.fields.items()}
    for field, value in fields.items():
        allowed = FIELDS[field]
        if allowed and value and value not in allowed:
            raise MaestroError(
                "INVALID",
                f"the template {template.name!r} has `{field}: {value[:60]}`: it is one of {', '.join(allowed)}",
                _edit(template),
            )
    text = replaced(template.text)
    return FilledTemplate(fields, text)


def _unfilled(template: Template, missing: list[str], unknown: list[str]) -> MaestroError:
    places = template.places
    said = []
    if missing:
        said.append(f"needs a value for {', '.join(missing)}")
    if unknown:
        near = nearest(unknown[0], places)
        guess = f" (did you mean {near[0]}?)" if near else ""
        said.append(f"has no place for {', '.join(unknown)}{guess}")
    hint = "It takes no --set." if not places else "Its places: " + " ".join(f"--set {name}=…" for name in places)
    return MaestroError(
        "INVALID",
        f"the template {template.name!r} {' and '.join(said)}",
        hint,
        details={"places": places, "missing": missing, "unknown": unknown},
    )


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _where(name: str, path: str, line: int) -> str:
    return f"{path or f'the template {name}'} line {line}"


def _wrong(name: str, path: str, line: int, what: str, field: str) -> MaestroError:
    near = nearest(field, FIELDS)
    guess = f" Did you mean {near[0]}?" if near else ""
    return MaestroError(
        "INVALID",
        f"{_where(name, path, line)}: the front matter {what}".replace("the front matter '", "'"),
        f"It takes lines such as `type: request`, with these fields: {', '.join(FIELDS)}.{guess}",
    )


def _edit(template: Template) -> str:
    if template.path:
        return f"Correct it in {template.path}."
    return "Give another value with --set."
