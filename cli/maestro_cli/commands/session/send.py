"""`maestro session send`: one message, and on wish its receipt.

Rule: only what the arguments mean is here; `dispatch` hands the message over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from maestro_cli import arguments
from maestro_cli.context import CommandContext
from maestro_cli.sending import send_flow

if TYPE_CHECKING:
    from maestro_schemas.documents import MetadataDoc, OutgoingDoc

send = App(
    name="send",
    help_epilogue="""\
The sender is the session of this shell: MAESTRO_SESSION_ID and
MAESTRO_SESSION_TOKEN. When no broker answers, the message is queued in the
outbox and sent when one runs; that too is exit code 0.

Examples:
  maestro session send --to bob --message "Review PR in task_456"
  maestro session send --to bob --message "Stop, main is red" --priority high
  maestro session send --to parent --file report.md --task task_456
  maestro send -t bob -m "The short form of the same."
  git diff --stat | maestro send -t bob -f -
  maestro session send --to sess_b --message "Done." \\
      --reply-to msg_1770536761607_k3v9x2m1a
  maestro session send --to bob --message "May I deploy?" \\
      --require-ack --wait read --timeout 5m
  maestro session send --to bob --message "Which port?" --type request \\
      --wait-reply --timeout 5m""",
)


@send.default
def run(
    *,
    to: Annotated[
        str,
        Parameter(
            name=["--to", "-t"], metavar="SESSION", help="The receiver: a session's id, its name, or `parent`."
        ),
    ],
    message: Annotated[
        str | None,
        Parameter(
            name=["--message", "-m"],
            metavar="TEXT",
            allow_leading_hyphen=True,
            help="The text; any characters, any lines.",
        ),
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
    priority: Annotated[
        Literal["low", "medium", "high"] | None,
        Parameter(help="An inbox lists high first, low last. Default: medium."),
    ] = None,
    kind: Annotated[
        Literal["request", "response", "notification", "command"] | None,
        Parameter(name="--type", help="What kind of message it is."),
    ] = None,
    task: Annotated[str | None, Parameter(metavar="ID", help="The id of the task that it is about.")] = None,
    reply_to: Annotated[
        str | None, Parameter(metavar="MSG", help="The id of the message that it answers; they form a thread.")
    ] = None,
    ttl: Annotated[
        str | None,
        Parameter(
            metavar="DURATION", help="How long it may wait for its receiver, for example 1h. Default: the retention."
        ),
    ] = None,
    on_ended: Annotated[
        Literal["error", "queue", "redirect"] | None,
        Parameter(
            help="Where the receiver has ended: be told, queue it until it comes back under the same id, or redirect "
            "it to its orchestrator. Default: the broker's setting on_ended."
        ),
    ] = None,
    require_ack: Annotated[bool, Parameter(help="Ask the receiver to run `maestro message read ID`.")] = False,
    data: Annotated[
        str | None,
        Parameter(metavar="JSON", allow_leading_hyphen=True, help="Any JSON value for the receiver's programs."),
    ] = None,
    wait: Annotated[
        Literal["delivered", "read"] | None, Parameter(help="Return only when the receiver has got that far.")
    ] = None,
    wait_reply: Annotated[
        bool, Parameter(negative=(), help="Return only when it was answered (with --reply-to); prints the answer.")
    ] = False,
    timeout: Annotated[
        str, Parameter(metavar="DURATION", help="How long to wait, then exit code 7. Default: 30s.")
    ] = "30s",
    message_id: Annotated[
        str | None,
        Parameter(name="--id", metavar="MSG", help="Your own id for it: repeating the command sends it once."),
    ] = None,
    as_json: Annotated[bool, Parameter(name="--json", help="Print the outcome as one JSON object.")] = False,
) -> int:
    """Send a message."""
    from maestro_clients.protocol.new_ids import new_message_id

    context = CommandContext.here()
    context.session()
    text = arguments.text_of(message, file)
    outgoing: OutgoingDoc = {
        "id": new_message_id() if message_id is None else message_id,
        "to": arguments.checked_text("--to", to),
        "message": text,
    }
    metadata = _metadata(priority, kind, task, reply_to, data, requires_ack=require_ack)
    if metadata:
        outgoing["metadata"] = metadata
    if ttl is not None:
        outgoing["ttlMs"] = arguments.duration_ms("--ttl", ttl)
    if on_ended is not None:
        outgoing["onEnded"] = on_ended
    return send_flow.send(context, outgoing, send_flow.awaited(wait, timeout, reply=wait_reply), as_json=as_json)


def _metadata(
    priority: str | None,
    kind: str | None,
    task: str | None,
    reply_to: str | None,
    data: str | None,
    *,
    requires_ack: bool,
) -> MetadataDoc:
    metadata: MetadataDoc = {}
    if priority is not None and priority != "medium":
        metadata["priority"] = priority
    if kind is not None:
        metadata["type"] = kind
    if task is not None:
        metadata["taskId"] = arguments.checked_text("--task", task)
    if reply_to is not None:
        metadata["inReplyTo"] = arguments.checked_text("--reply-to", reply_to)
    if requires_ack:
        metadata["requiresAck"] = True
    if data is not None:
        metadata["data"] = arguments.json_value("--data", arguments.checked_text("--data", data))
    return metadata
