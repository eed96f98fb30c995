"""`maestro session list`: the sessions that can receive messages.

Rule: only active ones, unless all are asked for; it reports how many it left out. The JSON is one array.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import START_A_SESSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import COUNTS, Option
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import SessionDoc

DETAILS = """\
Examples:
  maestro session list
  maestro session list --project shop --all --json"""

# Ended sessions are counted up to this number.
_COUNTED_MAX = 100


def run(
    *,
    project: Annotated[str | None, Option(metavar="PROJECT", help="Only sessions of this project.")] = None,
    every: Annotated[bool, Option(name="--all", help="Also sessions that have ended.")] = False,
    limit: Annotated[int | None, Option(numbers=COUNTS, metavar="N", help="Only the first N. Default: all.")] = None,
    as_json: Annotated[bool, Option(name="--json", help="Print the sessions as a JSON array.")] = False,
) -> int:
    """List sessions."""
    context = CommandContext.here()
    active = None if every else True
    with context.client() as client:
        shown, more = _first(client, limit, project_id=project, active=active)
        ended = (
            None if every or as_json else client.session_page(project_id=project, active=False, limit=_COUNTED_MAX)
        )
    if as_json:
        streams.say_json(shown)
        return 0
    lines = table(shown, context.own_session)
    if more:
        lines.append("There are more; a greater --limit, or none, shows them.")
    if ended is not None and ended["sessions"]:
        count = len(ended["sessions"])
        more_than = "more than " if "next" in ended else ""
        lines.append(f"{more_than}{count} more {'has' if count == 1 else 'have'} ended; --all shows them.")
    if not lines:
        lines.append(f"No sessions. {START_A_SESSION}")
    streams.say("\n".join(lines))
    return 0


def _first(client: AnyClient, limit: int | None, **filters: Any) -> tuple[list[SessionDoc], bool]:
    """The first `limit` sessions, and whether there may be more."""
    if limit is None:
        return client.sessions(**filters), False
    page = client.session_page(limit=limit, **filters)
    shown = page["sessions"]
    # The broker's pages may be shorter.
    while "next" in page and len(shown) < limit:
        page = client.session_page(limit=limit - len(shown), after=page["next"], **filters)
        shown += page["sessions"]
    return shown, "next" in page


def table(sessions: list[SessionDoc], own: str | None) -> list[str]:
    from maestro_clients.texts.ages import age
    from maestro_clients.texts.fence import named
    from maestro_clients.texts.presence_words import brief

    if not sessions:
        return []
    now = now_ms()
    rows = [("ID", "NAME", "ROLE", "PROJECT", "STATE", "LAST SEEN")]
    rows += [
        (
            session["id"],
            named(session.get("name", "-")),
            session["role"],
            named(session["projectId"]),
            brief(session.get("presence"), now),
            age(session["lastActivity"], now) + (" (you)" if session["id"] == own else ""),
        )
        for session in sessions
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
