"""`maestro session list`: the sessions that can receive messages.

Rule: only active ones, unless all are asked for; it reports how many it left out.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import START_A_SESSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option
    from maestro_schemas.documents import SessionDoc

DETAILS = """\
Examples:
  maestro session list
  maestro session list --project shop --all --json"""


def run(
    *,
    project: Annotated[str | None, Option(metavar="PROJECT", help="Only sessions of this project.")] = None,
    every: Annotated[bool, Option(name="--all", help="Also sessions that have ended.")] = False,
    as_json: Annotated[bool, Option(name="--json", help='Print {"sessions": [...], "count": N} as JSON.')] = False,
) -> int:
    """List sessions."""
    context = CommandContext.here()
    with context.client() as client:
        found = client.sessions(project_id=project)
    shown = [session for session in found if every or "completedAt" not in session]
    if as_json:
        streams.say_json({"sessions": shown, "count": len(shown)})
        return 0
    lines = _table(shown, context.own_session)
    left_out = len(found) - len(shown)
    if left_out:
        lines.append(f"{left_out} more {'has' if left_out == 1 else 'have'} ended; --all shows them.")
    if not found:
        lines.append(f"No sessions. {START_A_SESSION}")
    streams.say("\n".join(lines))
    return 0


def _table(sessions: list[SessionDoc], own: str | None) -> list[str]:
    from maestro_cli.output.fence import named
    from maestro_cli.output.render import age

    if not sessions:
        return []
    now = now_ms()
    rows = [("ID", "NAME", "ROLE", "PROJECT", "STATUS", "LAST SEEN")]
    rows += [
        (
            session["id"],
            named(session.get("name", "-")),
            session["role"],
            named(session["projectId"]),
            session["status"],
            age(session["lastActivity"], now) + (" (you)" if session["id"] == own else ""),
        )
        for session in sessions
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
