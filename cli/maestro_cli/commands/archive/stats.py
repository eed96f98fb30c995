"""`maestro stats`: figures of what was sent, and of what became of it.

Rule: the live counters of the broker are those of `maestro status`; these figures come from the mail itself.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Literal

    from maestro_cli.options import AsOption, Option, YesOption

DETAILS = """\
Message volume, delivery success rate, response time (the average and the
median), collaboration patterns (who works with whom), the most active routes,
refusals, and requests without an answer. A session sees the figures of its own
mail, an orchestrator also its project's, the operator all.

Examples:
  maestro stats
  maestro stats --since 7d --by day
  maestro stats --by pair --project shop
  maestro stats --session ann --json"""


def run(
    *,
    since: Annotated[
        str | None, Option(metavar="TIME", help="From this time on: 2h ago, a day, or a moment. Default: 24h.")
    ] = None,
    until: Annotated[str | None, Option(metavar="TIME", help="Before this time. Default: now.")] = None,
    by: Annotated[
        Literal["route", "session", "hour", "day", "code", "pair"] | None, Option(help="Only this list, whole.")
    ] = None,
    session: Annotated[str | None, Option(metavar="SESSION", help="Only the mail of this session.")] = None,
    project: Annotated[
        str | None, Option(metavar="PROJECT", help="Only messages with a party of this project.")
    ] = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[bool, Option(name="--json", help="Print all figures as one JSON object.")] = False,
) -> int:
    """Show figures."""
    from maestro_cli.archive import stats_view, times
    from maestro_cli.output.tables import terminal_width

    since_ms, until_ms = times.window(since, until)
    context = CommandContext.here(speaks_as, sure=yes)
    context.check_person("the figures", "stats", sure=yes)
    with context.client() as client:
        figures = client.analytics(
            since=since_ms,
            until=until_ms,
            session=session,
            project=project,
            bucket=by if by in ("hour", "day") else None,
            utc_offset_minutes=times.utc_offset_minutes(),
        )
    if as_json:
        streams.say_json(figures)
        return 0
    view = stats_view.StatsView(figures, now_ms(), terminal_width(context.environ), session)
    streams.say("\n".join(view.overview() if by is None else view.only(by)))
    for note in view.notes():
        streams.note(f"maestro: {note}")
    return 0
