"""`maestro message retry`: send a dead message again, as a new one.

Rule: the new id is derived from the old one, so running the command twice sends the message once. Only the sender
retries; a shell without a session must say that it is the operator.
"""

from __future__ import annotations

from maestro_cli import arguments, exit_codes
from maestro_cli.addressing.message_ids import resolve_dead
from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_cli.sending import send_flow
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import AsOption, OnEndedOption, Option, YesOption
    from maestro_schemas.documents import MessageDoc, ReceiptDoc

DETAILS = """\
For messages that expired, and for messages that waited in the outbox and were
then refused: `maestro message dead` lists both. Text, metadata, receiver and
time to live are those of the old message unless an option changes them.
Running it twice sends once. If the retry dies too, running it again sends
once more. A message to several goes to those that refused it, or for which it
expired, and to no other.

Examples:
  maestro message retry k3v9
  maestro message retry k3v9 --ttl 1d
  maestro message retry k3v9 --to carol
  maestro message retry k3v9 --on-ended queue"""


def run(
    message_id: Annotated[str, Option(name="ID", help="The dead message's id.")],
    /,
    *,
    to: Annotated[
        str | None, Option(name=["--to", "-t"], metavar="SESSION", help="Another receiver: an id, or a name.")
    ] = None,
    ttl: Annotated[
        str | None, Option(metavar="DURATION", help="How long it may wait this time, for example 1h.")
    ] = None,
    expires_at: Annotated[
        str | None,
        Option(name="--expires-at", metavar="TIME", help="Until when it may wait, for example 2026-11-22T10:00."),
    ] = None,
    on_ended: OnEndedOption = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[
        bool, Option(name="--json", help="Print the outcome as one JSON object; `retryOf` is the old id.")
    ] = False,
) -> int:
    """Send a dead message again."""
    from maestro_clients import dead_letters
    from maestro_clients.outbox import outbox_files

    ttl_ms = None if ttl is None else arguments.duration_ms("--ttl", ttl)
    context = CommandContext.here(speaks_as, sure=yes)
    sender = _sender(context, message_id)
    with context.client() as client:
        message_id = resolve_dead(client, context.data, sender, message_id)
        found = dead_letters.retry_of(client, context.data, sender, message_id)
        if found.taken_before is not None:
            code = _report_taken(message_id, found.taken_before, as_json=as_json)
        elif found.before is None:
            outgoing = found.outgoing
            if to is not None and found.is_for_several:
                raise MaestroError(
                    "INVALID",
                    f"{message_id} went to several sessions, and is sent again to those that did not take it",
                    "Leave --to off. For another receiver, send a new message: maestro send.",
                )
            if to is not None:
                outgoing["to"] = arguments.checked_text("--to", to)
            if ttl_ms is not None:
                outgoing["ttlMs"] = ttl_ms
            if expires_at is not None:
                outgoing["expiresAt"] = arguments.instant_ms("--expires-at", expires_at)
                if ttl_ms is None:
                    outgoing.pop("ttlMs", None)
            if on_ended is not None:
                outgoing["onEnded"] = on_ended
            if yes:
                outgoing["confirm"] = True
            files = outbox_files.kept_files(context.data, outgoing.get("attachments", []))
            try:
                code = send_flow.send(
                    context, outgoing, client=client, as_json=as_json, retry_of=message_id, files=files
                )
            except MaestroError as error:
                raise send_flow.explained(error, outgoing) from None
        else:
            wanted = None if to is None else client.session(to)["id"]
            code = _report_earlier(message_id, found.before, wanted, as_json=as_json)
    return code


def _sender(context: CommandContext, message_id: str) -> str:
    if not context.caller.session:
        raise MaestroError(
            "NO_SESSION",
            "this shell belongs to no session, and a message needs a sender: only its sender sends it again",
            f"Name the sender (`maestro message dead` shows it): MAESTRO_SESSION_ID=SENDER maestro message retry "
            f"{message_id}. It takes the sender's token, if it has one. Of what you sent yourself: --as operator.",
        )
    return context.caller.session


def _report_taken(message_id: str, made: ReceiptDoc, *, as_json: bool) -> int:
    """Report that every receiver has the message now, the last ones by an earlier retry."""
    if as_json:
        kept = {"id": made["id"], "counts": made["counts"], "recipients": made["recipients"]}
        streams.say_json({"status": "accepted", **kept, "duplicate": True, "retryOf": message_id})
    else:
        from maestro_clients.texts import receipt_lines

        streams.tell(f"{short_id(message_id)} was retried before, as {receipt_lines.head(made)}. Nothing was sent.")
    return exit_codes.DONE


def _report_earlier(message_id: str, made: MessageDoc, wanted: str | None, *, as_json: bool) -> int:
    """Report a retry that was made earlier. Raises MaestroError CONFLICT where that one has another receiver."""
    if wanted is not None and wanted not in (made["to"], made.get("originalTo")):
        raise MaestroError(
            "CONFLICT",
            f"{message_id} was retried before, as {made['id']} to {made['to']}; that one is {made['status']}",
            "For another receiver, send a new message: maestro session send.",
        )
    if as_json:
        streams.say_json(
            {
                "status": "accepted",
                "id": made["id"],
                "to": made["to"],
                "seq": made["seq"],
                "createdAt": made["createdAt"],
                "state": made["status"],
                "duplicate": True,
                "retryOf": message_id,
            }
        )
    else:
        streams.say(
            f"{short_id(message_id)} was retried before, as {short_id(made['id'])} to {made['to']}; "
            f"it is {made['status']} now. "
            "Nothing was sent."
        )
    return exit_codes.DONE
