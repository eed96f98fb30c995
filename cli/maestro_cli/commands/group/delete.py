"""`maestro group delete`: delete a group.

Rule: the mail that was sent to it stays in its mailboxes.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
For the session that made the group, orchestrators of its project, and the
operator. A group that has had no active member for its project's retention
goes by itself.

Examples:
  maestro group delete reviews"""


def run(
    name: Annotated[str, Option(name="NAME", help="The group.")],
    /,
    *,
    as_json: Annotated[bool, Option(name="--json", help='Print {"name", "size"} as JSON.')] = False,
) -> int:
    """Delete a group."""
    context = CommandContext.here()
    with context.client() as client:
        reply = client.delete_group(name)
    if as_json:
        streams.say_json(reply)
    else:
        streams.tell(f"Deleted @{reply['name']}; the mail that was sent to it stays in its mailboxes.")
    return 0
