"""`maestro message show`: one message and what became of it.

Rule: showing it to its receiver changes nothing; `inbox` delivers.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

show = App(
    name="show",
    help_epilogue="""\
For its sender, its receiver, and a person. It changes nothing: `maestro inbox`
delivers.

Examples:
  maestro message show msg_1770536761607_k3v9x2m1a
  maestro message show msg_1770536761607_k3v9x2m1a --json""",
)


@show.default
def run(
    message_id: Annotated[str, Parameter(name="ID", help="The message's id.")],
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", help="Print the message as JSON.")] = False,
) -> int:
    """Show a message."""
    context = CommandContext.here()
    with context.client() as client:
        message = client.message(message_id)
        if as_json:
            streams.say_json(message)
            return 0
        from maestro_cli.output.display_names import DisplayNames
        from maestro_cli.output.render import history, message_block

        names = DisplayNames(client)
        sender, meant = names.label(message["from"]), names.meant(message)
    now = now_ms()
    streams.say(
        "\n".join([message_block(message, sender, now, meant=meant), f"{message['status']}:", *history(message, now)])
    )
    return 0
