"""Waiting: a send that returns only when its receiver has the message, has read it, or has answered it.

Rule: the request connection of the send is also that of the wait; beside it there is one subscription to notices. An
error after the send was accepted carries the message's id, so that the caller does not send it again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from maestro_cli import arguments, exit_codes
from maestro_cli.context import now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

from . import send_flow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_cli.context import CommandContext
    from maestro_clients.attachments.outgoing_files import OutgoingFile
    from maestro_clients.client import Client
    from maestro_clients.durable_send import SendOutcome
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import MessageDoc, OutgoingDoc

DEFAULT_TIMEOUT = "30s"
# The fields of a message that say how it reached its receiver.
_CHAIN: tuple[Literal["offeredAt", "offeredVia", "deliveredAt", "deliveredVia", "wokenBy", "readAt"], ...] = (
    "offeredAt",
    "offeredVia",
    "deliveredAt",
    "deliveredVia",
    "wokenBy",
    "readAt",
)


class AwaitedReceipt(NamedTuple):
    """The step that a sender waits for: a status of the message, or its `reply`."""

    what: Literal["delivered", "read", "reply"]
    timeout_s: float
    # Of several receivers, after how many answers it is over; None: one of each.
    replies: int | None = None


def awaited(
    status: Literal["delivered", "read"] | None, timeout: str | None, *, reply: bool, replies: int | None = None
) -> AwaitedReceipt | None:
    """From the options; None to wait for nothing. Raises MaestroError INVALID."""
    if replies is not None and not reply:
        raise MaestroError(
            "INVALID", "--replies was given without --wait-reply", "Add --wait-reply, to wait for answers."
        )
    timeout_s = arguments.wait_s("--timeout", DEFAULT_TIMEOUT if timeout is None else timeout)
    if reply and status is not None:
        raise MaestroError(
            "INVALID", "--wait and --wait-reply exclude each other", "A message that was answered was read."
        )
    if reply:
        return AwaitedReceipt("reply", timeout_s, replies)
    return None if status is None else AwaitedReceipt(status, timeout_s)


def send(
    context: CommandContext,
    outgoing: OutgoingDoc,
    wait: AwaitedReceipt,
    *,
    as_json: bool,
    client: AnyClient | None = None,
    files: Sequence[OutgoingFile] = (),
    label: str | None = None,
) -> int:
    """Send and wait; returns the exit code. `label`: as for `send_flow.sentence`. Raises MaestroError for a refusal,
    and as `streams.say`."""
    own = context.running_client() if client is None else None
    used: Any = own or client
    try:
        # Before the send: the answer may come before the next request.
        since = _own_head(used) if wait.what == "reply" and used is not None else 0
        result, queued = send_flow.handed_over(context, outgoing, used, files)
        if queued is not None:
            return _late(context, outgoing, queued, wait, as_json=as_json)
        outcome = send_flow.accepted(result)
        if outcome.get("duplicate"):
            since = 0  # the answer may have come between the first send and this command
        if not as_json:
            streams.tell(send_flow.sentence(outcome, outgoing, label), done=send_flow.was_sent(outcome))
        try:
            if used is None:
                # The send has started the broker.
                used = own = context.full_client()
            if "accepted" in outcome:
                from . import gathering

                if wait.what == "reply":
                    return gathering.answers(
                        context, used, outcome, since, wait.timeout_s, wait.replies, as_json=as_json
                    )
                return gathering.reached(context, used, outcome, wait.what, wait.timeout_s, as_json=as_json)
            if wait.what == "reply":
                return _replied(context, used, outcome, since, wait.timeout_s, as_json=as_json)
            return _reached(context, used, outcome, wait.what, wait.timeout_s, as_json=as_json)
        except MaestroError as error:
            streams.complain(error, as_json=as_json, extra=outcome)
            return exit_codes.of(error)
    finally:
        if own is not None:
            own.close()


def _late(
    context: CommandContext, outgoing: OutgoingDoc, queued: SendOutcome, wait: AwaitedReceipt, *, as_json: bool
) -> int:
    document, line = send_flow.queued_report(context, outgoing, queued)
    if not as_json:
        streams.tell(line)
    step = "answered" if wait.what == "reply" else wait.what
    late = MaestroError(
        "TIMEOUT",
        f"{document['id']} is queued and can't be {step} before a broker runs",
        f"Start one with `maestro up`, then ask: maestro message receipt {document['id']}",
    )
    streams.complain(late, as_json=as_json, extra=document)
    return exit_codes.of(late)


def _reached(
    context: CommandContext, client: Client, outcome: dict[str, Any], status: str, timeout_s: float, *, as_json: bool
) -> int:
    from maestro_clients.mailbox.receipts import wait_for

    message = wait_for(context.data, context.environ, context.caller, outcome["id"], status, timeout_s, client=client)
    if as_json:
        chain = {key: message[key] for key in _CHAIN if key in message}
        streams.say_json({**outcome, "state": message["status"], **chain})
    else:
        streams.tell(_receipt(message, status))
    return exit_codes.DONE


def _receipt(message: MessageDoc, status: str) -> str:
    from maestro_cli.output.render import duration, history

    at = message.get("readAt") if status == "read" else message.get("deliveredAt")
    after = "" if at is None else f", {duration(max(at - message['createdAt'], 0))} after it was accepted"
    return "\n".join([f"{status.capitalize()} by {message['to']}{after}.", *history(message, now_ms())])


def _own_head(client: Client) -> int:
    """The number of the newest message in the sender's own mailbox; 0 where the broker does not answer."""
    try:
        return client.inbox(since=0, limit=1)["headSeq"]
    except MaestroError:
        return 0  # the send reports the error


def _replied(
    context: CommandContext,
    client: Client,
    outcome: dict[str, Any],
    since: int,
    timeout_s: float,
    *,
    as_json: bool,
) -> int:
    """Wait for the message that answers ours. Other mail is left to the readers of the inbox."""
    from maestro_clients.mailbox.watcher import Watcher

    deadline_s = time.monotonic() + timeout_s
    with Watcher(context.data, context.environ, context.caller, confirm=False, since=since, client=client) as watcher:
        while (left_s := deadline_s - time.monotonic()) > 0:
            message = watcher.next_message(left_s)
            if message is None or message.get("metadata", {}).get("inReplyTo") != outcome["id"]:
                continue
            if as_json:
                context.locate([message], client)
                streams.say_json({**outcome, "reply": message})
            else:
                from .gathering import shown

                streams.say(shown(context, client, message))
            # The answer is printed: the inbox need not show it again.
            client.confirm([message["id"]], "delivered", via="wait-reply")
            return exit_codes.DONE
    raise MaestroError(
        "TIMEOUT",
        f"{outcome['id']} was not answered within {timeout_s:g} s",
        f"The answer will come to your inbox. The message's own state: maestro message receipt {outcome['id']}",
    )
