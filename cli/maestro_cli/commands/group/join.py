"""`maestro group join`: become a member of a group.

Rule: a session joins by itself only in its own project; an orchestrator joins any group.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
From then on this session gets what is sent to the group. What was sent before
stays with those that were members then.

Examples:
  maestro group join reviews"""


def run(
    name: Annotated[str, Option(name="NAME", help="The group.")],
    /,
    *,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"group", "created", "added", "removed"} as JSON.')
    ] = False,
) -> int:
    """Join a group."""
    from maestro_cli.output import group_text

    context = CommandContext.here()
    session = context.session()
    with context.client() as client:
        reply = client.set_group(name, add=[session])
    group = reply["group"]
    if as_json:
        streams.say_json(group_text.change_json(reply))
    elif reply.get("added"):
        streams.tell(f"Joined @{group['name']}: it has {group_text.members_count(group)}.")
    else:
        streams.tell(f"Nothing changed: this session was a member of @{group['name']} already.")
    return 0
