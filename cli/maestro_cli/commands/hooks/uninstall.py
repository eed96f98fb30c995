"""`maestro hooks uninstall`: removes the hooks from an agent's settings.

Rule: only our own entries are removed, and our MCP server. The script stays, because other settings may call it.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.hooks import installation
from maestro_cli.hooks.files import reading_rules
from maestro_cli.hooks.mcp import mcp_installation, mcp_places
from maestro_cli.output import streams

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
    servers = None
    if settings.project is None:
        servers = mcp_places.place_of(settings.agent, CommandContext.here().environ)
    changes = []
    rules = reading_rules.list_of(settings.agent)
    for path in places:
        more = [reading_rules.finder(rules)] if rules is not None else []
        more += [mcp_installation.finder(servers)] if servers is not None and servers.path == path else []
        changes.append(installation.plan_uninstall(settings.agent, path, *more))
    if servers is not None and servers.path not in places:
        changes.append(installation.plan_undo(servers.path, [mcp_installation.finder(servers)]))
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
