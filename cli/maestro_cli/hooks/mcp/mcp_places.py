"""MCP places: where each agent keeps its MCP servers, and the entry that it reads.

Rule: it writes nothing; every difference between agents in this matter is here. A server gets what its agent passes
on, so an entry names the variables that the agent would keep back.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_runtime import paths, places
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_cli.hooks.agents import Agent

# The command's other name, which no other program has.
COMMAND = "maestro-messaging"
# What Codex would keep back of what `maestro` reads.
_CODEX_VARIABLES = (
    "MAESTRO_SESSION_ID",
    "MAESTRO_SESSION_TOKEN",
    "MAESTRO_DATA_DIR",
    "MAESTRO_RUNTIME_DIR",
    "MAESTRO_CONFIG",
    "MAESTRO_AUTOSTART",
    "MAESTRO_BROKER",
    "MAESTRO_KEY_FILE",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
)


class McpPlace(NamedTuple):
    """The MCP servers in an agent's own settings."""

    path: str
    # The keys that lead to the servers, by name.
    keys: tuple[str, ...]
    is_toml: bool = False
    comments: bool = False
    # Not where the agent changes the file all the time, and keeps copies of its own.
    keeps_backup: bool = True


def place_of(agent: Agent, environ: Mapping[str, str]) -> McpPlace:
    """Where the user's own servers of this agent are. Raises MaestroError INVALID for an agent of which that is not
    known, DATA_DIR_UNUSABLE without a home directory."""
    settings = agent.user_settings(environ)
    if agent.name == "claude-code":
        # Not its settings.json: the file in which it also keeps its own state.
        chosen = environ.get(agent.home_variable)
        folder = os.path.dirname(settings) if chosen else paths.home(environ)
        return McpPlace(os.path.join(folder, ".claude.json"), ("mcpServers",), keeps_backup=False)
    if agent.name == "codex":
        return McpPlace(os.path.join(os.path.dirname(settings), "config.toml"), ("mcp_servers",), is_toml=True)
    if agent.name in ("gemini-cli", "qwen-code"):
        return McpPlace(settings, ("mcpServers",), comments=agent.comments)
    if agent.name == "opencode":
        folder = os.path.dirname(os.path.dirname(settings))
        commented = os.path.join(folder, "opencode.jsonc")
        path = commented if os.path.exists(commented) else os.path.join(folder, "opencode.json")
        return McpPlace(path, ("mcp",), comments=True)
    raise MaestroError("INVALID", f"it is not known where {agent.name} keeps its MCP servers", "Leave out --mcp.")


def entry_of(agent: Agent, data: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The entry that makes the agent start `maestro mcp`. Raises MaestroError INVALID for a path that no settings can
    hold."""
    line = [*_command(), "mcp", *_data_option(data, environ)]
    for word in line:
        if places.shown(word) != word:
            raise MaestroError(
                "INVALID",
                f"{places.shown(word)} can't be named in an agent's settings: it has a byte that is no UTF-8",
                "Use a plainer path.",
            )
    entry: dict[str, Any] = {"command": line[0], "args": line[1:]}
    if agent.name == "claude-code":
        return {"type": "stdio", **entry}
    if agent.name == "codex":
        return {**entry, "env_vars": list(_CODEX_VARIABLES)}
    if agent.name == "opencode":
        return {"type": "local", "command": line, "enabled": True}
    # They keep back variables with TOKEN in their name.
    return {**entry, "env": {"MAESTRO_SESSION_TOKEN": "$MAESTRO_SESSION_TOKEN"}}


def _command() -> list[str]:
    """The command of this installation; an agent's PATH may not have it."""
    beside = os.path.join(os.path.dirname(sys.executable), COMMAND)
    return [beside] if os.access(beside, os.X_OK) else [sys.executable, "-P", "-m", "maestro_cli"]


def _data_option(data: str, environ: Mapping[str, str]) -> list[str]:
    """The data directory, where it is not the one that the server finds by itself."""
    usual = {name: value for name, value in environ.items() if name != paths.DATA_DIR_VARIABLE}
    try:
        return [] if paths.data_dir(usual) == data else ["--data", data]
    except MaestroError:
        return ["--data", data]
