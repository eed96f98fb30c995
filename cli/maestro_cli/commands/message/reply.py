"""`maestro message reply`: answer a message, to whoever sent it.

Rule: the answer is a message like any other; that it is one is in its metadata, and they form a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from maestro_cli import arguments
from maestro_cli.context import CommandContext
from maestro_cli.sending import send_flow
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import SYSTEM_SENDER

if TYPE_CHECKING:
    from maestro_schemas.documents import MetadataDoc, OutgoingDoc

reply = App(
    name="reply",
    help_epilogue="""\
The sender is the session of this shell. `maestro message thread ID` shows the
whole conversation.

Examples:
  maestro message reply msg_1770536761607_k3v9x2m1a --message "Done."
  git diff | maestro message reply msg_1770536761607_k3v9x2m1a --file -
  maestro message reply msg_1770536761607_k3v9x2m1a -m "Which one?" \\
      --wait-reply --timeout 5m""",
)


@reply.default
def run(
    message_id: Annotated[str, Parameter(name="ID", help="The message that is answered.")],
    /,
    *,
    message: Annotated[
        str | None,
        Parameter(name=["--message", "-m"], metavar="TEXT", allow_leading_hyphen=True, help="The text."),
    ] = None,
    file: Annotated[
        str | None,
        Parameter(
            name=["--file", "-f"],
            metavar="PATH",
            allow_leading_hyphen=True,
            help="A UTF-8 file that holds the text instead; `-` is standard input.",
        ),
    ] = None,
    priority: Annotated[Literal["low", "medium", "high"] | None, Parameter(help="Default: medium.")] = None,
    on_ended: Annotated[
        Literal["error", "queue", "redirect"] | None,
        Parameter(help="What becomes of it where the receiver has ended, as in `session send`."),
    ] = None,
    require_ack: Annotated[bool, Parameter(negative=(), help="Ask for `maestro message read ID`.")] = False,
    wait: Annotated[
        Literal["delivered", "read"] | None, Parameter(help="Return only when the receiver has got that far.")
    ] = None,
    wait_reply: Annotated[bool, Parameter(negative=(), help="Return only when it was answered in turn.")] = False,
    timeout: Annotated[
        str, Parameter(metavar="DURATION", help="How long to wait, then exit code 7. Default: 30s.")
    ] = "30s",
    as_json: Annotated[bool, Parameter(name="--json", help="Print the outcome as one JSON object.")] = False,
) -> int:
    """Answer a message."""
    from maestro_clients.protocol.new_ids import new_message_id

    context = CommandContext.here()
    context.session()
    text = arguments.text_of(message, file)
    waiting = send_flow.awaited(wait, timeout, reply=wait_reply)
    with context.client() as client:
        answered = client.message(message_id)
    own = answered["from"] == context.session()
    if answered["from"] == SYSTEM_SENDER:
        raise MaestroError(
            "INVALID",
            f"{message_id} is from the post office itself, which reads no mail",
            "Nothing is to be answered.",
        )
    metadata: MetadataDoc = {"type": "response", "inReplyTo": answered["id"]}
    if priority is not None and priority != "medium":
        metadata["priority"] = priority
    if require_ack:
        metadata["requiresAck"] = True
    outgoing: OutgoingDoc = {
        "id": new_message_id(),
        # To one's own message one adds something, for the same receiver.
        "to": answered["to"] if own else answered["from"],
        "message": text,
        "metadata": metadata,
    }
    if on_ended is not None:
        outgoing["onEnded"] = on_ended
    return send_flow.send(context, outgoing, waiting, as_json=as_json)
