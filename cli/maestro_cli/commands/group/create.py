"""`maestro group create`: make a group.

Rule: the same again is a repeat; any other group of the name is a conflict.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

USAGE = "maestro group create NAME [MEMBER...] [OPTIONS]"
DETAILS = """\
A group is an address of several sessions: --to @NAME. Its members, the session
that made it, and orchestrators may write to it. A session that makes a group
gets what is sent to it only as a member: maestro group join NAME. A session
that ends stays a member, and gets nothing meanwhile.

Examples:
  maestro group create reviews bob carol
  maestro send --to @reviews --message "The branch is ready."
  maestro group create reviews --project shop"""


def run(
    name: Annotated[str, Option(name="NAME", help="1 to 32 of a-z, 0-9 and -.")],
    /,
    *members: Annotated[str, Option(name="MEMBER", help="Ids or names of its first members.")],
    project: Annotated[
        str | None,
        Option(metavar="PROJECT", help="Whose sessions may join. Default: this session's, or the members'."),
    ] = None,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"group", "created", "added", "removed"} as JSON.')
    ] = False,
) -> int:
    """Make a group."""
    from maestro_cli.output import group_text
    from maestro_clients.texts.fence import named

    context = CommandContext.here()
    with context.client() as client:
        reply = client.set_group(name, create=True, project_id=project, add=members)
    group = reply["group"]
    if as_json:
        streams.say_json(group_text.change_json(reply))
        return 0
    count = group_text.members_count(group)
    lines = [
        f"Made @{group['name']} in project {named(group['projectId'])}: {count}."
        if reply.get("created")
        else f"Nothing changed: you have made @{group['name']} before; it has {count}."
    ]
    if not group["size"]:
        lines.append(f"To fill it: maestro group add {group['name']} MEMBER, or, as a member: group join.")
    lines.append(f"To write to it: maestro send --to @{group['name']} --message TEXT")
    streams.say("\n".join(lines))
    return 0
