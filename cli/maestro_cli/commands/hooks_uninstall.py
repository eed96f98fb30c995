"""`maestro hooks uninstall`: the agent's settings as they were.

Rule: only our own entries go; the script stays, since other settings may call it.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

from cyclopts import App, Parameter

from maestro_cli import hook_agents, hook_install, output
from maestro_cli.desk import Desk

uninstall = App(
    name="uninstall",
    usage="maestro hooks uninstall AGENT [OPTIONS]",
    help_epilogue="""\
Where nobody else has changed the settings since, they are afterwards what they
were before, to the byte.

Examples:
  maestro hooks uninstall claude-code
  maestro hooks uninstall gemini-cli --scope project --dry-run""",
)


@uninstall.default
def run(
    agent: Annotated[
        Literal["claude-code", "codex", "gemini-cli"], Parameter(name="AGENT", help="Which agent's settings.")
    ],
    /,
    *,
    scope: Annotated[
        Literal["user", "project"],
        Parameter(help="Your own settings, or those of the project in this directory. Default: user."),
    ] = "user",
    dry_run: Annotated[bool, Parameter(name="--dry-run", help="Only show what the file would hold.")] = False,
    as_json: Annotated[bool, Parameter(name="--json", help="Print what was done as JSON.")] = False,
) -> int:
    """Take the hooks of one agent out of its settings."""
    desk = Desk.here()
    kind = hook_agents.named(agent)
    path = kind.settings_path(scope, desk.environ, os.getcwd())
    plan = hook_install.to_uninstall(kind, path)
    if not dry_run:
        plan.carry_out()
        if plan.changes and plan.restores:
            hook_install.forget_backup(path)
    if as_json:
        output.say_json({"agent": agent, "scope": scope, "path": path, "changed": plan.changes, "dryRun": dry_run})
    elif dry_run:
        output.say("(no file)" if plan.after is None else plan.after.rstrip("\n"))
    elif plan.changes:
        output.say(f"Took the hooks of {agent} out of {path}.")
    else:
        output.say(f"There are no hooks of ours in {path}.")
    return 0
