"""`maestro message thread`: the conversation that a message is in.

Rule: showing it changes nothing; `inbox` delivers.
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
For its sender, its receiver, and the operator.

Examples:
  maestro message thread k3v9
  maestro message thread k3v9 --json"""


def run(
    message_id: Annotated[str, Option(name="ID", help="Any message of the thread.")],
    /,
    *,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"threadId", "messages": [...], "count", "hasMore"}.')
    ] = False,
) -> int:
    """Show a thread."""
    context = CommandContext.here(speaks_as, sure=yes)
    with context.client() as client:
        found = client.thread(resolve(client, message_id), people=not as_json)
        messages = found["messages"]
        context.locate(messages, client)
    if as_json:
        streams.say_json({**found, "count": len(messages)})
        return 0
    from maestro_cli.output import screen
    from maestro_cli.output.render import message_block
    from maestro_clients.texts.display_names import DisplayNames
    from maestro_clients.texts.short_ids import of_messages

    short = of_messages(messages)
    names, now = DisplayNames(found.get("people", {})), now_ms()
    blocks = [
        f"{message_block(message, names, now, short)}\n  to {names.label(message['to'])}, {message['status']}"
        for message in messages
    ]
    streams.say(screen.fit("\n\n".join(blocks)))
    if found["hasMore"]:
        streams.note(f"maestro: the thread {found['threadId']} has more messages than one reply holds")
    return 0
