"""Hook settings: our entries in the text of an agent's settings.

Rule: pure; a text in, a text out. Only our own entries are put in and taken out, at the end of each event's list,
and every other character stays; what was made only to hold them goes with them. What can't be understood is
refused, never mended.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from maestro_schemas.errors import MaestroError

from . import json_editor, shell_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .json_editor import JsonValue

_HOOKS = "hooks"
_INDENT = "  "


def installed(text: str, entries: Mapping[str, dict[str, Any]], *, comments: bool) -> str:
    """The settings with our entry for each event, and no other of ours. The same text where they are in it already.

    `text`: empty where there are no settings yet. Raises MaestroError INVALID for settings that can't be read, or
    whose hooks have another form than the agent reads.
    """
    if ours_in(text, comments=comments) == {event: [entry] for event, entry in entries.items()}:
        return text
    text = removed(text, comments=comments)
    if not text.strip("\ufeff \t\r\n"):
        return (
            text.strip(" \t\r\n")
            + json.dumps({_HOOKS: {event: [e] for event, e in entries.items()}}, indent=2)
            + "\n"
        )
    for event, entry in entries.items():
        text = _with_entry(text, event, entry, comments=comments)
    return text


def removed(text: str, *, comments: bool) -> str:
    """The settings without any entry of ours. Raises as `installed`."""
    while (cut := _next_cut(text, comments=comments)) is not None:
        text = text[: cut[0]] + text[cut[1] :]
    return text


# --- reading -----------------------------------------------------------------------------------------------


def _root(text: str, *, comments: bool) -> JsonValue | None:
    """The settings' object; None for an empty text."""
    if not text.strip("\ufeff \t\r\n"):
        return None
    root = json_editor.parse(text, comments=comments)
    if not root.is_object:
        raise MaestroError("INVALID", "it holds no JSON object")
    hooks = root.members.get(_HOOKS)
    if hooks is not None and not hooks.is_object:
        raise MaestroError("INVALID", '"hooks" in it is no object')
    return root


def _lists(root: JsonValue | None) -> dict[str, JsonValue]:
    """Each event's list of entries; what else an agent keeps under "hooks" is passed over."""
    hooks = root.members.get(_HOOKS) if root is not None else None
    return {name: place for name, place in hooks.members.items() if place.is_list} if hooks is not None else {}


def ours_in(text: str, *, comments: bool) -> dict[str, list[object]]:
    """Our entries by event, as they stand in the settings. Raises as `installed`."""
    found = {}
    for event, entries in _lists(_root(text, comments=comments)).items():
        ours = [item.value for item in entries.items if _has_ours(item)]
        if ours:
            found[event] = ours
    return found


def commands_in(text: str, *, comments: bool) -> list[tuple[str, str]]:
    """Each command in the settings, ours or not, with its event. Raises as `installed`."""
    return [
        (event, command.value)
        for event, entries in _lists(_root(text, comments=comments)).items()
        for entry in entries.items
        for handler in _handlers(entry)
        if (command := handler.members.get("command")) is not None and isinstance(command.value, str)
    ]


def _has_ours(entry: JsonValue) -> bool:
    return any(_is_ours(handler) for handler in _handlers(entry))


def _handlers(entry: JsonValue) -> Sequence[JsonValue]:
    handlers = entry.members.get(_HOOKS)
    return handlers.items if handlers is not None else ()


def _is_ours(handler: JsonValue) -> bool:
    command = handler.members.get("command")
    return command is not None and shell_script.is_ours(command.value)


# --- taking out --------------------------------------------------------------------------------------------


def _next_cut(text: str, *, comments: bool) -> tuple[int, int] | None:
    """From where to where to cut for the next entry of ours, with the lists and objects that it leaves empty."""
    root = _root(text, comments=comments)
    for event, entries in _lists(root).items():
        assert root is not None  # noqa: S101 - it has lists
        for number, entry in enumerate(entries.items):
            if not _has_ours(entry):
                continue
            handlers = entry.members[_HOOKS]
            if not all(map(_is_ours, handlers.items)):
                # Somebody put another command beside ours.
                mine = next(place for place, handler in enumerate(handlers.items) if _is_ours(handler))
                return _cut(text, handlers, mine, handlers.ends[mine])
            if len(entries.items) > 1:
                return _cut(text, entries, number, entry.end)
            hooks = root.members[_HOOKS]
            if len(hooks.starts) > 1:
                return _cut(text, hooks, _number_of(hooks, event), entries.end)
            if len(root.starts) > 1:
                return _cut(text, root, _number_of(root, _HOOKS), hooks.end)
            return root.start + 1, root.end - 1
    return None


def _number_of(place: JsonValue, key: str) -> int:
    """Which member of an object a key is: the last one that begins before its value."""
    return sum(start < place.members[key].start for start in place.starts) - 1


def _cut(text: str, around: JsonValue, number: int, end: int) -> tuple[int, int]:
    """A member or an item with its comma: the one before it, or behind it where it is the first."""
    start = around.starts[number]
    if number == 0:
        following = around.starts[1:2]
        return start, following[0] if following else end
    comma = text.rindex(",", around.starts[number - 1], start)
    return comma, end


# --- putting in --------------------------------------------------------------------------------------------


def _with_entry(text: str, event: str, entry: dict[str, Any], *, comments: bool) -> str:
    root = _root(text, comments=comments)
    if root is None:
        raise MaestroError("INTERNAL", "settings became empty while an entry was added to them")
    hooks = root.members.get(_HOOKS)
    if hooks is None:
        return _with_member(text, root, f'"{_HOOKS}": ', {event: [entry]}, 1)
    entries = hooks.members.get(event)
    if entries is None:
        return _with_member(text, hooks, f'"{event}": ', [entry], 2)
    if not entries.is_list:
        raise MaestroError("INVALID", f'"hooks" in it has a {event!r} that is no list')
    return _with_member(text, entries, "", entry, 3)


def _with_member(text: str, around: JsonValue, key: str, value: object, depth: int) -> str:
    """A last member or item, laid out as the text is: one a line if the first one is on a line of its own."""
    newline = "\r\n" if "\r\n" in text else "\n"
    unit = _unit(text)
    if around.starts and "\n" not in text[around.start : around.starts[0]]:
        end = _last_end(around)
        return f"{text[:end]}, {key}{json.dumps(value)}{text[end:]}"
    margin = _margin(text, around.starts[0]) if around.starts else unit * depth
    laid_out = json.dumps(value, indent=unit).replace("\n", newline + margin)
    if around.starts:
        end = _last_end(around)
        return f"{text[:end]},{newline}{margin}{key}{laid_out}{text[end:]}"
    # Empty: what stands in it, blanks or a comment, stays before ours.
    inside = text[around.start + 1 : around.end - 1].rstrip()
    outer = margin[: -len(unit)] if margin.endswith(unit) else ""
    return (
        f"{text[: around.start + 1]}{inside}{newline}{margin}{key}{laid_out}{newline}{outer}{text[around.end - 1 :]}"
    )


def _last_end(around: JsonValue) -> int:
    return max(place.end for place in (*around.members.values(), *around.items))


def _unit(text: str) -> str:
    """What one step of indentation is in this text."""
    found = re.search(r'^([ \t]+)"', text, re.MULTILINE)
    return found[1] if found is not None else _INDENT


def _margin(text: str, at: int) -> str:
    line = text.rfind("\n", 0, at) + 1
    blank = re.match(r"[ \t]*", text[line:at])
    return blank[0] if blank is not None else ""
