"""Reading rules: lets an agent open the files of its mail without a question, and takes that back.

Rule: pure; text in, text out, and every other character stays. The rules allow to read, and only files that other
sessions have sent: no mail, and nothing else of the data directory. Rules of others are never changed.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from maestro_cli.hooks import json_editor
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_cli.hooks.agents import Agent
    from maestro_cli.hooks.installation import Finder, SettingsEdit
    from maestro_cli.hooks.json_editor import JsonValue

# Below the data directory, as patterns of gitignore.
_PLACES = (
    "messages/by-receiver/*/*.files/**",
    f"{paths.RECEIVED_FILES}/**",
    # Of brokers on other machines.
    f"remote/*/{paths.RECEIVED_FILES}/**",
)
_OWN = re.compile(rf"Read\(/(/.*)/(?:{'|'.join(map(re.escape, _PLACES))})\)", re.DOTALL)
# In a pattern these would not mean themselves, and a bracket would end the rule.
_UNFIT = re.compile(r"[*?\[\]{}()!#\\\n]")


class RuleList(NamedTuple):
    """The list that an agent keeps such rules in."""

    keys: tuple[str, ...]
    comments: bool


def list_of(agent: Agent) -> RuleList | None:
    """None for an agent that needs no rules, or takes none."""
    return RuleList(agent.rule_keys, agent.comments) if agent.rule_keys else None


def wanted(data: str) -> list[str]:
    """The rules for a data directory: by its path and, where a link is in that, by where it leads. None for a path
    that can't stand in a rule."""
    folders = dict.fromkeys((data, os.path.realpath(data)))
    return [f"Read(/{folder}/{place})" for folder in folders if not _UNFIT.search(folder) for place in _PLACES]


def own(text: str, rules: RuleList) -> list[str]:
    """Our rules in the settings. Raises MaestroError INVALID for a text that can't be read as settings."""
    holder = _holders(text, rules)[-1] if text.strip("\ufeff \t\r\n") else None
    if holder is None or not holder.is_list:
        return []
    return [str(item.value) for item in holder.items if is_own(item.value)]


def is_own(rule: object) -> bool:
    """Whether `hooks install` has written this rule, for whatever data directory."""
    return isinstance(rule, str) and _OWN.fullmatch(rule) is not None


def added(text: str, rules: RuleList, items: Sequence[str]) -> str:
    """The settings with these rules, and no others of ours. Raises as `own`."""
    if own(text, rules) == list(items):
        return text
    text = removed(text, rules)
    for item in items:
        text = _with_item(text, rules, item)
    return text


def removed(text: str, rules: RuleList) -> str:
    """The settings without our rules, and without a list or object that becomes empty. Raises as `own`."""
    while own(text, rules):
        text = _without_one(text, rules)
    return text


def finder(rules: RuleList) -> Finder:
    """Finds our rules in a text, for `installation.plan_undo`."""
    from maestro_cli.hooks import installation

    def find(text: str) -> SettingsEdit | None:
        items = own(text, rules)
        if not items:
            return None
        return installation.SettingsEdit(lambda text: added(text, rules, items), lambda text: removed(text, rules))

    return find


def _holders(text: str, rules: RuleList) -> list[JsonValue | None]:
    """The settings, and what stands below each key; None from the first key on that is not there."""
    root = json_editor.parse(text, comments=rules.comments)
    if not root.is_object:
        raise MaestroError("INVALID", "it is not a JSON object")
    found: list[JsonValue | None] = [root]
    for key in rules.keys:
        holder = found[-1]
        found.append(holder.members.get(key) if holder is not None else None)
    return found


def _with_item(text: str, rules: RuleList, item: str) -> str:
    if not text.strip("\ufeff \t\r\n"):
        value: object = [item]
        for key in reversed(rules.keys):
            value = {key: value}
        return text.strip(" \t\r\n") + json.dumps(value, indent=2) + "\n"
    holders = _holders(text, rules)
    depth = next((index for index, holder in enumerate(holders) if holder is None), len(holders)) - 1
    holder = holders[depth]
    assert holder is not None  # noqa: S101 - the settings themselves are there
    if depth == len(rules.keys):
        if not holder.is_list:
            raise MaestroError("INVALID", f"its {'.'.join(rules.keys)!r} is not a list")
        return json_editor.with_member(text, holder, "", item, depth + 1)
    if not holder.is_object:
        raise MaestroError("INVALID", f"its {'.'.join(rules.keys[:depth])!r} is not an object")
    new: object = [item]
    for key in reversed(rules.keys[depth + 1 :]):
        new = {key: new}
    return json_editor.with_member(text, holder, f"{json.dumps(rules.keys[depth])}: ", new, depth + 1)


def _without_one(text: str, rules: RuleList) -> str:
    around = [holder for holder in _holders(text, rules) if holder is not None]
    items = around[-1].items
    if len(items) > 1:
        index = next(index for index, item in enumerate(items) if is_own(item.value))
        start, end = json_editor.cut(text, around[-1], index, items[index].end)
        return text[:start] + text[end:]
    keys = list(rules.keys)
    while len(keys) > 1 and len(around[-2].starts) == 1:
        keys.pop()
        around.pop()
    holder, value = around[-2], around[-1]
    if len(holder.starts) == 1:
        return text[: holder.start + 1] + text[holder.end - 1 :]
    start, end = json_editor.cut(text, holder, json_editor.index_of(holder, keys[-1]), value.end)
    return text[:start] + text[end:]
