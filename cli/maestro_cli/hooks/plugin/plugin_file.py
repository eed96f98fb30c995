"""Plugin file: the one file of an agent that runs our hooks by a plugin, with the hooks' commands in it.

Rule: text in, text out. Only a text that begins as ours does is replaced or removed. The commands stand in it as they
would stand in an agent's settings, so that they are read back in the same way.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from maestro_schemas.texts import waking

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARK = "// Written by `maestro hooks install "
_SETTINGS = re.compile(r"^const settings = (\{.*\})$", re.MULTILINE)


def text(agent: str, entries: Mapping[str, dict[str, Any]]) -> str:
    """The plugin of an agent with these entries."""
    template = resources.files(__package__).joinpath(f"{agent}.js").read_text(encoding="utf-8")
    words = {
        "@settings@": json.dumps({"hooks": {event: [entry] for event, entry in entries.items()}}),
        "@notice@": json.dumps(waking.NOTICE),
    }
    # One pass, so that a path that contains one of these words stays as it is.
    return re.sub("|".join(words), lambda found: words[found[0]], template)


def is_ours(plugin: str) -> bool:
    """Whether an installation has written this file."""
    return plugin.startswith(_MARK)


def settings_in(plugin: str) -> str:
    """The settings that stand in a plugin of ours; empty where there are none."""
    found = _SETTINGS.search(plugin) if is_ours(plugin) else None
    return found[1] if found is not None else ""
