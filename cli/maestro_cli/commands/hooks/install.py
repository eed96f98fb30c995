"""`maestro hooks install`: adds the hooks to an agent's settings, so that it gets its mail.

Rule: the script is written before the settings, so that an agent never calls a script that does not exist. No file
that a team commits gets hooks, because they hold paths of one user's machine.
"""

from __future__ import annotations

import sys

from maestro_cli.context import CommandContext
from maestro_cli.hooks import git_check, shell_script, switches
from maestro_cli.hooks.waking import client_version
from maestro_cli.output import streams
from maestro_cli.setup import agent_changes
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

from .arguments import AgentName, AsJson, DryRun, Mcp, Scope, SettingsFile, Wake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from maestro_cli.setup.agent_changes import AgentInstallation

USAGE = "maestro hooks install AGENT [OPTIONS]"
DETAILS = """\
It adds one entry for each event to the agent's own settings and leaves all else
in them as it is; the text from before is kept beside the file
(.before-maestro). Doing it again changes nothing. `maestro hooks uninstall`
removes the entries. With --scope project they are in the file that holds your
own settings of the project (claude-code: .claude/settings.local.json). Another
agent's only file must be ignored by git first, because hooks hold paths of your
machine.

--mcp also writes the agent's line for `maestro mcp`: tools with which it writes
and answers without a shell. Its mail comes by the hooks with or without them.

Claude Code also gets rules that let it read the files of its mail, and nothing
else of the data directory, without a question.

Mail for an idle claude-code starts a turn of its model. --no-wake installs the
hooks without that, and a later installation keeps the choice; --wake undoes it.
MAESTRO_WAKE=off, or wake = "off" below [hooks] in the config file, turns it off
for the agents that start after that.

Examples:
  maestro hooks install claude-code
  maestro hooks install claude-code --no-wake
  maestro hooks install codex --mcp
  maestro hooks install codex --dry-run
  maestro hooks install gemini-cli --scope project"""


_WAKES = "Mail wakes it from idle{needs}, which costs a turn of its model. To install without: --no-wake."
_NO_WAKES = "Mail does not wake it from idle; it waits for its next prompt. To undo: --wake."


def run(
    agent: AgentName,
    /,
    *,
    scope: Scope = "user",
    mcp: Mcp = False,
    wake: Wake = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Install the hooks of one agent."""
    settings = SettingsFile.of(agent, scope)
    kind, path, data, project = settings
    if mcp and project is not None:
        raise MaestroError(
            "INVALID",
            "an MCP server is written into your own settings for every project, since its line holds paths of your "
            "machine",
            f"maestro hooks install {agent} --mcp",
        )
    would_be_committed = project is not None and git_check.would_be_committed(path)
    if would_be_committed and not kind.local_file:
        raise MaestroError(
            "CONFLICT",
            f"{path} would be committed with the project, and hooks hold paths of your own machine",
            f"Have this clone ignore it: {git_check.exclude_command(kind.folder_in_project, kind.file)}. Or leave "
            "out --scope: your own settings hold for every project.",
        )
    shared = settings.shared()
    if wake and not kind.waker:
        raise MaestroError("INVALID", f"no hook can wake {agent}", "Leave out --wake; docs/agents.md says what can.")
    environ = CommandContext.here().environ
    planned = agent_changes.plan(kind, path, data, environ, wake=wake, mcp=mcp, shared=shared or "")
    change = planned.settings
    moved = None if shared is None else agent_changes.plan_removal(kind, [shared], ())[0]
    # The path must be fit for a script, also where nothing is written now.
    shell_script.text(data, sys.executable)
    if not dry_run:
        planned.apply(data)
        if moved is not None:
            moved.apply()
    off = switches.turned_off(kind, environ, places.current_directory())
    if as_json:
        streams.say_json(
            {
                "agent": agent,
                "scope": scope,
                "path": path,
                "changed": change.is_needed,
                "dryRun": dry_run,
                "events": planned.events,
                "wakes": planned.wakes,
                "script": shell_script.script_path(data),
                "backup": change.backup if change.is_needed and change.before is not None else None,
                "turnedOff": off,
                **_server(planned),
            }
        )
    elif dry_run:
        for each in planned.changes:
            if len(planned.changes) > 1:
                streams.note(f"maestro: {each.path}")
            streams.say((each.after or "").rstrip("\n"))
    elif change.is_needed:
        streams.tell(f"Installed the hooks of {agent} in {path}: {', '.join(planned.events)}.\n{kind.remark}")
        if planned.wakes:
            streams.say(_WAKES.format(needs=f" {kind.wakes_if}" if kind.wakes_if else ""))
        elif kind.waker and not planned.too_old:
            streams.say(_NO_WAKES)
    else:
        streams.tell(f"The hooks of {agent} are in {path} already.")
    if planned.server is not None and not as_json and not dry_run:
        streams.tell(f"Its MCP server is in {planned.server.path}; a session that runs gets it when it is restarted.")
    if moved is not None and moved.is_needed and not dry_run:
        streams.note(f"maestro: removed the hooks from {shared}, which a team commits")
    if would_be_committed:
        streams.note(f"maestro: git would commit {path}, and hooks hold paths of your own machine")
        streams.note(f"  next: {git_check.exclude_command(kind.folder, kind.local_file)}")
    if planned.too_old:
        needed = client_version.floor(kind)
        streams.note(
            f"maestro: {agent} {planned.too_old} is installed, and mail can wake it from version {needed} on"
        )
        streams.note(f"  next: update it, then: maestro hooks install {agent} --wake")
    for sentence in off:
        streams.note(f"maestro: {sentence}, so no hook runs")
        streams.note("  next: remove that setting; `maestro doctor` checks it")
    return 0


def _server(planned: AgentInstallation) -> dict[str, Any]:
    if planned.server is None:
        return {}
    return {"mcp": {"path": planned.server.path, "changed": planned.changes[-1].is_needed}}
