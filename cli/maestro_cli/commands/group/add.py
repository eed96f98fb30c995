"""`maestro group add`: make sessions members of a group.

Rule: all or none of them. One that is a member already is no error.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

USAGE = "maestro group add NAME MEMBER... [OPTIONS]"
DETAILS = """\
For the session that made the group, orchestrators of its project, and the
operator. A worker adds only sessions that it may write to.

Examples:
  maestro group add reviews bob carol"""


def run(
    name: Annotated[str, Option(name="NAME", help="The group.")],
    /,
    *members: Annotated[str, Option(name="MEMBER", help="Ids or names of sessions; one or more.")],
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"group", "created", "added", "removed"} as JSON.')
    ] = False,
) -> int:
    """Add members to a group."""
    from maestro_cli.arguments import at_least_one
    from maestro_cli.output import group_text

    added = at_least_one("MEMBER", members)
    context = CommandContext.here()
    with context.client() as client:
        reply = client.set_group(name, add=added)
    group = reply["group"]
    if as_json:
        streams.say_json(group_text.change_json(reply))
    elif reply.get("added"):
        who = group_text.labels(group, reply["added"])
        streams.tell(f"Added {who} to @{group['name']}: it has {group_text.members_count(group)}.")
    else:
        streams.tell(f"Nothing changed: @{group['name']} had them as members already.")
    return 0
