"""Dispatch: a message handed over, and what its sender is told.

Rule: it says "sent" only after the broker said that the message is on disk, and "queued" only after the outbox
has it; in between it raises. The id is chosen before, so that every retry is the same send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from maestro_cli import arguments, exit_codes, output
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_cli.desk import Desk
    from maestro_clients.sending import Sent
    from maestro_schemas.documents import MessageDoc, OutgoingDoc, SendResultDoc

_REACHES = {
    "watching": "Its receiver is watching, and hears of it now.",
    "tool": "Its agent is at work, and sees it after its next tool call.",
    # Not "it is idle": an agent without mail says nothing of its work.
    "prompt": "Its agent sees it at its next prompt or tool call.",
    "inbox": "Its receiver sees it when it looks into its inbox.",
    "ended": "Its receiver has ended: it is queued for when it comes back (the same id, started again).",
}
# What is known of how a message came to its receiver.
_CHAIN: tuple[Literal["offeredAt", "offeredVia", "deliveredAt", "deliveredVia", "readAt"], ...] = (
    "offeredAt",
    "offeredVia",
    "deliveredAt",
    "deliveredVia",
    "readAt",
)
# A sign of life that is older is worth a word.
_QUIET_MS = 300_000


class Awaited(NamedTuple):
    """What a sender waits for: a status of the message, or its `reply`."""

    what: Literal["delivered", "read", "reply"]
    timeout_s: float


def awaited(status: Literal["delivered", "read"] | None, timeout: str, *, reply: bool) -> Awaited | None:
    """From the options; None to wait for nothing. Raises MaestroError INVALID."""
    timeout_s = arguments.duration_ms("--timeout", timeout) / 1000
    if reply and status is not None:
        raise MaestroError(
            "INVALID", "--wait and --wait-reply exclude each other", "An answer says that it was read."
        )
    if reply:
        return Awaited("reply", timeout_s)
    return None if status is None else Awaited(status, timeout_s)


def send(
    desk: Desk, outgoing: OutgoingDoc, wait: Awaited | None, *, as_json: bool, retry_of: str | None = None
) -> int:
    """Hand it over, say what came of it, and wait where that is wished; the exit code. `retry_of`: the id of the dead
    message that this one repeats."""
    from maestro_clients.sending import send_or_queue

    # Before the send: an answer may be quicker than the next command.
    since = _own_head(desk) if wait is not None and wait.what == "reply" else 0
    sent = send_or_queue(desk.data, desk.environ, desk.caller, outgoing, autostart=desk.autostart, timeout_s=10.0)
    if sent.result is None:
        return _queued(desk, outgoing, sent, wait, as_json=as_json)
    outcome = _outcome(sent.result)
    if retry_of is not None:
        outcome["retryOf"] = retry_of
    if wait is None:
        output.say(output.json_line(outcome) if as_json else _sentence(outcome))
        return exit_codes.DONE
    if not as_json:
        output.say(_sentence(outcome))
    try:
        if wait.what == "reply":
            return _replied(desk, outcome, since, wait.timeout_s, as_json=as_json)
        return _reached(desk, outcome, wait.what, wait.timeout_s, as_json=as_json)
    except MaestroError as error:
        # It was accepted all the same: whoever reads the error must not send it again.
        output.complain(error, as_json=as_json, extra=outcome)
        return exit_codes.of(error)


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
    if "originalTo" in outcome:
        number += f", because {outcome['originalTo']} had ended"
    retried = outcome.get("retryOf")
    if outcome.get("duplicate"):
        first = "Sent before:" if retried is None else f"{retried} was retried before, as"
        return f"{first} {where}{number}; it is {outcome.get('state', 'on disk')} now."
    again = "" if retried is None else f"again, {retried} as "
    return f"Sent {again}{where}{number}. It is on disk. {_expectation(outcome)}".rstrip()


def _expectation(outcome: dict[str, Any]) -> str:
    from maestro_cli.desk import now_ms
    from maestro_cli.render import age

    told = _REACHES.get(outcome.get("reach", ""), "")
    seen_at = outcome.get("seenAt")
    # An agent gives a sign of life only when it gets mail: a long silence says nothing about it.
    if seen_at is not None and outcome.get("reach") == "inbox" and now_ms() - seen_at >= _QUIET_MS:
        told += f" It gave its last sign of life {age(seen_at, now_ms())}."
    return told


def _queued(desk: Desk, outgoing: OutgoingDoc, sent: Sent, wait: Awaited | None, *, as_json: bool) -> int:
    outcome: dict[str, Any] = {
        "status": "queued", "id": outgoing["id"], "to": outgoing["to"], "path": sent.queued_path
    }  # fmt: skip
    told = f"Queued in the outbox: {outgoing['id']} to {outgoing['to']}. No broker answered; it will be sent " + (
        "by the next command that reaches it." if desk.is_far else "when a broker runs (maestro up)."
    )
    if sent.reason is not None and sent.reason.code == "BAD_SETTING":
        # Waiting does not mend it: somebody must.
        outcome["reason"] = sent.reason.body()
        output.note(f"maestro: the broker can't start: {sent.reason.message}")
        output.note(f"  next: {sent.reason.hint} Then: maestro up")
    if wait is None:
        output.say(output.json_line(outcome) if as_json else told)
        return exit_codes.DONE
    if not as_json:
        output.say(told)
    got = "answered" if wait.what == "reply" else wait.what
    late = MaestroError(
        "TIMEOUT",
        f"{outgoing['id']} is queued and can't be {got} before a broker runs",
        f"Start one with `maestro up`, then ask: maestro message receipt {outgoing['id']}",
    )
    output.complain(late, as_json=as_json, extra=outcome)
    return exit_codes.of(late)


def _reached(desk: Desk, outcome: dict[str, Any], status: str, timeout_s: float, *, as_json: bool) -> int:
    from maestro_clients.receipts import wait_for

    message = wait_for(desk.data, desk.environ, desk.caller, outcome["id"], status, timeout_s)
    if as_json:
        chain = {key: message[key] for key in _CHAIN if key in message}
        output.say_json({**outcome, "state": message["status"], **chain})
    else:
        output.say(_receipt(message, status))
    return exit_codes.DONE


def _receipt(message: MessageDoc, status: str) -> str:
    from maestro_cli.desk import now_ms
    from maestro_cli.render import duration, history

    at = message.get("readAt") if status == "read" else message.get("deliveredAt")
    after = "" if at is None else f", {duration(max(at - message['createdAt'], 0))} after it was accepted"
    return "\n".join([f"{status.capitalize()} by {message['to']}{after}.", *history(message, now_ms())])


def _own_head(desk: Desk) -> int:
    """The number of the newest message that the sender has got so far; 0 where no broker says."""
    try:
        with desk.client() as client:
            return client.inbox(since=0, limit=1)["headSeq"]
    except MaestroError:
        return 0  # the send says what is wrong


def _replied(desk: Desk, outcome: dict[str, Any], since: int, timeout_s: float, *, as_json: bool) -> int:
    """Wait for the message that answers ours. Other mail is left to whoever reads the inbox."""
    import time

    from maestro_cli.correspondents import Correspondents
    from maestro_cli.desk import now_ms
    from maestro_cli.render import message_block
    from maestro_clients.watcher import Watcher

    deadline_s = time.monotonic() + timeout_s
    with Watcher(desk.data, desk.environ, desk.caller, confirm=False, since=since) as watcher:
        while (left_s := deadline_s - time.monotonic()) > 0:
            message = watcher.next_message(left_s)
            if message is None or message.get("metadata", {}).get("inReplyTo") != outcome["id"]:
                continue
            with desk.client() as client:
                if as_json:
                    output.say_json({**outcome, "reply": message})
                else:
                    output.say(message_block(message, Correspondents(client).label(message["from"]), now_ms()))
                # It is out: the inbox need not show it again.
                client.confirm([message["id"]], "delivered", via="wait-reply")
            return exit_codes.DONE
    raise MaestroError(
        "TIMEOUT",
        f"{outcome['id']} was not answered within {timeout_s:g} s",
        f"The answer will come to your inbox. What became of the message: maestro message receipt {outcome['id']}",
    )
