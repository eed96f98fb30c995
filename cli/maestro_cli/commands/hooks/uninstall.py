"""`maestro hooks uninstall`: removes the hooks from an agent's settings.

Rule: only our own entries are removed. The script stays, because other settings may call it.
"""

from __future__ import annotations

from maestro_cli.hooks import installation
from maestro_cli.output import streams

from .arguments import AgentName, AsJson, DryRun, Scope, SettingsFile

USAGE = "maestro hooks uninstall AGENT [OPTIONS]"
DETAILS = """\
If no other program has changed the settings since, they are afterwards what
they were before, to the byte.

Examples:
  maestro hooks uninstall claude-code
  maestro hooks uninstall gemini-cli --scope project --dry-run"""


def run(agent: AgentName, /, *, scope: Scope = "user", dry_run: DryRun = False, as_json: AsJson = False) -> int:
    """Remove the hooks of one agent from its settings."""
    kind, path, _ = SettingsFile.of(agent, scope)
    change = installation.plan_uninstall(kind, path)
    if not dry_run:
        change.apply()
    if as_json:
        streams.say_json(
            {"agent": agent, "scope": scope, "path": path, "changed": change.is_needed, "dryRun": dry_run}
        )
    elif dry_run:
        streams.say("(no file)" if change.after is None else change.after.rstrip("\n"))
    elif change.is_needed:
        streams.say(f"Removed the hooks of {agent} from {path}.")
    else:
        streams.say(f"There are no hooks of ours in {path}.")
    return 0
