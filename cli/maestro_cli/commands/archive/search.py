"""`maestro search`: find messages by words, people, times and more.

Rule: it shows and marks nothing. The syntax is that of `maestro_schemas.texts.search_query`, which the broker reads.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import COUNTS, LSNS, AsOption, Option, YesOption

USAGE = "maestro search QUERY [OPTIONS]"
DETAILS = """\
All words must be in a message. "two words" in quotes are a phrase, cart* is the
beginning of a word, -word excludes. Quote the query for the shell:

  from:ann  to:ben  with:cid  project:shop  group:reviews  task:ID  thread:ID
  type:request  priority:high  status:pending  is:unread  is:unanswered
  is:fanout  has:attachment  has:ack  file:*.patch
  after:2026-11-30  after:2h  before:yesterday

A session finds what it sent and got, an orchestrator also its project's mail,
the operator (a shell without a session) all. Nothing is marked.

Examples:
  maestro search cart
  maestro search 'from:ann "main is red" after:2h'
  maestro search -- '-type:notification is:unanswered to:me'
  maestro search 'has:attachment file:*.patch' --json"""

DEFAULT_COUNT = 50


def run(
    *query: Annotated[str, Option(name="QUERY", help="Words and operators.")],
    limit: Annotated[
        int,
        Option(
            numbers=COUNTS, name=["--limit", "-n"], metavar="N", help=f"Show at most N. Default: {DEFAULT_COUNT}."
        ),
    ] = DEFAULT_COUNT,
    before: Annotated[
        int | None, Option(numbers=LSNS, metavar="LSN", help="The next page: what the page before says of itself.")
    ] = None,
    session: Annotated[str | None, Option(metavar="SESSION", help="Only the mail of this session.")] = None,
    project: Annotated[
        str | None, Option(metavar="PROJECT", help="Only messages with a party of this project.")
    ] = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"hits": [...], "total", "hasMore", "before", "tookMs", ...}.')
    ] = False,
) -> int:
    """Search."""
    from maestro_cli.archive import search_view, times
    from maestro_cli.arguments import checked_text

    text = " ".join(checked_text("QUERY", word) for word in query).strip()
    if not text:
        raise MaestroError("INVALID", "the query is empty", "Give a word. `maestro log` shows the newest messages.")
    context = CommandContext.here(speaks_as, sure=yes)
    context.check_person("a search", "search", sure=yes)
    filters = {
        "before": before,
        "session": session,
        "project": project,
        "utc_offset_minutes": times.utc_offset_minutes(),
    }
    return search_view.run(context, text, filters, limit, as_json=as_json)
