"""`maestro message delete`: delete messages from the inbox, for good.

Rule: the receiver or the operator deletes; the sender can still see that the message was deleted.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output.results import report_results

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

USAGE = "maestro message delete ID... [OPTIONS]"
DETAILS = """\
Examples:
  maestro message delete msg_1770536761607_k3v9x2m1a
  maestro message delete msg_1770536761607_k3v9x2m1a --json"""


def run(
    *message_ids: Annotated[str, Option(name="ID", help="The messages' ids; one or more.")],
    as_json: Annotated[bool, Option(name="--json", help='Print {"results": [...]} as JSON.')] = False,
) -> int:
    """Delete messages."""
    from maestro_cli.arguments import at_least_one

    ids = list(dict.fromkeys(at_least_one("ID", message_ids)))
    context = CommandContext.here()
    with context.client() as client:
        # The operator has no mailbox: each message is deleted from its receiver's.
        if context.own_session:
            results = client.delete(ids)
        else:
            results = [
                result
                for message_id in ids
                for result in client.delete([message_id], session=client.message(message_id)["to"])
            ]
    return report_results(results, f"Deleted {', '.join(ids)}.", as_json=as_json)
