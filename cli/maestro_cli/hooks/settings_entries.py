"""Settings entries: adds our hook entries to the text of an agent's settings, and removes them.

Rule: pure; text in, text out. An entry of ours is added at the end of its event's list. Every other character stays.
Removing an entry also removes a list or object that becomes empty. A text that can't be parsed is refused, never
repaired.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from maestro_schemas.errors import MaestroError

from . import json_editor, shell_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .json_editor import JsonValue

_HOOKS = "hooks"


def add_entries(text: str, entries: Mapping[str, dict[str, Any]], *, comments: bool) -> str:
    """The settings with `entries`, by event, and no other entry of ours; the same text if they are in it already.

    `text`: empty where there are no settings yet. Raises MaestroError INVALID for settings that can't be parsed, or
    whose hooks don't have the structure that the agent reads.
    """
    if own_entries(text, comments=comments) == {event: [entry] for event, entry in entries.items()}:
        return text
    text = remove_entries(text, comments=comments)
    if not text.strip("\ufeff \t\r\n"):
        return (
            text.strip(" \t\r\n")
            + json.dumps({_HOOKS: {event: [e] for event, e in entries.items()}}, indent=2)
            + "\n"
        )
    for event, entry in entries.items():
        text = _with_entry(text, event, entry, comments=comments)
    return text


def remove_entries(text: str, *, comments: bool) -> str:
    """The settings without our entries. Raises as `add_entries`."""
    while (cut := _next_cut(text, comments=comments)) is not None:
        text = text[: cut[0]] + text[cut[1] :]
    return text


# --- reading -----------------------------------------------------------------------------------------------


def _root(text: str, *, comments: bool) -> JsonValue | None:
    """The settings object; None for an empty text."""
    if not text.strip("\ufeff \t\r\n"):
        return None
    root = json_editor.parse(text, comments=comments)
    if not root.is_object:
        raise MaestroError("INVALID", "it is not a JSON object")
    hooks = root.members.get(_HOOKS)
    if hooks is not None and not hooks.is_object:
        raise MaestroError("INVALID", 'its "hooks" is not an object')
    return root


def _lists(root: JsonValue | None) -> dict[str, JsonValue]:
    """Each event's list of entries. Other members of "hooks" are ignored."""
    hooks = root.members.get(_HOOKS) if root is not None else None
    return {name: value for name, value in hooks.members.items() if value.is_list} if hooks is not None else {}


def own_entries(text: str, *, comments: bool) -> dict[str, list[object]]:
    """Our entries in the settings, by event. Raises as `add_entries`."""
    found = {}
    for event, entries in _lists(_root(text, comments=comments)).items():
        ours = [item.value for item in entries.items if _has_own_command(item)]
        if ours:
            found[event] = ours
    return found


def commands_in(text: str, *, comments: bool) -> list[tuple[str, str]]:
    """(event, command) for each command in the settings, ours or not. Raises as `add_entries`."""
    return [
        (event, command.value)
        for event, entries in _lists(_root(text, comments=comments)).items()
        for entry in entries.items
        for handler in _handlers(entry)
        if (command := handler.members.get("command")) is not None and isinstance(command.value, str)
    ]


def _has_own_command(entry: JsonValue) -> bool:
    return any(_is_own(handler) for handler in _handlers(entry))


def _handlers(entry: JsonValue) -> Sequence[JsonValue]:
    handlers = entry.members.get(_HOOKS)
    return handlers.items if handlers is not None else ()


def _is_own(handler: JsonValue) -> bool:
    command = handler.members.get("command")
    return command is not None and shell_script.is_own_command(command.value)


# --- removing ----------------------------------------------------------------------------------------------


def _next_cut(text: str, *, comments: bool) -> tuple[int, int] | None:
    """Start and end of the text to remove for the next entry of ours, with lists and objects that become empty."""
    root = _root(text, comments=comments)
    for event, entries in _lists(root).items():
        assert root is not None  # noqa: S101 - it has lists
        for index, entry in enumerate(entries.items):
            if not _has_own_command(entry):
                continue
            handlers = entry.members[_HOOKS]
            if not all(map(_is_own, handlers.items)):
                # Another program has added a command to our entry. Remove only our command.
                own = next(index for index, handler in enumerate(handlers.items) if _is_own(handler))
                return json_editor.cut(text, handlers, own, handlers.ends[own])
            if len(entries.items) > 1:
                return json_editor.cut(text, entries, index, entry.end)
            hooks = root.members[_HOOKS]
            if len(hooks.starts) > 1:
                return json_editor.cut(text, hooks, json_editor.index_of(hooks, event), entries.end)
            if len(root.starts) > 1:
                return json_editor.cut(text, root, json_editor.index_of(root, _HOOKS), hooks.end)
            return root.start + 1, root.end - 1
    return None


# --- adding ------------------------------------------------------------------------------------------------


def _with_entry(text: str, event: str, entry: dict[str, Any], *, comments: bool) -> str:
    root = _root(text, comments=comments)
    if root is None:
        raise MaestroError("INTERNAL", "settings became empty while an entry was added to them")
    hooks = root.members.get(_HOOKS)
    if hooks is None:
        return json_editor.with_member(text, root, f'"{_HOOKS}": ', {event: [entry]}, 1)
    entries = hooks.members.get(event)
    if entries is None:
        return json_editor.with_member(text, hooks, f'"{event}": ', [entry], 2)
    if not entries.is_list:
        raise MaestroError("INVALID", f'{event!r} in its "hooks" is not a list')
    return json_editor.with_member(text, entries, "", entry, 3)
