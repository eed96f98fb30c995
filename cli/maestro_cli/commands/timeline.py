"""`maestro timeline`: what happened, without any message text.

Rule: the newest lines, the oldest of them first. A session sees its own lines, an orchestrator its project's, the
operator all.
"""

from __future__ import annotations

from maestro_cli.arguments import moment_ms
from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import COUNTS, LSNS, AsOption, Option, YesOption

DETAILS = """\
A time is a duration before now (1h, 30m), a day (2026-11-22) or a moment in
local time (2026-11-22T10:00). An event is named by its name or its last word:
expired, refused, delivered, session.ended; `message` and `session` are groups.

Examples:
  maestro timeline
  maestro timeline --since 1h --event refused --event expired
  maestro timeline --message k3v9
  maestro timeline --follow --json | jq .event
  maestro timeline --session sess_b --limit 200
  maestro timeline --after 1041 --json"""

_DEFAULT_LINES = 50


def run(
    *,
    session: Annotated[str | None, Option(metavar="SESSION", help="Only lines about this session.")] = None,
    message: Annotated[str | None, Option(metavar="ID", help="Only lines about this message.")] = None,
    event: Annotated[list[str] | None, Option(metavar="NAME", help="Only these events; may be repeated.")] = None,
    since: Annotated[str | None, Option(metavar="TIME", help="Only lines from this time on.")] = None,
    until: Annotated[str | None, Option(metavar="TIME", help="Only lines before this time.")] = None,
    limit: Annotated[
        int, Option(numbers=COUNTS, metavar="N", help=f"Show at most N lines. Default: {_DEFAULT_LINES}.")
    ] = _DEFAULT_LINES,
    after: Annotated[
        int | None,
        Option(
            numbers=LSNS,
            metavar="LSN",
            help="Only lines after this number (LSN), the first column. Default: the newest lines.",
        ),
    ] = None,
    follow: Annotated[
        bool, Option(name=["--follow", "-f"], help="Then show new lines as they come, until Ctrl-C.")
    ] = False,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[bool, Option(name="--json", help="Print one JSON object per line.")] = False,
) -> int:
    """Show the timeline."""
    from maestro_cli.history import timeline_view

    context = CommandContext.here(speaks_as, sure=yes)
    since_ms = None if since is None else moment_ms("--since", since)
    until_ms = None if until is None else moment_ms("--until", until)
    words = tuple(word for given in event or () for word in given.split(",") if word.strip())
    with context.client() as client:
        # A name is allowed, too. An unknown session is an error, not an empty timeline.
        party = None if session is None else client.session(session)["id"]
        if message is not None:
            from maestro_cli.addressing.message_ids import resolve

            message = resolve(client, message)
        wanted = timeline_view.TimelineQuery(party, message, words, since_ms, until_ms, after, limit)
        found = timeline_view.find(client, wanted)
        topic = party
        if follow and topic is None and context.caller.session is not None:
            # A session subscribes to its own events; an orchestrator, like the operator, to all.
            own = client.session()
            topic = None if own["role"] == "orchestrator" else own["id"]
    for line in found.events:
        timeline_view.show(line, as_json=as_json)
    if follow:
        timeline_view.follow(context, wanted, topic, found.cursor, as_json=as_json)
        return 0
    if as_json:
        return 0
    if not found.events:
        if wanted.is_search:
            streams.tell("Nothing of that kind has happened.")
        else:
            streams.tell("Nothing has happened yet." if after is None else f"Nothing has happened after {after}.")
    elif found.has_more and after is not None:
        streams.note(f"maestro: there is more; go on with --after {found.cursor}")
    elif found.has_more:
        streams.note(f"maestro: these are the newest {limit}; --limit shows more")
    return 0
