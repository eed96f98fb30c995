"""`maestro hooks show`: prints what would be installed, to read it first or to install it by hand.

Rule: changes nothing.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.hooks import installation, shell_script
from maestro_cli.output import streams

from .arguments import Scope, SettingsFile

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
        Literal["claude-code", "codex", "gemini-cli", "qwen-code", "opencode", "prompt-display"],
        Option(name="AGENT", help="Which agent's entries, or the plain script."),
    ],
    /,
    *,
    scope: Scope = "user",
    as_json: Annotated[
        bool, Option(name="--json", help="Print {agent, path, installed, hooks} on one line.")
    ] = False,
) -> int:
    """Show the entries, and the file that they belong in."""
    import json

    if agent == "prompt-display":
        text = shell_script.prompt_display(CommandContext.here().environ)
        streams.say(streams.json_line({"agent": agent, "script": text}) if as_json else text.rstrip("\n"))
        return 0
    kind, path, data, _ = SettingsFile.of(agent, scope)
    entries = installation.entries(kind, data, wake=installation.wakes(kind, path))
    hooks = {event: [entry] for event, entry in entries.items()}
    installed = not installation.plan_install(kind, path, entries).is_needed
    if as_json:
        streams.say_json({"agent": agent, "path": path, "installed": installed, "hooks": hooks})
        return 0
    streams.note(f"maestro: {path} {'has these already' if installed else 'does not have these yet'}")
    streams.say(json.dumps({"hooks": hooks}, indent=2))
    return 0
