"""`maestro message read`: acknowledge messages.

Rule: `read` implies `delivered`, and that means that the text was written out. So the text of a message that was
never shown is written out first.
"""

from __future__ import annotations

from maestro_cli.addressing.message_ids import resolve_all
from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_cli.output.results import failed, report_results
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import AsOption, Option, YesOption
    from maestro_clients.one_shot_client import AnyClient
    from maestro_clients.texts.display_names import DisplayNames
    from maestro_clients.texts.short_ids import ShortIds
    from maestro_schemas.documents import ItemResultDoc, MessageDoc

USAGE = "maestro message read ID... [OPTIONS]"
DETAILS = """\
Only the receiver may acknowledge a message; its sender is notified. A message
that was not shown yet is printed first. In a person's shell without a session
it acknowledges what agents sent to `operator`, and nothing else.

Examples:
  maestro message read k3v9
  maestro message read k3v9 p0q8"""


def run(
    *message_ids: Annotated[str, Option(name="ID", help="The messages' ids; one or more.")],
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[bool, Option(name="--json", help='Print {"results": [...]} as JSON.')] = False,
) -> int:
    """Acknowledge messages."""
    from maestro_cli.arguments import at_least_one

    at_least_one("ID", message_ids)
    context = CommandContext.here(speaks_as, sure=yes).at_mailbox(sure=yes)
    session = context.session()
    with context.client() as client:
        ids = resolve_all(client, message_ids)
        unseen = [] if as_json else _show_unseen(context, client, ids, session)
        results = client.confirm(ids, "read", via="cli")
        if session == OPERATOR:
            results = [_explained(client, result) for result in results]

    def sentence(done: list[str]) -> str:
        from maestro_clients.texts.short_ids import ShortIds

        short = ShortIds(done)
        senders = "its sender is" if len(done) == 1 else "their senders are"
        seen = " (shown above for the first time)" if unseen else ""
        return f"Acknowledged {', '.join(map(short.of, done))}; {senders} notified{seen}."

    return report_results(results, sentence, as_json=as_json)


def _explained(client: AnyClient, result: ItemResultDoc) -> ItemResultDoc:
    """The operator can see mail of others, and not acknowledge it: the broker says so if their mailbox is named."""
    if result.get("error", {}).get("code") != "MESSAGE_NOT_FOUND":
        return result
    try:
        receiver = client.message(result["id"])["to"]
    except MaestroError:
        return result
    try:
        return client.confirm([result["id"]], "read", session=receiver)[0]
    except MaestroError as error:
        return failed(result["id"], error)


def block(message: MessageDoc, names: DisplayNames, short: ShortIds) -> str:
    """The message as it is shown to who acknowledges it: without its request for that."""
    from maestro_cli.output.render import message_block

    metadata = {key: value for key, value in message.get("metadata", {}).items() if key != "requiresAck"}
    return message_block({**message, "metadata": metadata}, names, now_ms(), short)  # type: ignore[typeddict-item]


def _show_unseen(context: CommandContext, client: AnyClient, ids: list[str], session: str) -> list[str]:
    from maestro_cli.output import screen
    from maestro_clients.texts.display_names import DisplayNames
    from maestro_clients.texts.short_ids import of_messages

    unseen = []
    for message_id in ids:
        try:
            found = client.message_with_people(message_id)
        except MaestroError as error:
            if error.kind != "client":
                raise
            continue  # its own result will say so; the others are acknowledged
        message = found["message"]
        context.locate([message], client)
        if message["to"] == session and message["status"] == "pending":
            streams.say(screen.fit(block(message, DisplayNames(found.get("people", {})), of_messages([message]))))
            unseen.append(message_id)
    return unseen
