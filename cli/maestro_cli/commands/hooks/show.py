"""`maestro hooks show`: what would be installed, to read it first or to put it in place by hand.

Rule: changes nothing.
"""

from __future__ import annotations

import os

from maestro_cli.context import CommandContext
from maestro_cli.hooks import agents, installation, shell_script
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Literal

    from maestro_cli.options import Option

USAGE = "maestro hooks show AGENT [OPTIONS]"
DETAILS = """\
`prompt-display` is a script for any agent that shows what a command prints at
its prompt: save it, and make it executable.

Examples:
  maestro hooks show claude-code
  maestro hooks show codex --json
  maestro hooks show prompt-display > prompt-display"""


def run(
    agent: Annotated[
        Literal["claude-code", "codex", "gemini-cli", "prompt-display"],
        Option(name="AGENT", help="Which agent's entries, or the plain script."),
    ],
    /,
    *,
    scope: Annotated[
        Literal["user", "project"],
        Option(help="Your own settings, or those of the project in this directory. Default: user."),
    ] = "user",
    as_json: Annotated[
        bool, Option(name="--json", help="Print {agent, path, installed, hooks} on one line.")
    ] = False,
) -> int:
    """Show the entries, and where they belong."""
    import json

    context = CommandContext.here()
    if agent == "prompt-display":
        text = shell_script.prompt_display(context.environ)
        streams.say(streams.json_line({"agent": agent, "script": text}) if as_json else text.rstrip("\n"))
        return 0
    kind = agents.named(agent)
    path = kind.settings_path(scope, context.environ, os.getcwd())
    entries = installation.entries(kind, context.data)
    hooks = {event: [entry] for event, entry in entries.items()}
    installed = not installation.to_install(kind, path, entries).changes
    if as_json:
        streams.say_json({"agent": agent, "path": path, "installed": installed, "hooks": hooks})
        return 0
    streams.note(f"maestro: {path} {'has these already' if installed else 'does not have these yet'}")
    streams.say(json.dumps({"hooks": hooks}, indent=2))
    return 0
