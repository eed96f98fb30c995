"""`maestro attachment list`: the files of a message."""

from __future__ import annotations

from maestro_cli.addressing.message_ids import resolve
from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import AsOption, Option, YesOption

DETAILS = """\
One line a file: its name, its size, its type by the name, and where this
machine has it. For the message's sender, its receiver, and the operator.

Examples:
  maestro attachment list k3v9
  maestro attachment list k3v9 --json"""


def run(
    message_id: Annotated[str, Option(name="ID", help="The message's id.")],
    /,
    *,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[bool, Option(name="--json", help='Print {"id", "attachments": [...]} as JSON.')] = False,
) -> int:
    """List the files of a message."""
    context = CommandContext.here(speaks_as, sure=yes)
    with context.client() as client:
        message = client.message(resolve(client, message_id))
    # Nothing is fetched for a list.
    context.locate([message], None)
    if as_json:
        streams.say_json({"id": message["id"], "attachments": message.get("attachments", [])})
        return 0
    from maestro_cli.output import screen
    from maestro_clients.texts import file_lines

    streams.say(screen.fit("\n".join(file_lines.lines(message)) or f"{message['id']} has no files."))
    return 0
