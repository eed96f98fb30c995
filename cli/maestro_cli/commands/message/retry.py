"""`maestro message retry`: a dead message sent again, as a new one.

Rule: the new id follows from the old one, so running it twice sends once; only the sender retries, because a message
needs a sender, and a person without a session is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from maestro_cli import arguments, exit_codes
from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_cli.sending import send_flow
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_schemas.documents import MessageDoc

retry = App(
    name="retry",
    help_epilogue="""\
For what expired, and for what the outbox held and the broker refused: `maestro
message dead` lists both. Text, metadata, receiver and life are those of the old
message where no option says otherwise. Run twice it sends once; when the retry
has died as well, running it again sends once more.

Examples:
  maestro message retry msg_1770536761607_k3v9x2m1a
  maestro message retry msg_1770536761607_k3v9x2m1a --ttl 1d
  maestro message retry msg_1770536761607_k3v9x2m1a --to carol
  maestro message retry msg_1770536761607_k3v9x2m1a --on-ended queue""",
)


@retry.default
def run(
    message_id: Annotated[str, Parameter(name="ID", help="The dead message's id.")],
    /,
    *,
    to: Annotated[
        str | None, Parameter(name=["--to", "-t"], metavar="SESSION", help="Another receiver: an id, or a name.")
    ] = None,
    ttl: Annotated[
        str | None, Parameter(metavar="DURATION", help="How long it may wait this time, for example 1h.")
    ] = None,
    on_ended: Annotated[
        Literal["error", "queue", "redirect"] | None,
        Parameter(help="What becomes of it where the receiver has ended, as in `session send`."),
    ] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print the outcome as one JSON object; `retryOf` is the old id.")
    ] = False,
) -> int:
    """Send a dead message again."""
    from maestro_clients import dead_letters

    ttl_ms = None if ttl is None else arguments.duration_ms("--ttl", ttl)
    context = CommandContext.here()
    sender = _sender(context, message_id)
    with context.client() as client:
        found = dead_letters.retry_of(client, context.data, sender, message_id)
        if found.before is not None:
            wanted = None if to is None else client.session(to)["id"]
            code = _made_before(message_id, found.before, wanted, as_json=as_json)
            if found.entry_path is not None:
                dead_letters.forget(found.entry_path)
            return code
    outgoing = found.outgoing
    if to is not None:
        outgoing["to"] = arguments.checked_text("--to", to)
    if ttl_ms is not None:
        outgoing["ttlMs"] = ttl_ms
    if on_ended is not None:
        outgoing["onEnded"] = on_ended
    code = send_flow.send(context, outgoing, None, as_json=as_json, retry_of=message_id)
    if found.entry_path is not None:
        # Accepted, or queued under the new id: only now is the old entry of no use.
        dead_letters.forget(found.entry_path)
    return code


def _sender(context: CommandContext, message_id: str) -> str:
    if not context.caller.session:
        raise MaestroError(
            "NO_SESSION",
            "this shell belongs to no session, and a message needs a sender: only whoever sent it sends it again",
            f"Name the sender (`maestro message dead` shows it): MAESTRO_SESSION_ID=SENDER maestro message retry "
            f"{message_id}. It takes the sender's token, if it has one.",
        )
    return context.caller.session


def _made_before(message_id: str, made: MessageDoc, wanted: str | None, *, as_json: bool) -> int:
    """What to say of a retry that was made already. Raises MaestroError CONFLICT where it went to another."""
    if wanted is not None and wanted not in (made["to"], made.get("originalTo")):
        raise MaestroError(
            "CONFLICT",
            f"{message_id} was retried before, as {made['id']} to {made['to']}; that one is {made['status']}",
            "To tell another as well, send a new message: maestro session send.",
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
            f"{message_id} was retried before, as {made['id']} to {made['to']}; it is {made['status']} now. "
            "Nothing was sent."
        )
    return exit_codes.DONE
