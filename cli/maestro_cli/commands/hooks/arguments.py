"""Hook arguments: what `install`, `uninstall` and `show` take from the command line."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from maestro_cli.context import CommandContext
from maestro_cli.hooks import agents
from maestro_cli.hooks.agents import Agent
from maestro_cli.options import Option
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

AgentName = Annotated[
    Literal["claude-code", "codex", "gemini-cli", "qwen-code", "opencode"],
    Option(name="AGENT", help="Which agent's settings."),
]
Scope = Annotated[
    Literal["user", "project"],
    Option(help="Your own settings, or those of the project in this directory. Default: user."),
]
Wake = Annotated[
    bool | None,
    Option(
        name="--wake",
        negative="--no-wake",
        help="Whether mail may start a turn of the idle agent. Default: what is installed, else yes.",
    ),
]
DryRun = Annotated[bool, Option(name="--dry-run", help="Only show what the file would hold.")]
AsJson = Annotated[bool, Option(name="--json", help="Print what was done as JSON.")]


class SettingsFile(NamedTuple):
    """The settings that a command is about."""

    agent: Agent
    path: str
    # The data directory whose hooks they call.
    data: str
    # The project's directory; None for the user's settings.
    project: str | None = None

    @classmethod
    def of(cls, agent_name: str, scope: str) -> SettingsFile:
        """Find the file. Raises MaestroError INVALID for an unknown agent, and for the scope of a project in a
        directory that was removed; DATA_DIR_UNUSABLE without a home directory."""
        context = CommandContext.here()
        agent = agents.named(agent_name)
        if scope != agents.PROJECT:
            return cls(agent, agent.user_settings(context.environ), context.data)
        directory = places.current_directory()
        if directory is None:
            raise MaestroError(
                "INVALID",
                "the current directory does not exist any more, so it is no project",
                "Change to the project's directory, or leave out --scope.",
            )
        return cls(agent, agent.project_settings(directory), context.data, directory)

    def shared(self) -> str | None:
        """The file beside it that a team commits, where earlier versions wrote; None where there is none."""
        if self.project is None or not self.agent.local_file:
            return None
        return self.agent.shared_settings(self.project)
