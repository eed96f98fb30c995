"""`maestro message show`: one message and its status.

Rule: showing it to its receiver changes nothing; `inbox` delivers.
"""

from __future__ import annotations

from maestro_cli.addressing.message_ids import resolve
from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import AsOption, Option, YesOption

DETAILS = """\
For its sender, its receiver, and the operator. It changes nothing: `maestro
inbox` delivers.

Examples:
  maestro message show k3v9
  maestro message show k3v9 --json"""


def run(
    message_id: Annotated[str, Option(name="ID", help="The message's id.")],
    /,
    *,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[bool, Option(name="--json", help="Print the message as JSON.")] = False,
) -> int:
    """Show a message."""
    context = CommandContext.here(speaks_as, sure=yes)
    with context.client() as client:
        found = client.message_with_people(resolve(client, message_id))
        message = found["message"]
        context.locate([message], client)
    if as_json:
        streams.say_json(message)
        return 0
    from maestro_cli.output import screen
    from maestro_cli.output.render import history, message_block
    from maestro_clients.texts.display_names import DisplayNames

    names, now = DisplayNames(found.get("people", {})), now_ms()
    block = message_block(message, names, now)
    streams.say(screen.fit("\n".join([block, f"{message['status']}:", *history(message, now)])))
    return 0
