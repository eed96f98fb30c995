"""`maestro group leave`: be a member of a group no longer.

Rule: a session may always leave, also after it has ended.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Examples:
  maestro group leave reviews"""


def run(
    name: Annotated[str, Option(name="NAME", help="The group.")],
    /,
    *,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"group", "created", "added", "removed"} as JSON.')
    ] = False,
) -> int:
    """Leave a group."""
    from maestro_cli.output import group_text

    context = CommandContext.here()
    session = context.session()
    with context.client() as client:
        reply = client.set_group(name, remove=[session])
    group = reply["group"]
    if as_json:
        streams.say_json(group_text.change_json(reply))
    elif reply.get("removed"):
        streams.tell(f"Left @{group['name']}: it has {group_text.members_count(group)}.")
    else:
        streams.tell(f"Nothing changed: this session was no member of @{group['name']}.")
    return 0
