"""`maestro hooks show`: what would be installed, to read it first or to put it in place by hand.

Rule: changes nothing.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

from cyclopts import App, Parameter

from maestro_cli import hook_agents, hook_install, hook_script, output
from maestro_cli.desk import Desk

show = App(
    name="show",
    usage="maestro hooks show AGENT [OPTIONS]",
    help_epilogue="""\
`prompt-display` is a script for any agent that shows what a command prints at
its prompt: save it, and make it executable.

Examples:
  maestro hooks show claude-code
  maestro hooks show codex --json
  maestro hooks show prompt-display > prompt-display""",
)


@show.default
def run(
    agent: Annotated[
        Literal["claude-code", "codex", "gemini-cli", "prompt-display"],
        Parameter(name="AGENT", help="Which agent's entries, or the plain script."),
    ],
    /,
    *,
    scope: Annotated[
        Literal["user", "project"],
        Parameter(help="Your own settings, or those of the project in this directory. Default: user."),
    ] = "user",
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print {agent, path, installed, hooks} on one line.")
    ] = False,
) -> int:
    """Show the entries, and where they belong."""
    import json

    desk = Desk.here()
    if agent == "prompt-display":
        text = hook_script.prompt_display(desk.environ)
        output.say(output.json_line({"agent": agent, "script": text}) if as_json else text.rstrip("\n"))
        return 0
    kind = hook_agents.named(agent)
    path = kind.settings_path(scope, desk.environ, os.getcwd())
    entries = hook_install.entries(kind, desk.data)
    hooks = {event: [entry] for event, entry in entries.items()}
    installed = not hook_install.to_install(kind, path, entries).changes
    if as_json:
        output.say_json({"agent": agent, "path": path, "installed": installed, "hooks": hooks})
        return 0
    output.note(f"maestro: {path} {'has these already' if installed else 'does not have these yet'}")
    output.say(json.dumps({"hooks": hooks}, indent=2))
    return 0
