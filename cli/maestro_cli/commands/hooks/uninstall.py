"""`maestro hooks uninstall`: removes the hooks from an agent's settings.

Rule: only our own entries are removed, and our MCP server. The script stays, because other settings may call it.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.hooks.mcp import mcp_places
from maestro_cli.output import streams
from maestro_cli.setup import agent_changes
from maestro_runtime.traces import footprints

from .arguments import AgentName, AsJson, DryRun, Scope, SettingsFile

USAGE = "maestro hooks uninstall AGENT [OPTIONS]"
DETAILS = """\
If no other program has changed the settings since, they are afterwards what
they were before, to the byte. In your own settings it also removes the MCP
server that --mcp has added. The rules for files of mail go too.

Examples:
  maestro hooks uninstall claude-code
  maestro hooks uninstall gemini-cli --scope project --dry-run"""


def run(agent: AgentName, /, *, scope: Scope = "user", dry_run: DryRun = False, as_json: AsJson = False) -> int:
    """Remove the hooks of one agent from its settings."""
    settings = SettingsFile.of(agent, scope)
    places = [settings.path, *filter(None, [settings.shared()])]
    servers = []
    if settings.project is None:
        servers.append(mcp_places.place_of(settings.agent, CommandContext.here().environ))
    made = footprints.read(settings.data)
    changes = agent_changes.plan_removal(settings.agent, places, servers, made)
    if not dry_run:
        for change in changes:
            change.apply()
    removed = [change.path for change in changes if change.is_needed]
    if as_json:
        streams.say_json(
            {
                "agent": agent,
                "scope": scope,
                "path": removed[0] if removed else settings.path,
                "changed": bool(removed),
                "dryRun": dry_run,
            }
        )
    elif dry_run:
        shown = next((change for change in changes if change.is_needed), changes[0])
        streams.say("(no file)" if shown.after is None else shown.after.rstrip("\n"))
    elif removed:
        streams.say(f"Removed the hooks of {agent} from {' and '.join(removed)}.")
    else:
        streams.say(f"There are no hooks of ours in {' or '.join(places)}.")
    return 0
