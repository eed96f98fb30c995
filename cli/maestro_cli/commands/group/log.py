"""`maestro group log`: what was said in a group, with the texts.

Rule: the same as `maestro log @NAME`; nothing is marked.
"""

from __future__ import annotations

from maestro_cli.commands import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import COUNTS, Option

DETAILS = """\
The same as `maestro log @NAME`: the newest messages, the oldest of them first.
A member sees what was sent since it joined; an orchestrator of the group's
project and the operator see all. Nothing is marked as read.

Examples:
  maestro group log reviews
  maestro group log reviews --limit 50 --json"""


def run(
    name: Annotated[str, Option(name="NAME", help="The group.")],
    /,
    *,
    follow: Annotated[
        bool, Option(name=["--follow", "-f"], help="Then print new ones as they come, until Ctrl-C.")
    ] = False,
    since: Annotated[
        str | None, Option(metavar="TIME", help="Only from this time on: 2h ago, a day, or a moment.")
    ] = None,
    limit: Annotated[
        int, Option(numbers=COUNTS, name=["--limit", "-n"], metavar="N", help="Show at most N. Default: 20.")
    ] = log.DEFAULT_COUNT,
    as_json: Annotated[bool, Option(name="--json", help="Print one JSON object per message and line.")] = False,
) -> int:
    """Show what was said in a group."""
    return log.run(f"@{name.removeprefix('@')}", follow=follow, since=since, limit=limit, as_json=as_json)
