"""`maestro group list`: the groups.

Rule: the JSON is one array.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Examples:
  maestro group list
  maestro group list --members --project shop --json"""


def run(
    *,
    project: Annotated[str | None, Option(metavar="PROJECT", help="Only groups of this project.")] = None,
    members: Annotated[bool, Option(help="Also the members of each.")] = False,
    as_json: Annotated[bool, Option(name="--json", help="Print the groups as a JSON array.")] = False,
) -> int:
    """List groups."""
    context = CommandContext.here()
    with context.client() as client:
        groups = client.groups(project_id=project, members=members)
    if as_json:
        streams.say_json(groups)
        return 0
    if not groups:
        streams.tell("No groups. To make one: maestro group create NAME MEMBER...")
        return 0
    from maestro_cli.output.group_text import group_table
    from maestro_cli.output.tables import terminal_width

    streams.say("\n".join(group_table(groups, now_ms(), terminal_width(context.environ), members=members)))
    return 0
