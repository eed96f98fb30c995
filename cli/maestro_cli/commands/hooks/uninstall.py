"""`maestro hooks uninstall`: the agent's settings as they were.

Rule: only our own entries go; the script stays, since other settings may call it.
"""

from __future__ import annotations

import os

from maestro_cli.context import CommandContext
from maestro_cli.hooks import agents, installation
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Literal

    from maestro_cli.options import Option

USAGE = "maestro hooks uninstall AGENT [OPTIONS]"
DETAILS = """\
Where nobody else has changed the settings since, they are afterwards what they
were before, to the byte.

Examples:
  maestro hooks uninstall claude-code
  maestro hooks uninstall gemini-cli --scope project --dry-run"""


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
    """Take the hooks of one agent out of its settings."""
    context = CommandContext.here()
    kind = agents.named(agent)
    path = kind.settings_path(scope, context.environ, os.getcwd())
    plan = installation.to_uninstall(kind, path)
    if not dry_run:
        plan.carry_out()
        if plan.changes and plan.restores:
            installation.forget_backup(path)
    if as_json:
        streams.say_json({"agent": agent, "scope": scope, "path": path, "changed": plan.changes, "dryRun": dry_run})
    elif dry_run:
        streams.say("(no file)" if plan.after is None else plan.after.rstrip("\n"))
    elif plan.changes:
        streams.say(f"Took the hooks of {agent} out of {path}.")
    else:
        streams.say(f"There are no hooks of ours in {path}.")
    return 0
