"""`maestro hooks install`: adds the hooks to an agent's settings, so that it gets its mail.

Rule: the script is written before the settings, so that an agent never calls a script that does not exist.
"""

from __future__ import annotations

import sys

from maestro_cli.hooks import installation, shell_script
from maestro_cli.output import streams

from .arguments import AgentName, AsJson, DryRun, Scope, SettingsFile

USAGE = "maestro hooks install AGENT [OPTIONS]"
DETAILS = """\
It adds one entry for each event to the agent's own settings and leaves all else
in them as it is; the text from before is kept beside the file
(.before-maestro). Doing it again changes nothing. `maestro hooks uninstall`
removes the entries.

Examples:
  maestro hooks install claude-code
  maestro hooks install codex --dry-run
  maestro hooks install gemini-cli --scope project"""


def run(agent: AgentName, /, *, scope: Scope = "user", dry_run: DryRun = False, as_json: AsJson = False) -> int:
    """Install the hooks of one agent."""
    kind, path, data = SettingsFile.of(agent, scope)
    change = installation.plan_install(kind, path, installation.entries(kind, data))
    # The script is written even if the settings stay: it may be missing, or name an interpreter that has moved.
    shell_script.text(data, sys.executable)
    if not dry_run:
        shell_script.write(data, sys.executable)
        change.apply()
    if as_json:
        streams.say_json(
            {
                "agent": agent,
                "scope": scope,
                "path": path,
                "changed": change.is_needed,
                "dryRun": dry_run,
                "events": list(kind.events),
                "script": shell_script.script_path(data),
                "backup": change.backup if change.is_needed and change.before is not None else None,
            }
        )
    elif dry_run:
        streams.say((change.after or "").rstrip("\n"))
    elif change.is_needed:
        streams.say(f"Installed the hooks of {agent} in {path}: {', '.join(kind.events)}.\n{kind.remark}")
    else:
        streams.say(f"The hooks of {agent} are in {path} already.")
    return 0
