"""`maestro hooks show`: prints what would be installed, to read it first or to install it by hand.

Rule: changes nothing.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.hooks import installation, shell_script
from maestro_cli.hooks.mcp import mcp_entries, mcp_installation, mcp_places
from maestro_cli.hooks.plugin import plugin_file
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
  maestro hooks show codex --mcp
  maestro hooks show prompt-display > prompt-display"""


def run(
    agent: Annotated[
        Literal["claude-code", "codex", "gemini-cli", "qwen-code", "opencode", "prompt-display"],
        Option(name="AGENT", help="Which agent's entries, or the plain script."),
    ],
    /,
    *,
    scope: Scope = "user",
    mcp: Annotated[
        bool, Option(name="--mcp", help="The MCP server that `install --mcp` writes, and its file.")
    ] = False,
    as_json: Annotated[
        bool, Option(name="--json", help="Print {agent, path, installed, hooks, mcp} on one line.")
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
    environ = CommandContext.here().environ
    place = mcp_places.place_of(kind, environ)
    server = mcp_places.entry_of(kind, data, environ)
    has_server = mcp_installation.entry_in(place) == server
    if as_json:
        shown = {"path": place.path, "installed": has_server, "server": server}
        streams.say_json({"agent": agent, "path": path, "installed": installed, "hooks": hooks, "mcp": shown})
        return 0
    if mcp:
        streams.note(f"maestro: {place.path} {'has this already' if has_server else 'does not have this yet'}")
        streams.say(mcp_entries.added("", place, server).rstrip("\n"))
        return 0
    streams.note(f"maestro: {path} {'has these already' if installed else 'does not have these yet'}")
    text = plugin_file.text(agent, entries).rstrip("\n") if kind.is_plugin else json.dumps({"hooks": hooks}, indent=2)
    streams.say(text)
    return 0
