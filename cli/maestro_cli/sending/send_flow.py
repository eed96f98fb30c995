"""Dispatch: a message handed over, and what its sender is told.

Rule: it says "sent" only after the broker said that the message is on disk, and "queued" only after the outbox
has it; in between it raises. The id is chosen before, so that every retry is the same send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from maestro_cli import arguments, exit_codes
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

from . import sent_text

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_clients.durable_send import SendOutcome
    from maestro_schemas.documents import MessageDoc, OutgoingDoc

# What is known of how a message came to its receiver.
_CHAIN: tuple[Literal["offeredAt", "offeredVia", "deliveredAt", "deliveredVia", "readAt"], ...] = (
    "offeredAt",
    "offeredVia",
    "deliveredAt",
    "deliveredVia",
    "readAt",
)


class AwaitedReceipt(NamedTuple):
    """What a sender waits for: a status of the message, or its `reply`."""

    what: Literal["delivered", "read", "reply"]
    timeout_s: float


def awaited(status: Literal["delivered", "read"] | None, timeout: str, *, reply: bool) -> AwaitedReceipt | None:
    """From the options; None to wait for nothing. Raises MaestroError INVALID."""
    timeout_s = arguments.duration_ms("--timeout", timeout) / 1000
    if reply and status is not None:
        raise MaestroError(
            "INVALID", "--wait and --wait-reply exclude each other", "An answer says that it was read."
        )
    if reply:
        return AwaitedReceipt("reply", timeout_s)
    return None if status is None else AwaitedReceipt(status, timeout_s)


def send(
    context: CommandContext,
    outgoing: OutgoingDoc,
    wait: AwaitedReceipt | None,
    *,
    as_json: bool,
    retry_of: str | None = None,
) -> int:
    """Hand it over, say what came of it, and wait where that is wished; the exit code. `retry_of`: the id of the dead
    message that this one repeats."""
    from maestro_clients.durable_send import send_or_queue

    # Before the send: an answer may be quicker than the next command.
    since = _own_head(context) if wait is not None and wait.what == "reply" else 0
    sent = send_or_queue(
        context.data, context.environ, context.caller, outgoing, autostart=context.autostart, timeout_s=10.0
    )
    if sent.result is None:
        return _queued(context, outgoing, sent, wait, as_json=as_json)
    outcome = sent_text.outcome(sent.result)
    if retry_of is not None:
        outcome["retryOf"] = retry_of
    if wait is None:
        streams.say(streams.json_line(outcome) if as_json else sent_text.sentence(outcome))
        return exit_codes.DONE
    if not as_json:
        streams.say(sent_text.sentence(outcome))
    try:
        if wait.what == "reply":
            return _replied(context, outcome, since, wait.timeout_s, as_json=as_json)
        return _reached(context, outcome, wait.what, wait.timeout_s, as_json=as_json)
    except MaestroError as error:
        # It was accepted all the same: whoever reads the error must not send it again.
        streams.complain(error, as_json=as_json, extra=outcome)
        return exit_codes.of(error)


def _queued(
    context: CommandContext, outgoing: OutgoingDoc, sent: SendOutcome, wait: AwaitedReceipt | None, *, as_json: bool
) -> int:
    outcome: dict[str, Any] = {
        "status": "queued", "id": outgoing["id"], "to": outgoing["to"], "path": sent.queued_path
    }  # fmt: skip
    told = f"Queued in the outbox: {outgoing['id']} to {outgoing['to']}. No broker answered; it will be sent " + (
        "by the next command that reaches it." if context.is_far else "when a broker runs (maestro up)."
    )
    if sent.reason is not None and sent.reason.code == "BAD_SETTING":
        # Waiting does not mend it: somebody must.
        outcome["reason"] = sent.reason.body()
        streams.note(f"maestro: the broker can't start: {sent.reason.message}")
        streams.note(f"  next: {sent.reason.hint} Then: maestro up")
    if wait is None:
        streams.say(streams.json_line(outcome) if as_json else told)
        return exit_codes.DONE
    if not as_json:
        streams.say(told)
    got = "answered" if wait.what == "reply" else wait.what
    late = MaestroError(
        "TIMEOUT",
        f"{outgoing['id']} is queued and can't be {got} before a broker runs",
        f"Start one with `maestro up`, then ask: maestro message receipt {outgoing['id']}",
    )
    streams.complain(late, as_json=as_json, extra=outcome)
    return exit_codes.of(late)


def _reached(
    context: CommandContext, outcome: dict[str, Any], status: str, timeout_s: float, *, as_json: bool
) -> int:
    from maestro_clients.mailbox.receipts import wait_for

    message = wait_for(context.data, context.environ, context.caller, outcome["id"], status, timeout_s)
    if as_json:
        chain = {key: message[key] for key in _CHAIN if key in message}
        streams.say_json({**outcome, "state": message["status"], **chain})
    else:
        streams.say(_receipt(message, status))
    return exit_codes.DONE


def _receipt(message: MessageDoc, status: str) -> str:
    from maestro_cli.context import now_ms
    from maestro_cli.output.render import duration, history

    at = message.get("readAt") if status == "read" else message.get("deliveredAt")
    after = "" if at is None else f", {duration(max(at - message['createdAt'], 0))} after it was accepted"
    return "\n".join([f"{status.capitalize()} by {message['to']}{after}.", *history(message, now_ms())])


def _own_head(context: CommandContext) -> int:
    """The number of the newest message that the sender has got so far; 0 where no broker says."""
    try:
        with context.client() as client:
            return client.inbox(since=0, limit=1)["headSeq"]
    except MaestroError:
        return 0  # the send says what is wrong


def _replied(context: CommandContext, outcome: dict[str, Any], since: int, timeout_s: float, *, as_json: bool) -> int:
    """Wait for the message that answers ours. Other mail is left to whoever reads the inbox."""
    import time

    from maestro_cli.context import now_ms
    from maestro_cli.output.display_names import DisplayNames
    from maestro_cli.output.render import message_block
    from maestro_clients.mailbox.watcher import Watcher

    deadline_s = time.monotonic() + timeout_s
    with Watcher(context.data, context.environ, context.caller, confirm=False, since=since) as watcher:
        while (left_s := deadline_s - time.monotonic()) > 0:
            message = watcher.next_message(left_s)
            if message is None or message.get("metadata", {}).get("inReplyTo") != outcome["id"]:
                continue
            with context.client() as client:
                if as_json:
                    streams.say_json({**outcome, "reply": message})
                else:
                    streams.say(message_block(message, DisplayNames(client).label(message["from"]), now_ms()))
                # It is out: the inbox need not show it again.
                client.confirm([message["id"]], "delivered", via="wait-reply")
            return exit_codes.DONE
    raise MaestroError(
        "TIMEOUT",
        f"{outcome['id']} was not answered within {timeout_s:g} s",
        f"The answer will come to your inbox. What became of the message: maestro message receipt {outcome['id']}",
    )
