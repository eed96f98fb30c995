"""Send flow: a message is sent or queued, and the outcome is reported.

Rule: it reports "sent" only after the broker has confirmed that the message is on disk, and "queued" only after the
outbox has it. The id is chosen before the first attempt, so that every retry is the same send. It is on the fast
path, so it imports nothing that costs time.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

from . import sent_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from maestro_cli.context import CommandContext
    from maestro_clients.client import Client
    from maestro_clients.durable_send import SendOutcome
    from maestro_clients.one_shot_client import AnyClient, OneShotClient
    from maestro_schemas.documents import OutgoingDoc

    from .waiting import AwaitedReceipt

_ERROR_STATUS = 400


def send(
    context: CommandContext,
    outgoing: OutgoingDoc,
    *,
    as_json: bool,
    client: AnyClient | None = None,
    wait: AwaitedReceipt | None = None,
    retry_of: str | None = None,
) -> int:
    """Send or queue, report it, and wait if that is asked for; returns the exit code.

    `client`: the command's connection, where it has one; it must be a full one to wait. `retry_of`: the id of the
    dead message that this one repeats. Raises MaestroError for a refusal, and as `streams.say`.
    """
    if wait is not None:
        from . import waiting

        return waiting.send(context, outgoing, wait, client=client, as_json=as_json)
    own = context.one_shot() if client is None else None
    used = own or client
    try:
        result, queued = handed_over(context, outgoing, used)
    finally:
        if own is not None:
            own.close()
    if queued is not None:
        document, line = queued_report(context, outgoing, queued)
        streams.say(streams.json_line(document) if as_json else line)
        return exit_codes.DONE
    outcome = sent_text.outcome(result)
    if retry_of is not None:
        outcome["retryOf"] = retry_of
    streams.say(streams.json_line(outcome) if as_json else sent_text.sentence(outcome))
    return exit_codes.DONE


def awaited(
    status: Literal["delivered", "read"] | None, timeout: str | None, *, reply: bool
) -> AwaitedReceipt | None:
    """From the options; None to wait for nothing. Raises MaestroError INVALID."""
    if status is None and timeout is None and not reply:
        return None
    from . import waiting

    return waiting.awaited(status, timeout, reply=reply)


def handed_over(
    context: CommandContext, outgoing: OutgoingDoc, client: AnyClient | None
) -> tuple[Any, SendOutcome | None]:
    """The broker's result, or the outcome of a message that was queued. Raises MaestroError for a refusal."""
    full: Client | None = None
    if client is not None:
        from maestro_clients import one_shot_client

        if isinstance(client, one_shot_client.OneShotClient):
            result = first_attempt(client, outgoing)
            if result is not None:
                return result, None
        else:
            full = client
    from maestro_clients.durable_send import send_or_queue

    sent = send_or_queue(
        context.data, context.environ, context.caller, outgoing, autostart=context.autostart, client=full
    )
    return (sent.result, None) if sent.queued_path is None else (None, sent)


def first_attempt(client: OneShotClient, outgoing: OutgoingDoc) -> dict[str, Any] | None:
    """The result of one attempt; None where it is not known, or the broker asks for another attempt. Raises the
    MaestroError of a refusal: a second attempt would count against the sender twice."""
    answer = client.ask_once("send", {"messages": [outgoing]})
    if answer is None:
        return None
    status, body = answer
    results = [{"error": body}] if status >= _ERROR_STATUS else body.get("results")
    if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], dict):
        return None
    result: dict[str, Any] = results[0]
    if "error" in result:
        refusal = MaestroError.from_body(result["error"])
        if refusal.kind in ("busy", "unreachable"):
            return None
        raise refusal
    return result


def queued_report(context: CommandContext, outgoing: OutgoingDoc, sent: SendOutcome) -> tuple[dict[str, Any], str]:
    """The JSON and the line for a message that is in the outbox."""
    document: dict[str, Any] = {
        "status": "queued", "id": outgoing["id"], "to": outgoing["to"], "path": sent.queued_path
    }  # fmt: skip
    line = f"Queued in the outbox: {outgoing['id']} to {outgoing['to']}. No broker answered; it will be sent " + (
        "by the next command that reaches it." if context.is_remote else "when a broker runs (maestro up)."
    )
    if sent.reason is not None and sent.reason.code == "BAD_SETTING":
        # Waiting does not repair a wrong setting: a person must.
        document["reason"] = sent.reason.body()
        streams.note(f"maestro: the broker can't start: {sent.reason.message}")
        streams.note(f"  next: {sent.reason.hint} Then: maestro up")
    return document, line
