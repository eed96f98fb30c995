"""Hook arguments: what `install`, `uninstall` and `show` take from the command line."""

from __future__ import annotations

import os
from typing import Annotated, Literal, NamedTuple

from maestro_cli.context import CommandContext
from maestro_cli.hooks import agents
from maestro_cli.hooks.agents import Agent
from maestro_cli.options import Option

AgentName = Annotated[
    Literal["claude-code", "codex", "gemini-cli"], Option(name="AGENT", help="Which agent's settings.")
]
Scope = Annotated[
    Literal["user", "project"],
    Option(help="Your own settings, or those of the project in this directory. Default: user."),
]
DryRun = Annotated[bool, Option(name="--dry-run", help="Only show what the file would hold.")]
AsJson = Annotated[bool, Option(name="--json", help="Print what was done as JSON.")]


class SettingsFile(NamedTuple):
    """The settings that a command is about."""

    agent: Agent
    path: str
    # The data directory whose hooks they call.
    data: str

    @classmethod
    def of(cls, agent_name: str, scope: str) -> SettingsFile:
        """Find the file. Raises MaestroError INVALID for an unknown agent."""
        context = CommandContext.here()
        agent = agents.named(agent_name)
        return cls(agent, agent.settings_path(scope, context.environ, os.getcwd()), context.data)
