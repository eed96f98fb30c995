"""Setup plan: everything that `maestro setup` will write, before it writes anything.

Rule: it reads and changes nothing. What can't be planned for one agent is that agent's error, and the others go on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_cli.completion.marks import NAMES
from maestro_cli.hooks import shell_script, switches
from maestro_runtime import ownership, places
from maestro_schemas.errors import MaestroError

from . import agent_changes, command_link, completion_files, found_agents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_cli.hooks.agents import Agent

    from .agent_changes import AgentInstallation
    from .command_link import CommandLink
    from .completion_files import CompletionFile


class AgentPlan(NamedTuple):
    """What is planned for one agent."""

    agent: Agent
    # The path by which it was found; empty where it was only named.
    sign: str
    # None where it can't be planned.
    installation: AgentInstallation | None
    error: MaestroError | None
    # A sentence for each setting that turns its hooks off.
    turned_off: list[str]

    @property
    def changed_paths(self) -> list[str]:
        """The files that change."""
        changes = self.installation.changes if self.installation is not None else ()
        return [change.path for change in changes if change.is_needed]


class SetupPlan(NamedTuple):
    """What is planned."""

    data: str
    agents: list[AgentPlan]
    link: CommandLink
    completion: list[CompletionFile]
    # The command for a shell whose completion takes an edit of its own files; else empty.
    completion_advice: str
    # Whether the data directory, or the script of the hooks, is missing or of another version.
    makes_data: bool

    @property
    def is_needed(self) -> bool:
        """Whether it will write anything."""
        return bool(self.files)

    @property
    def files(self) -> list[tuple[str, str]]:
        """(path, what becomes of it) for each file that it will write."""
        found = []
        for one in self.agents:
            found += [(path, _about(one.installation, path)) for path in one.changed_paths]
        if self.makes_data:
            found.append((self.data, "the mail, and the script that the hooks call"))
        if self.link.path:
            found.append((self.link.path, f"link to {places.shown(self.link.target)}"))
        found += [(file.path, "completion of your shell") for file in self.completion]
        return found


def make(
    data: str, environ: Mapping[str, str], names: Sequence[str] = (), *, wake: bool | None, mcp: bool
) -> SetupPlan:
    """Look at this machine, and plan. Raises MaestroError INVALID for an unknown agent, DATA_DIR_UNUSABLE without a
    home directory, NOT_PRIVATE for a data directory that is not this user's."""
    ownership.check_data_dir(data)
    link = command_link.plan(environ)
    found = found_agents.look(environ, names)
    agents = [_of_agent(one.agent, one.sign, data, environ, wake=wake, mcp=mcp) for one in found]
    # A name that is another program's is not completed as ours.
    completed = [] if not link.name else [link.name] if link.other else list(NAMES)
    shell = command_link.shell_of(environ)
    completion, advice = completion_files.plan(shell, completed), completion_files.advice(shell)
    return SetupPlan(data, agents, link, completion, advice, _makes_data(data, has_agents=bool(agents)))


def _of_agent(
    agent: Agent, sign: str, data: str, environ: Mapping[str, str], *, wake: bool | None, mcp: bool
) -> AgentPlan:
    off = switches.turned_off(agent, environ, places.current_directory())
    try:
        path = agent.user_settings(environ)
        planned = agent_changes.plan(agent, path, data, environ, wake=wake, mcp=mcp)
    except MaestroError as error:
        return AgentPlan(agent, sign, None, error, off)
    return AgentPlan(agent, sign, planned, None, off)


def _makes_data(data: str, *, has_agents: bool) -> bool:
    if not os.path.isdir(data):
        return True
    import sys

    try:
        return has_agents and not shell_script.is_current(data, sys.executable)
    except OSError:
        return True


def _about(planned: AgentInstallation | None, path: str) -> str:
    assert planned is not None  # noqa: S101 - it has changes
    said = []
    if path == planned.settings.path:
        wakes = ", and wakes it" if planned.wakes else ""
        said.append(f"hooks: mail comes into the agent's context{wakes}")
    if planned.server is not None and path == planned.server.path:
        said.append("MCP server `maestro`: tools to write and to answer")
    return "; ".join(said)
