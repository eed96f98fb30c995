"""`maestro hooks install`: mail in an agent's context from now on.

Rule: the script first and the settings after it, so that no agent ever calls what is not there.
"""

from __future__ import annotations

import os
import sys

from maestro_cli.context import CommandContext
from maestro_cli.hooks import agents, installation, shell_script
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Literal

    from maestro_cli.options import Option

USAGE = "maestro hooks install AGENT [OPTIONS]"
DETAILS = """\
It adds one entry for each event to the agent's own settings and leaves all else
in them as it is; the text from before is kept beside the file
(.before-maestro). Doing it again changes nothing. `maestro hooks uninstall`
takes the entries out again.

Examples:
  maestro hooks install claude-code
  maestro hooks install codex --dry-run
  maestro hooks install gemini-cli --scope project"""


def run(
    agent: Annotated[
        Literal["claude-code", "codex", "gemini-cli"], Option(name="AGENT", help="Which agent's settings.")
    ],
    /,
    *,
    scope: Annotated[
        Literal["user", "project"],
        Option(help="Your own settings, or those of the project in this directory. Default: user."),
    ] = "user",
    dry_run: Annotated[bool, Option(name="--dry-run", help="Only show what the file would hold.")] = False,
    as_json: Annotated[bool, Option(name="--json", help="Print what was done as JSON.")] = False,
) -> int:
    """Install the hooks of one agent."""
    context = CommandContext.here()
    kind = agents.named(agent)
    path = kind.settings_path(scope, context.environ, os.getcwd())
    plan = installation.to_install(kind, path, installation.entries(kind, context.data))
    # Also where nothing changes in the settings: the interpreter may have moved, or the script be gone.
    shell_script.text(context.data, sys.executable)
    if not dry_run:
        shell_script.write(context.data, sys.executable)
        plan.carry_out()
    done = {
        "agent": agent,
        "scope": scope,
        "path": path,
        "changed": plan.changes,
        "dryRun": dry_run,
        "events": list(kind.events),
        "script": shell_script.script_path(context.data),
        "backup": plan.backup if plan.changes and plan.before is not None else None,
    }
    if as_json:
        streams.say_json(done)
    elif dry_run:
        streams.say((plan.after or "").rstrip("\n"))
    elif plan.changes:
        streams.say(f"Installed the hooks of {agent} in {path}: {', '.join(kind.events)}.\n{kind.remark}")
    else:
        streams.say(f"The hooks of {agent} are in {path} already.")
    return 0
