"""Installation repairs: the command's link, the hooks' script, and settings that name what has moved.

Rule: an agent without our hooks gets none, and hooks of another post office that is still there stay its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING, cast

from maestro_cli.hooks import agents, installation, shell_script
from maestro_cli.hooks.mcp import mcp_entries, mcp_installation, mcp_places
from maestro_cli.setup import agent_changes, command_link
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

from .findings import Repair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from maestro_cli.context import CommandContext
    from maestro_cli.hooks.agents import Agent

# The script in a command line of ours: `test -r SCRIPT && ...`.
_SCRIPT_WORD = 2


def command(context: CommandContext) -> Iterator[Repair]:
    """The link by which shells, and so agents, find the command."""
    link = command_link.plan(context.environ)
    if link.path:
        yield Repair("command", f"link {link.path} to {link.target}", partial(link.make, context.data))


def hooks(context: CommandContext) -> Iterator[Repair]:
    """The hooks of each agent that has ours."""
    directory = places.current_directory()
    for agent in agents.AGENTS.values():
        found = [agent.user_settings(context.environ)]
        if directory is not None:
            found.append(agent.project_settings(directory))
        for path in dict.fromkeys(found):
            try:
                yield from _of_file(agent, path, context)
            except MaestroError:
                continue  # the check of the hooks says what is wrong with the file


def _of_file(agent: Agent, path: str, context: CommandContext) -> Iterator[Repair]:
    name, script = f"hooks of {agent.name}", shell_script.script_path(context.data)
    scripts = {
        shlex.split(line)[_SCRIPT_WORD]
        for _, line in installation.commands_in(agent, installation.read(path) or "")
        if shell_script.is_own_command(line)
    }
    if not scripts or any(other != script and os.path.exists(other) for other in scripts):
        return
    change = agent_changes.plan(
        agent, path, context.data, context.environ, wake=None, mcp=_has_moved_server(agent, context)
    )
    if change.is_needed:
        what = f"write the hooks in {path} again: they name what has moved or changed"
        yield Repair(name, what, partial(change.apply, context.data))
    elif not _is_current(context.data):
        what = f"write {script} again: it is missing, or of another version"
        yield Repair(name, what, partial(shell_script.write, context.data, sys.executable))


def _has_moved_server(agent: Agent, context: CommandContext) -> bool:
    """Whether the agent has our MCP server, and its command is not there any more."""
    try:
        present = mcp_installation.entry_in(mcp_places.place_of(agent, context.environ))
    except MaestroError:
        return False
    if not mcp_entries.is_own(present):
        return False
    return shutil.which(mcp_places.command_line(cast("Mapping[str, Any]", present))[0]) is None


def _is_current(data: str) -> bool:
    try:
        return shell_script.is_current(data, sys.executable)
    except OSError:
        return False
