"""Found agents: which agents this machine has, by their command on PATH or by their settings folder.

Rule: it only looks, and starts no program.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from maestro_cli.hooks import agents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_cli.hooks.agents import Agent


class FoundAgent(NamedTuple):
    """An agent, and the sign of it."""

    agent: Agent
    # The path of its command, or of its settings folder; empty where there is neither.
    sign: str


def look(environ: Mapping[str, str], names: Sequence[str] = ()) -> list[FoundAgent]:
    """The agents of this machine; with `names` these, found or not. Raises MaestroError INVALID for an unknown name,
    DATA_DIR_UNUSABLE without a home directory."""
    if names:
        return [FoundAgent(agent, _sign(agent, environ)) for agent in map(agents.named, dict.fromkeys(names))]
    found = [FoundAgent(agent, _sign(agent, environ)) for agent in agents.AGENTS.values()]
    return [one for one in found if one.sign]


def settings_folder(agent: Agent, environ: Mapping[str, str]) -> str:
    """The folder in which the agent keeps what is the user's. Raises MaestroError DATA_DIR_UNUSABLE."""
    below = os.path.dirname(agent.file)
    folder = os.path.dirname(agent.user_settings(environ))
    return folder.removesuffix(f"/{below}") if below else folder


def _sign(agent: Agent, environ: Mapping[str, str]) -> str:
    program = shutil.which(agent.program, path=environ.get("PATH", ""))
    if program is not None:
        return program
    folder = settings_folder(agent, environ)
    return folder if os.path.isdir(folder) else ""
