"""`maestro threads`: the conversations, the one with the newest message first.

Rule: showing them marks nothing.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import COUNTS, LSNS, AsOption, Option, YesOption

DETAILS = """\
A thread is a message with its answers, and theirs. `message thread ID` shows
one, and `export thread ID` writes it.

Examples:
  maestro threads
  maestro threads --session ann --limit 5
  maestro threads --json"""

DEFAULT_COUNT = 20


def run(
    *,
    limit: Annotated[
        int,
        Option(
            numbers=COUNTS, name=["--limit", "-n"], metavar="N", help=f"Show at most N. Default: {DEFAULT_COUNT}."
        ),
    ] = DEFAULT_COUNT,
    before: Annotated[
        int | None, Option(numbers=LSNS, metavar="LSN", help="The next page: what the page before says of itself.")
    ] = None,
    session: Annotated[str | None, Option(metavar="SESSION", help="Only threads of this session.")] = None,
    project: Annotated[
        str | None, Option(metavar="PROJECT", help="Only threads with a party of this project.")
    ] = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"threads": [...], "hasMore", "before", ...} as JSON.')
    ] = False,
) -> int:
    """List the threads."""
    from maestro_cli.archive import threads_view

    context = CommandContext.here(speaks_as, sure=yes)
    context.check_person("the list of threads", "threads", sure=yes)
    filters = {"before": before, "session": session, "project": project}
    return threads_view.run(context, filters, limit, as_json=as_json)
