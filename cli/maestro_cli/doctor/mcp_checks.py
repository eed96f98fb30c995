"""MCP checks: whether the MCP server in an agent's settings is ours, and answers.

Rule: only an entry that is exactly the one that we would write is started. A server is opt-in: an agent without one
is no finding.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

from maestro_cli.hooks import agents
from maestro_cli.hooks.mcp import mcp_entries, mcp_installation, mcp_places
from maestro_schemas.errors import MaestroError

from .findings import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maestro_cli.context import CommandContext
    from maestro_cli.hooks.agents import Agent

_ANSWER_S = 30.0
_SLOW_S = 2.0
_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "doctor", "version": "1"}},
}


def servers(context: CommandContext) -> Iterator[DoctorFinding]:
    """The MCP server of ours in the user's settings of every agent."""
    for agent in agents.AGENTS.values():
        found = _server(agent, context)
        if found is not None:
            yield found


def _server(agent: Agent, context: CommandContext) -> DoctorFinding | None:
    name, install = f"MCP server of {agent.name}", f"maestro hooks install {agent.name} --mcp"
    try:
        place = mcp_places.place_of(agent, context.environ)
    except MaestroError:
        return None  # of this agent it is not known
    try:
        present = mcp_installation.entry_in(place)
        if not mcp_entries.is_own(present):
            return None
        wanted = mcp_places.entry_of(agent, context.data, context.environ)
    except MaestroError as error:
        # Perhaps it was never installed there.
        return DoctorFinding(name, "warning", f"it is not known: {error.message}", "Repair the file by hand.")
    if present != wanted:
        what = f"{place.path} has a server of another version or another post office"
        return DoctorFinding(name, "warning", what, install)
    fault, took_s = _try(wanted, context.environ)
    if fault:
        return DoctorFinding(name, "failed", f"{place.path}: it {fault}", f"{install}; or report it.")
    what = f"{place.path}: it answers after {took_s * 1000:.0f} ms"
    is_slow = took_s > _SLOW_S
    return DoctorFinding(name, "warning" if is_slow else "ok", what, "The machine is busy." if is_slow else "")


def _try(entry: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[str, float]:
    """Start the server as the agent does, and say hello. Returns the fault, empty for none, and how long it took."""
    began_s = time.monotonic()
    try:
        done = subprocess.run(
            [entry["command"], *entry["args"]],
            input=json.dumps(_HELLO).encode() + b"\n",
            capture_output=True,
            env=dict(environ),
            timeout=_ANSWER_S,
            check=False,
        )
    except OSError as error:
        return f"can't be started: {error.strerror or error}", 0.0
    except subprocess.TimeoutExpired:
        return f"takes longer than {_ANSWER_S:g} s", _ANSWER_S
    took_s = time.monotonic() - began_s
    if b'"serverInfo"' not in done.stdout:
        return f"does not answer, and ends with exit code {done.returncode}", took_s
    return "", took_s
