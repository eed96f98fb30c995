"""`maestro log`: what was said, with the texts.

Rule: it shows and marks nothing. `inbox` delivers, `timeline` says what happened without any text.
"""

from __future__ import annotations

from maestro_cli.arguments import moment_ms
from maestro_cli.context import CommandContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import COUNTS, AsOption, Option, YesOption

USAGE = "maestro log [PEER] [OPTIONS]"
DETAILS = """\
The newest messages, the oldest of them first. A session sees what it sent and
got, an orchestrator what was said in its project, the operator (a shell without
a session) all. With PEER, only what both have to do with. A message to several
sessions is shown once.

To read the log is not to read the mail: nothing is marked, and new mail stays
new. `maestro inbox` delivers it.

Examples:
  maestro log
  maestro log bob --limit 50
  maestro log @reviews --since 2h
  maestro log --follow
  maestro log --json | jq -r .message"""

DEFAULT_COUNT = 20


def run(
    peer: Annotated[
        str | None, Option(name="PEER", help="A session's id or name, or @ and the name of a group.")
    ] = None,
    /,
    *,
    follow: Annotated[
        bool, Option(name=["--follow", "-f"], help="Then print new ones as they come, until Ctrl-C.")
    ] = False,
    since: Annotated[
        str | None, Option(metavar="TIME", help="Only from this time on: 2h ago, a day, or a moment.")
    ] = None,
    limit: Annotated[
        int,
        Option(
            numbers=COUNTS, name=["--limit", "-n"], metavar="N", help=f"Show at most N. Default: {DEFAULT_COUNT}."
        ),
    ] = DEFAULT_COUNT,
    session: Annotated[
        str | None, Option(metavar="SESSION", help="The log as this session sees it; for the operator.")
    ] = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[bool, Option(name="--json", help="Print one JSON object per message and line.")] = False,
) -> int:
    """Show what was said."""
    from maestro_cli.history.log_view import LogQuery, LogView

    since_ms = None if since is None else moment_ms("--since", since)
    query = LogQuery(peer, session, None, since_ms, limit)
    context = CommandContext.here(speaks_as, sure=yes)
    context.check_person("the log", "log", sure=yes)
    return LogView(context, query, as_json=as_json).run(follow=follow)
