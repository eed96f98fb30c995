"""`maestro timeline`: what happened, without any message text.

Rule: the newest lines, oldest of them first; a session sees its own, an orchestrator its project's, a person all.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from maestro_cli import output
from maestro_cli.arguments import positive
from maestro_cli.desk import Desk, now_ms

timeline = App(
    name="timeline",
    help_epilogue="""Examples:
  maestro timeline
  maestro timeline --session sess_b --limit 200
  maestro timeline --after 1041 --json""",
)

_DEFAULT_LINES = 50


@timeline.default
def run(
    *,
    session: Annotated[str | None, Parameter(metavar="SESSION", help="Only what concerns this session.")] = None,
    limit: Annotated[
        int, Parameter(metavar="N", help=f"How many lines at most. Default: {_DEFAULT_LINES}.")
    ] = _DEFAULT_LINES,
    after: Annotated[
        int | None,
        Parameter(
            metavar="LSN", help="Only lines after this number (LSN), the first column. Default: the newest lines."
        ),
    ] = None,
    as_json: Annotated[bool, Parameter(name="--json", help="Print one JSON object per line.")] = False,
) -> int:
    """Show the timeline."""
    positive("--limit", limit)
    desk = Desk.here()
    with desk.client() as client:
        # By its name too; and a session that there is not is told, rather than that nothing happened to it.
        party = None if session is None else client.session(session)["id"]
        reply = client.events(-1 if after is None else after, limit=limit, session=party)
    events = reply["events"]
    if as_json:
        for event in events:
            output.say_json(event)
        return 0
    from maestro_cli.render import event_line

    if not events:
        output.say("Nothing has happened yet." if after is None else f"Nothing has happened after {after}.")
        return 0
    now = now_ms()
    output.say("\n".join(event_line(event, now) for event in events))
    if after is not None and reply["hasMore"]:
        output.note(f"maestro: there is more; go on with --after {reply['upTo']}")
    return 0
