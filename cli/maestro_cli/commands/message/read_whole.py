"""`maestro read`: print messages whole, and acknowledge them.

Rule: it prints what it is asked for, also what was shown before; `message read` only acknowledges. A status changes
after the text was written out.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.addressing.message_ids import resolve_all
from maestro_cli.context import CommandContext
from maestro_cli.output import screen, streams
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import LAST_ADDRESS, OPERATOR, SYSTEM_SENDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Annotated

    from maestro_cli.options import AsOption, Option, YesOption
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import MessageDoc, PersonDoc

USAGE = "maestro read [ID...] [OPTIONS]"
DETAILS = """\
ID is a message's id, the beginning of it, or `last`, the newest in your inbox,
which is also meant without an id. Its sender is notified that you read it. A
message that you sent, or that is another's, is only printed. To acknowledge
mail without printing it again: maestro message read ID.

Examples:
  maestro read
  maestro read k3v9
  maestro read last --json"""

_OPEN = ("pending", "delivered")


def run(
    *message_ids: Annotated[str, Option(name="ID", help="The messages; without one, the newest in the inbox.")],
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[bool, Option(name="--json", help='Print {"messages": [...], "count"} as JSON.')] = False,
) -> int:
    """Read messages."""
    context = CommandContext.here(speaks_as, sure=yes).at_mailbox(sure=yes)
    session = context.session()
    with context.client() as client:
        messages: list[MessageDoc] = []
        problems: list[MaestroError] = []
        for message_id in resolve_all(client, message_ids or [LAST_ADDRESS]):
            try:
                found = client.message_with_people(message_id)
            except MaestroError as error:
                if error.kind != "client":
                    raise
                problems.append(error)  # the others are shown
                continue
            messages.append(found["message"])
            context.locate(messages[-1:], client)
            if not as_json:
                streams.say(screen.fit(_shown(messages[-1], found.get("people", {}), session)) + "\n")
        if as_json:
            document = {"messages": messages, "count": len(messages)}
            if problems:
                streams.complain(problems[0], as_json=True, extra=document)
            else:
                streams.say_json(document)
        acknowledged, refused = _acknowledged(client, messages, session)
    if not as_json:
        _report(acknowledged, messages, session)
    # In JSON, the first problem is reported, and the one object of this command is out.
    for problem in [*(() if as_json else problems), *refused]:
        streams.complain(problem, as_json=False)
    problems += refused
    return exit_codes.of(problems[0]) if problems else exit_codes.DONE


def _shown(message: MessageDoc, people: Mapping[str, PersonDoc], session: str) -> str:
    from maestro_clients.texts.display_names import DisplayNames
    from maestro_clients.texts.short_ids import of_messages

    from .read import block

    names, short = DisplayNames(people), of_messages([message])
    if message["to"] == session and message["status"] in _OPEN:
        return block(message, names, short)
    state = "acknowledged before" if message["status"] == "read" else message["status"]
    to = "" if message["to"] == session else f"to {names.label(message['to'])}, "
    return f"{block(message, names, short)}\n  {to}{state}"


def _acknowledged(
    client: AnyClient, messages: list[MessageDoc], session: str
) -> tuple[list[str], list[MaestroError]]:
    ids = [each["id"] for each in messages if each["to"] == session and each["status"] in _OPEN]
    results = client.confirm(ids, "read", via="cli") if ids else []
    refused = [MaestroError.from_body(result["error"]) for result in results if "error" in result]
    return [result["id"] for result in results if "error" not in result], refused


def _report(acknowledged: list[str], messages: list[MessageDoc], session: str) -> None:
    from maestro_clients.texts.short_ids import ShortIds

    short = ShortIds(each["id"] for each in messages)
    lines = []
    if acknowledged:
        senders = "its sender is" if len(acknowledged) == 1 else "their senders are"
        lines.append(f"Acknowledged {', '.join(map(short.of, acknowledged))}; {senders} notified.")
    answerable = [each for each in messages if each["to"] == session and each["from"] != SYSTEM_SENDER]
    if answerable:
        speaker = " --as operator" if session == OPERATOR else ""
        lines.append(f'Reply: maestro reply {short.of(answerable[-1]["id"])} "..."{speaker}')
    if lines:
        streams.say("\n".join(lines))
