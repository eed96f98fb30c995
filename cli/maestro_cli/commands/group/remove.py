"""`maestro group remove`: take sessions out of a group.

Rule: all or none of them. One that is no member is no error, if there is such a session.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

USAGE = "maestro group remove NAME MEMBER... [OPTIONS]"
DETAILS = """\
For the session that made the group, orchestrators of its project, and the
operator. A session takes itself out with `maestro group leave`.

Examples:
  maestro group remove reviews bob"""


def run(
    name: Annotated[str, Option(name="NAME", help="The group.")],
    /,
    *members: Annotated[str, Option(name="MEMBER", help="Ids or names of members; one or more.")],
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"group", "created", "added", "removed"} as JSON.')
    ] = False,
) -> int:
    """Take members out of a group."""
    from maestro_cli.arguments import at_least_one
    from maestro_cli.output import group_text

    removed = at_least_one("MEMBER", members)
    context = CommandContext.here()
    with context.client() as client:
        reply = client.set_group(name, remove=removed)
    group = reply["group"]
    if as_json:
        streams.say_json(group_text.change_json(reply))
    elif reply.get("removed"):
        count = len(reply["removed"])
        who = "one member" if count == 1 else f"{count} members"
        streams.tell(f"Took {who} out of @{group['name']}: it has {group_text.members_count(group)}.")
    else:
        streams.tell(f"Nothing changed: @{group['name']} had no such member.")
    return 0
