"""Home: what `maestro` alone shows, a look at the post office that changes nothing and starts no broker.

Rule: one line of how things are, then what a person would want to know next: who waits, the own unread mail, who is
here. Where there is nothing yet, it is the lines to begin. It is on the fast path, so that it comes at once.
"""

from __future__ import annotations

import os

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_cli.output.styles import styled
from maestro_cli.output.tables import Column, table, terminal_width
from maestro_cli.output.wrapping import fitted
from maestro_schemas.errors import MaestroError

from . import who_table

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Any

    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import SessionPresenceDoc

_ROWS_MAX = 12
# The script that the hooks of the agents call.
_HOOKS = os.path.join("hooks", "maestro-hook")
_COMMANDS = (
    ("maestro setup", "find the agents on this machine and connect them"),
    ("maestro demo", "watch it at work, in a directory of its own"),
    ("maestro --help", "all commands"),
)


def run(*, as_json: bool) -> int:
    """Show it; returns the exit code. Raises MaestroError."""
    context = CommandContext.here()
    client = context.open_client()
    if client is None:
        found: dict[str, Any] = {"running": False, "sessions": [], "unread": None, "warnings": []}
        began = os.path.isdir(os.path.join(context.data, "messages"))
    else:
        with client:
            found = _look(context, client)
        began = bool(found["sessions"] or found["unread"])
    if as_json:
        streams.say_json(found)
        return 0
    width = terminal_width(context.environ)
    if began:
        shown = lines(found, context.own_session, width)
    else:
        shown = fitted(_beginning(context, running=client is not None), width)
    streams.say("\n".join(shown))
    return 0


def _look(context: CommandContext, client: AnyClient) -> dict[str, Any]:
    return {
        "running": True,
        "sessions": [line for line in who_table.ordered(client.presence()) if line["state"] != "ended"],
        "unread": _unread(context),
        "warnings": client.stats().get("warnings", []),
    }


def _unread(context: CommandContext) -> int | None:
    """How much new mail the caller has; None in an agent's shell without a session."""
    try:
        own = context.at_mailbox(sure=False)
        client = own.open_client()
        if client is None:
            return None
        with client:
            return int(client.inbox(status=["pending"], limit=1)["pending"])
    except MaestroError as error:
        # A session that has ended or was pruned has no mailbox, and that is no reason to show nothing.
        if error.kind != "client":
            raise
        return None


def _beginning(context: CommandContext, *, running: bool) -> list[str]:
    first = "No session is here yet. To begin:" if running else "A post office for coding agents. To begin:"
    commands: tuple[tuple[str, str], ...] = _COMMANDS
    if os.path.exists(os.path.join(context.data, _HOOKS)):
        # The setup is done.
        first = "No session is here yet. Start one of your agents in its project: it comes here by itself."
        commands = commands[1:]
    rows = [(f"  {styled(command, 'bold')}", about) for command, about in commands]
    return [first, *table([Column("", least=20), Column("", 1, least=20)], rows, None)]


def lines(found: dict[str, Any], own: str | None, width: int | None) -> list[str]:
    """The lines for what was found. `own`: the caller's session. `width`: the terminal's; None for no bound."""
    sessions: list[SessionPresenceDoc] = found["sessions"]
    if not found["running"]:
        return fitted(["No broker runs. The mail is kept, and the next command that needs one starts it."], width)
    shown = fitted([_state(sessions), *_warned(found["warnings"])], width)
    shown += who_table.waits(sessions, width)
    if found["unread"]:
        count = "1 new message" if found["unread"] == 1 else f"{found['unread']:,} new messages"
        shown += fitted([f"{styled(count, 'bold')} for you: maestro inbox"], width)
    if sessions:
        rows = sessions[:_ROWS_MAX]
        shown += ["", *who_table.table(rows, own, now_ms(), width, who_table.COMPACT)]
        if len(sessions) > len(rows):
            shown += fitted([f"and {len(sessions) - len(rows):,} more: maestro who"], width)
    return shown


def _state(sessions: list[SessionPresenceDoc]) -> str:
    """`12 sessions: 2 waiting, 3 working, 7 idle; 14 unread`"""
    if not sessions:
        return "No session is here."
    counts: dict[str, int] = {}
    for line in sessions:
        counts[line["state"]] = counts.get(line["state"], 0) + 1
    signs = {state: count for state, count in counts.items() if state != "unknown"}
    states = f": {', '.join(f'{count:,} {state}' for state, count in signs.items())}" if signs else ""
    unread = sum(line.get("unread", 0) for line in sessions)
    waiting = f"; {unread:,} unread" if unread else ""
    who = "1 session" if len(sessions) == 1 else f"{len(sessions):,} sessions"
    return f"{who}{states}{waiting}"


def _warned(warnings: list[str]) -> list[str]:
    if not warnings:
        return []
    count = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    return [f"{styled(count, 'bold', 'red')} about the post office: maestro status"]
