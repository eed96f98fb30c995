"""`maestro group show`: one group with its members."""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Examples:
  maestro group show reviews
  maestro group show reviews --json"""


def run(
    name: Annotated[str, Option(name="NAME", help="The group.")],
    /,
    *,
    as_json: Annotated[bool, Option(name="--json", help="Print the group as JSON.")] = False,
) -> int:
    """Show a group."""
    context = CommandContext.here()
    with context.client() as client:
        group = client.group(name)
    if as_json:
        streams.say_json(group)
        return 0
    from maestro_cli.output.group_text import group_lines
    from maestro_cli.output.tables import terminal_width

    streams.say("\n".join(group_lines(group, now_ms(), terminal_width(context.environ))))
    return 0
