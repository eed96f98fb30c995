"""`maestro session send`: one message, and on wish its receipt.

Rule: it says "sent" only after the broker said that the message is on disk, and "queued" only after the outbox
has it; in between it raises. The id is chosen first, so that every retry is the same send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from maestro_cli import arguments, exit_codes, output
from maestro_cli.desk import Desk
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_schemas.documents import MessageDoc, MetadataDoc, OutgoingDoc, SendResultDoc

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
      --require-ack --wait read --timeout 5m""",
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
    require_ack: Annotated[bool, Parameter(help="Ask the receiver to run `maestro message read ID`.")] = False,
    data: Annotated[
        str | None,
        Parameter(metavar="JSON", allow_leading_hyphen=True, help="Any JSON value for the receiver's programs."),
    ] = None,
    wait: Annotated[
        Literal["delivered", "read"] | None, Parameter(help="Return only when the receiver has got that far.")
    ] = None,
    timeout: Annotated[
        str, Parameter(metavar="DURATION", help="How long --wait waits, then exit code 7. Default: 30s.")
    ] = "30s",
    message_id: Annotated[
        str | None,
        Parameter(name="--id", metavar="MSG", help="Your own id for it: repeating the command sends it once."),
    ] = None,
    as_json: Annotated[bool, Parameter(name="--json", help="Print the outcome as one JSON object.")] = False,
) -> int:
    """Send a message."""
    from maestro_clients.fresh import new_message_id
    from maestro_clients.sending import send_or_queue

    desk = Desk.here()
    desk.session()
    text = arguments.text_of(message, file)
    timeout_ms = arguments.duration_ms("--timeout", timeout)
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

    sent = send_or_queue(desk.data, desk.environ, desk.caller, outgoing, autostart=desk.autostart, timeout_s=10.0)
    if sent.result is None:
        return _queued(outgoing, sent.queued_path, wait, as_json=as_json)
    outcome = _outcome(sent.result)
    if wait is None:
        output.say(output.json_line(outcome) if as_json else _sentence(outcome))
        return exit_codes.DONE
    return _waited(desk, outcome, wait, timeout_ms / 1000, as_json=as_json)


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


def _outcome(result: SendResultDoc) -> dict[str, Any]:
    """The JSON of a send: `status` is `accepted` (or `queued`); `duplicate` where this send was accepted before."""
    told = {key: value for key, value in result.items() if key != "status"}
    outcome: dict[str, Any] = {"status": "accepted", **told}
    if result["status"] == 200:
        outcome["duplicate"] = True
    return outcome


def _sentence(outcome: dict[str, Any]) -> str:
    where = f"{outcome['id']} to {outcome['to']}" if "to" in outcome else outcome["id"]
    number = f" (number {outcome['seq']} in its inbox)" if "seq" in outcome else ""
    if outcome.get("duplicate"):
        return f"Sent before: {where}{number}; it is {outcome.get('state', 'on disk')} now."
    return f"Sent {where}{number}. It is on disk."


def _queued(outgoing: OutgoingDoc, path: str | None, wait: str | None, *, as_json: bool) -> int:
    outcome = {"status": "queued", "id": outgoing["id"], "to": outgoing["to"], "path": path}
    told = (
        f"Queued in the outbox: {outgoing['id']} to {outgoing['to']}. No broker answered; "
        "it will be sent when a broker runs (maestro up)."
    )
    if wait is None:
        output.say(output.json_line(outcome) if as_json else told)
        return exit_codes.DONE
    if not as_json:
        output.say(told)
    late = MaestroError(
        "TIMEOUT",
        f"{outgoing['id']} is queued and can't be {wait} before a broker runs",
        f"Start one with `maestro up`, then ask: maestro message show {outgoing['id']}",
    )
    output.complain(late, as_json=as_json, extra=outcome)
    return exit_codes.of(late)


def _waited(desk: Desk, outcome: dict[str, Any], wait: str, timeout_s: float, *, as_json: bool) -> int:
    from maestro_clients.receipts import wait_for

    if not as_json:
        output.say(_sentence(outcome))
    try:
        message = wait_for(desk.data, desk.environ, desk.caller, outcome["id"], wait, timeout_s)
    except MaestroError as error:
        # It was accepted all the same: whoever reads the error must not send it again.
        output.complain(error, as_json=as_json, extra=outcome)
        return exit_codes.of(error)
    if as_json:
        times = {key: message[key] for key in ("deliveredAt", "deliveredVia", "readAt") if key in message}
        output.say_json({**outcome, "state": message["status"], **times})
    else:
        output.say(_receipt(message, wait))
    return exit_codes.DONE


def _receipt(message: MessageDoc, wait: str) -> str:
    from maestro_cli.render import duration

    at = message.get("readAt") if wait == "read" else message.get("deliveredAt")
    after = "" if at is None else f", {duration(max(at - message['createdAt'], 0))} after it was accepted"
    return f"{wait.capitalize()} by {message['to']}{after}."
