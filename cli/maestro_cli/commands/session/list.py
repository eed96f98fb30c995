"""`maestro session list`: the sessions that can receive messages, what they are and where they work.

Rule: only active ones, unless all are asked for; it reports how many it left out. The JSON is one array.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import START_A_SESSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Annotated, Any

    from maestro_cli.options import COUNTS, Option
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import SessionDoc

DETAILS = """\
What each session is and where it works: NEW is the mail that it was not shown.
`maestro who` says what each does now, since when, and who waits for a person.
`maestro session end --gone` ends those whose process is gone.

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
        unread = _unread(client, shown, project)
        ended = (
            None if every or as_json else client.session_page(project_id=project, active=False, limit=_COUNTED_MAX)
        )
    if as_json:
        streams.say_json([_with_unread(session, unread) for session in shown])
        return 0
    lines = table(shown, context, unread)
    if more:
        lines.append("There are more; a greater --limit, or none, shows them.")
    gone = sum("presence" in session and session["presence"]["state"] == "gone" for session in shown)
    if gone:
        lines.append(
            f"The process of {gone:,} has ended: maestro session end --gone ends {'it' if gone == 1 else 'them'}."
        )
    if ended is not None and ended["sessions"]:
        count = len(ended["sessions"])
        more_than = "more than " if "next" in ended else ""
        lines.append(f"{more_than}{count} more {'has' if count == 1 else 'have'} ended; --all shows them.")
    if not lines:
        lines.append(f"No sessions. {START_A_SESSION}")
    streams.tell("\n".join(lines))
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


def _unread(client: AnyClient, shown: Sequence[SessionDoc], project: str | None) -> dict[str, int]:
    """How much mail each active session was not shown, where this caller may know it."""
    wanted = {session["id"] for session in shown if "completedAt" not in session}
    unread: dict[str, int] = {}
    after = None
    # In pages of the same order, so that the first of many sessions cost one request.
    while wanted:
        page = client.presence_page(project_id=project, after=after)
        for line in page["presence"]:
            wanted.discard(line["session"])
            if "unread" in line:
                unread[line["session"]] = line["unread"]
        after = page.get("next")
        if after is None:
            break
    return unread


def _with_unread(session: SessionDoc, unread: Mapping[str, int]) -> dict[str, Any]:
    found = unread.get(session["id"])
    return {**session} if found is None else {**session, "unread": found}


def table(sessions: Sequence[SessionDoc], context: CommandContext, unread: Mapping[str, int]) -> list[str]:
    """The lines of these sessions, as wide as the terminal."""
    from maestro_cli.output.tables import terminal_width
    from maestro_cli.presence import session_table

    return session_table.lines(
        sessions,
        unread,
        own=context.own_session,
        home=context.environ.get("HOME", ""),
        now_ms=now_ms(),
        width=terminal_width(context.environ),
    )
