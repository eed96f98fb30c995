"""`maestro message read`: acknowledge.

Rule: read implies delivered, and delivered means that the text was written out; so the text of a message that
was never shown is written out first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_cli.output.results import report_results

if TYPE_CHECKING:
    from maestro_clients.client import Client

read = App(
    name="read",
    usage="maestro message read ID... [OPTIONS]",
    help_epilogue="""\
It is for the receiver, and its sender is told. A message that was not shown yet
is printed first.

Examples:
  maestro message read msg_1770536761607_k3v9x2m1a
  maestro message read msg_1770536761607_k3v9x2m1a msg_1770536761700_p0q8w7e6r""",
)


@read.default
def run(
    *message_ids: Annotated[str, Parameter(name="ID", help="The messages' ids; one or more.")],
    as_json: Annotated[bool, Parameter(name="--json", help='Print {"results": [...]} as JSON.')] = False,
) -> int:
    """Acknowledge messages."""
    from maestro_cli.arguments import at_least_one

    ids = list(dict.fromkeys(at_least_one("ID", message_ids)))
    context = CommandContext.here()
    session = context.session()
    with context.client() as client:
        unseen = [] if as_json else _show_unseen(client, ids, session)
        results = client.confirm(ids, "read", via="cli")
    senders = "its sender is" if len(ids) == 1 else "their senders are"
    seen = " (shown above for the first time)" if unseen else ""
    return report_results(results, f"Acknowledged {', '.join(ids)}; {senders} told{seen}.", as_json=as_json)


def _show_unseen(client: Client, ids: list[str], session: str) -> list[str]:
    from maestro_cli.output.display_names import DisplayNames
    from maestro_cli.output.render import message_block

    names = DisplayNames(client)
    unseen = []
    for message_id in ids:
        message = client.message(message_id)
        if message["to"] == session and message["status"] == "pending":
            # Without its own request for an acknowledgement, which is being met.
            shown = {key: value for key, value in message.items() if key != "metadata"}
            metadata = {key: value for key, value in message.get("metadata", {}).items() if key != "requiresAck"}
            streams.say(message_block({**shown, "metadata": metadata}, names.label(message["from"]), now_ms()))  # type: ignore[typeddict-item]
            unseen.append(message_id)
    return unseen
