"""Hook switches: the settings with which an agent runs no hooks, ours included.

Rule: reads only, and a file that can't be read turns nothing off: other checks report it. The places and the keys are
those of each agent's documentation (docs/agents.md).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from maestro_runtime import places
from maestro_schemas.errors import MaestroError

from . import agents, json_editor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .agents import Agent

    Switch = Callable[[dict[str, Any]], str]

_FILE_BYTES_MAX: Final = 4 << 20
_CODEX_CONFIG: Final = "config.toml"
_APPLE: Final = "/Library/Application Support"


def turned_off(agent: Agent, environ: Mapping[str, str], directory: str | None) -> list[str]:
    """A sentence for each setting that turns the hooks of an agent off, which names the file and the key.

    `directory`: the project's; None for no project. Raises MaestroError DATA_DIR_UNUSABLE without a home directory.
    """
    found = []
    # No setting turns a plugin of OpenCode off; only `opencode --pure` does.
    known = _PLACES.get(agent.name)
    for path, switch in known(agent, environ, directory) if known is not None else ():
        settings = _settings(path, comments=agent.comments)
        key = switch(settings)
        if key:
            is_project = directory is not None and places.is_below(path, os.path.join(directory, agent.folder))
            where = " in this project" if is_project and path != agent.user_settings(environ) else ""
            found.append(f"{places.shown(path)} turns {agent.name}'s hooks off{where}: {key}")
    return found


def _claude_code(agent: Agent, environ: Mapping[str, str], directory: str | None) -> Iterator[tuple[str, Switch]]:
    managed = f"{_APPLE}/ClaudeCode" if sys.platform == "darwin" else "/etc/claude-code"
    yield os.path.join(managed, "managed-settings.json"), _claude_code_managed
    for path in _own_files(agent, environ, directory):
        yield path, _claude_code_switch


def _claude_code_switch(settings: dict[str, Any]) -> str:
    return '"disableAllHooks": true' if settings.get("disableAllHooks") is True else ""


def _claude_code_managed(settings: dict[str, Any]) -> str:
    only_managed = settings.get("allowManagedHooksOnly") is True
    return _claude_code_switch(settings) or ('"allowManagedHooksOnly": true' if only_managed else "")


def _gemini_cli(agent: Agent, environ: Mapping[str, str], directory: str | None) -> Iterator[tuple[str, Switch]]:
    system = f"{_APPLE}/GeminiCli" if sys.platform == "darwin" else "/etc/gemini-cli"
    yield (
        environ.get("GEMINI_CLI_SYSTEM_SETTINGS_PATH") or os.path.join(system, "settings.json"),
        _gemini_cli_switch,
    )
    for path in _own_files(agent, environ, directory):
        yield path, _gemini_cli_switch


def _gemini_cli_switch(settings: dict[str, Any]) -> str:
    # The second and the third are those of earlier versions.
    for table, key in (("hooksConfig", "enabled"), ("hooks", "enabled"), ("tools", "enableHooks")):
        if _table(settings, table).get(key) is False:
            return f'"{table}": {{"{key}": false}}'
    return ""


def _codex(agent: Agent, environ: Mapping[str, str], directory: str | None) -> Iterator[tuple[str, Switch]]:
    yield "/etc/codex/requirements.toml", _codex_managed
    yield f"/etc/codex/{_CODEX_CONFIG}", _codex_switch
    for path in _own_files(agent, environ, directory):
        yield os.path.join(os.path.dirname(path), _CODEX_CONFIG), _codex_switch


def _codex_switch(settings: dict[str, Any]) -> str:
    features = _table(settings, "features")
    # The second is the older name of the first.
    key = next((key for key in ("hooks", "codex_hooks") if features.get(key) is False), None)
    return f"[features] {key} = false" if key is not None else ""


def _codex_managed(settings: dict[str, Any]) -> str:
    only_managed = settings.get("allow_managed_hooks_only") is True
    return _codex_switch(settings) or ("allow_managed_hooks_only = true" if only_managed else "")


def _qwen_code(agent: Agent, environ: Mapping[str, str], directory: str | None) -> Iterator[tuple[str, Switch]]:
    system = f"{_APPLE}/QwenCode" if sys.platform == "darwin" else "/etc/qwen-code"
    for variable, name in (("SETTINGS", "settings"), ("DEFAULTS", "system-defaults")):
        chosen = environ.get(f"QWEN_CODE_SYSTEM_{variable}_PATH")
        yield chosen or os.path.join(system, f"{name}.json"), _claude_code_switch
    for path in _own_files(agent, environ, directory):
        yield path, _claude_code_switch


_PLACES: Final[dict[str, Callable[[Agent, Mapping[str, str], str | None], Iterator[tuple[str, Switch]]]]] = {
    agents.CLAUDE_CODE.name: _claude_code,
    agents.CODEX.name: _codex,
    agents.GEMINI_CLI.name: _gemini_cli,
    agents.QWEN_CODE.name: _qwen_code,
}


def _own_files(agent: Agent, environ: Mapping[str, str], directory: str | None) -> list[str]:
    """The settings files of the user and of the project, each once."""
    found = [agent.user_settings(environ)]
    if directory is not None:
        found += [agent.shared_settings(directory), agent.project_settings(directory)]
    return list(dict.fromkeys(found))


def _settings(path: str, *, comments: bool) -> dict[str, Any]:
    """The settings in a JSON or TOML file; none where it is missing, or can't be read."""
    try:
        text = places.read(path, _FILE_BYTES_MAX).decode("utf-8-sig")
        if path.endswith(".toml"):
            import tomllib

            return tomllib.loads(text)
        value = json_editor.parse(text, comments=comments).value
    except (OSError, ValueError, RecursionError, MaestroError):
        return {}
    return value if isinstance(value, dict) else {}


def _table(settings: dict[str, Any], name: str) -> dict[str, Any]:
    found = settings.get(name)
    return found if isinstance(found, dict) else {}
