"""MCP entries: adds our MCP server to the text of an agent's settings, and removes it.

Rule: pure; text in, text out, and every other character stays. The server is called `maestro`. One of that name that
we have not written is never changed: other programs are called so too.
"""

from __future__ import annotations

import json
import os
import tomllib
from typing import TYPE_CHECKING, Any

from maestro_cli.hooks import json_editor
from maestro_runtime import toml_lines
from maestro_schemas.errors import MaestroError

from .mcp_places import COMMAND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_cli.hooks.json_editor import JsonValue

    from .mcp_places import McpPlace

NAME = "maestro"
_MODULE = "maestro_cli"


def found(text: str, place: McpPlace) -> object:
    """The entry called `maestro`, ours or another's; None where there is none. Raises MaestroError INVALID for a text
    that can't be read as settings."""
    value: object = _toml(text) if place.is_toml else _json(text, place)
    for key in (*place.keys, NAME):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def is_own(entry: object) -> bool:
    """Whether `hooks install --mcp` has written this entry, in this version or another."""
    if not isinstance(entry, dict):
        return False
    command = entry.get("command")
    words = [*(command if isinstance(command, list) else [command]), *(entry.get("args") or [])]
    if not words or not all(isinstance(word, str) for word in words):
        return False
    return "mcp" in words and (os.path.basename(words[0]) == COMMAND or _MODULE in words)


def added(text: str, place: McpPlace, entry: dict[str, Any]) -> str:
    """The settings with our server. Raises MaestroError INVALID, and CONFLICT where another server has its name."""
    before = found(text, place)
    if before == entry:
        return text
    if before is not None:
        if not is_own(before):
            raise MaestroError(
                "CONFLICT",
                f"an MCP server is called `{NAME}` there already, and this command has not written it",
                "Nothing was changed. Remove that server or give it another name, then run this again.",
            )
        text = removed(text, place)
    return _with_table(text, place, entry) if place.is_toml else _with_member(text, place, entry)


def removed(text: str, place: McpPlace) -> str:
    """The settings without our server; the same text where there is none of ours. Raises MaestroError INVALID."""
    if not is_own(found(text, place)):
        return text
    return _without_tables(text, (*place.keys, NAME)) if place.is_toml else _without_member(text, place)


# --- JSON --------------------------------------------------------------------------------------------------


def _json(text: str, place: McpPlace) -> object:
    root = _root(text, place)
    return None if root is None else root.value


def _root(text: str, place: McpPlace) -> JsonValue | None:
    if not text.strip("\ufeff \t\r\n"):
        return None
    root = json_editor.parse(text, comments=place.comments)
    if not root.is_object:
        raise MaestroError("INVALID", "it is not a JSON object")
    return root


def _with_member(text: str, place: McpPlace, entry: dict[str, Any]) -> str:
    inside = _root(text, place)
    if inside is None:
        document: dict[str, Any] = {NAME: entry}
        for key in reversed(place.keys):
            document = {key: document}
        return text.strip(" \t\r\n") + json.dumps(document, indent=2) + "\n"
    keys = [*place.keys, NAME]
    while keys[0] in inside.members:
        inside = inside.members[keys.pop(0)]
        if not inside.is_object:
            raise MaestroError("INVALID", f"its {place.keys[-1]!r} is not an object")
    depth = len(place.keys) + 2 - len(keys)
    value: dict[str, Any] = entry
    for key in reversed(keys[1:]):
        value = {key: value}
    return json_editor.with_member(text, inside, f"{json.dumps(keys[0])}: ", value, depth)


def _without_member(text: str, place: McpPlace) -> str:
    """Without the entry, and without each object around it that becomes empty."""
    around = [json_editor.parse(text, comments=place.comments)]
    keys = [*place.keys, NAME]
    for key in keys:
        around.append(around[-1].members[key])
    while len(keys) > 1 and len(around[-2].starts) == 1:
        keys.pop()
        around.pop()
    holder, value = around[-2], around[-1]
    if len(holder.starts) == 1:
        return text[: holder.start + 1] + text[holder.end - 1 :]
    start, end = json_editor.cut(text, holder, json_editor.index_of(holder, keys[-1]), value.end)
    return text[:start] + text[end:]


# --- TOML --------------------------------------------------------------------------------------------------


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MaestroError("INVALID", f"it is not TOML: {error}") from None


def _with_table(text: str, place: McpPlace, entry: dict[str, Any]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [f"[{'.'.join((*place.keys, NAME))}]", *(f"{key} = {_toml_value(value)}" for key, value in entry.items())]
    begin = "" if not text else newline if text.endswith("\n") else newline * 2
    after = text + begin + newline.join(lines) + newline
    wanted = _toml(text)
    inside = wanted
    for key in place.keys:
        inside = inside.setdefault(key, {})
        if not isinstance(inside, dict):
            raise MaestroError("INVALID", f"its {key!r} is not a table")
    inside[NAME] = entry
    # A table can't be added to one that is written in one line.
    if _loads_or_none(after) != wanted:
        raise MaestroError("INVALID", f"its {place.keys[-1]!r} is written in a way that no table can be added to")
    return after


def _loads_or_none(text: str) -> dict[str, Any] | None:
    try:
        return _toml(text)
    except MaestroError:
        return None


def _toml_value(value: str | Sequence[str]) -> str:
    """A string or a list of strings: JSON's form of both is TOML's too, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _without_tables(text: str, path: tuple[str, ...]) -> str:
    """Without the table of that path and those below it, such as the approvals that the agent keeps there."""
    starts = toml_lines.table_starts(text)
    ends = [*(start for start, _ in starts), len(text)][1:]
    for (start, table), end in reversed(list(zip(starts, ends, strict=False))):
        if table[: len(path)] == path:
            text = _without_block(text, text.rfind("\n", 0, start) + 1, end)
    inside: Any = _loads_or_none(text)
    for key in path:
        inside = inside.get(key, {}) if isinstance(inside, dict) else None
    if inside != {}:
        raise MaestroError(
            "INVALID", f"its {'.'.join(path)!r} is not written as a table of its own: remove it by hand"
        )
    return text


def _without_block(text: str, start: int, end: int) -> str:
    """Without a table. Comments and blank lines before the next one stay, as they are about that."""
    lines = text[start:end].splitlines(keepends=True)
    while lines and end < len(text) and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    before, after = text[:start], text[start + sum(map(len, lines)) :]
    if not after:
        # The blank line that was added before it.
        for newline in ("\r\n", "\n"):
            if before.endswith(newline * 2) or before == newline:
                return before[: -len(newline)]
    return before + after
