"""Dead letters: messages that expired or were refused for good, and their retries.

Rule: a message is dead if it expired, or waited in an outbox and was then refused for good (`failed`). The broker has
both. An entry that is no message of its session stays in this machine's outbox, and can be sent again from there. A
retry is a new message under an id that follows from the old id, so that two retries by mistake are one send. A retry
that died too is retried under the id that follows from its own. A message to several is sent again to those receivers
that refused it, or for which it expired, and to no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import SYSTEM_SENDER, canonical_id, ending_of, mark_of, retry_id

from .outbox import outbox_files

if TYPE_CHECKING:
    from maestro_schemas.documents import MessageDoc, MetadataDoc, OutgoingDoc, ReceiptDoc
    from maestro_schemas.outbox_entry import OutboxEntry

    from .one_shot_client import AnyClient

_DEAD = frozenset({"expired", "failed"})
# Refusals of a content that is not kept whole, and would be refused again.
_OF_THE_CONTENT = frozenset({"TEXT_TOO_LONG", "EMPTY_MESSAGE", "DATA_TOO_LARGE"})


class RetriedSend(NamedTuple):
    """A dead message as it is sent again."""

    # The message to send, under its new id.
    outgoing: OutgoingDoc
    # The message of an earlier retry, which has the id already; then there is nothing to send.
    before: MessageDoc | None
    # It is a message to several, and goes to those that did not take it.
    is_for_several: bool = False
    # Of a message to several: the earlier retry that every one of them took; then there is nothing to send.
    taken_before: ReceiptDoc | None = None


def listed(client: AnyClient, session: str | None, limit: int) -> tuple[list[list[MessageDoc]], bool]:
    """The newest `limit` messages that expired or failed, and whether there are more. A message to several is one,
    with each of its deliveries that expired. Raises MaestroError as `commands.dead`."""
    found: dict[str, list[MessageDoc]] = {}
    before: int | None = None
    while True:
        # One more than is shown: with that many there are more.
        page = client.dead(session=session, before=before, limit=limit + 1 - len(found))
        for message in page["messages"]:
            found.setdefault(message["id"], []).append(message)
        before = page["before"]
        if len(found) > limit or not page["hasMore"]:
            return list(found.values())[:limit], len(found) > limit


def refused(data: str, session: str | None) -> list[tuple[str, OutboxEntry]]:
    """Entries of this machine's outbox that are no message of their session, with their paths; the newest first."""
    failed = [(path, entry) for path, entry in outbox_files.entries(data, session) if entry.failure is not None]
    return sorted(failed, key=lambda found: found[1].queued_at, reverse=True)


def retry_of(client: AnyClient, data: str, sender: str, message_id: str) -> RetriedSend:
    """The retry of a dead message of `sender`, with the same content.

    Raises MaestroError STATUS_CONFLICT for a message that is not dead, FORBIDDEN for another sender's,
    MESSAGE_NOT_FOUND.
    """
    mark = ending_of(message_id) or mark_of(sender)
    wanted = canonical_id(message_id, mark)
    # An entry has its sender's key, and may be named by it or by the id that the message is to get.
    entries = [
        (path, entry)
        for path, entry in outbox_files.entries(data, sender)
        if canonical_id(entry.outgoing["id"], mark) == wanted
    ]
    if entries:
        _, entry = entries[-1]
        if entry.failure is None:
            raise _alive(message_id, "waits in the outbox", "It is sent when a broker runs: maestro outbox --replay")
        outgoing = cast("OutgoingDoc", {**entry.outgoing, "id": retry_id(wanted, entry.queued_at)})
        return _next_retry(client, RetriedSend(outgoing, None))
    try:
        message = client.message(message_id)
    except MaestroError as error:
        if error.code != "MESSAGE_NOT_FOUND":
            raise
        raise MaestroError(
            error.code,
            error.message,
            "It was deleted, or removed after its retention, so its text is gone: send a new message with "
            "`maestro session send`. `maestro message dead` lists what can be sent again.",
        ) from None
    if message["from"] != sender:
        whose = "the post office" if message["from"] == SYSTEM_SENDER else message["from"]
        raise MaestroError(
            "FORBIDDEN",
            f"{message_id} was sent by {whose}, and only its sender sends it again",
            f'To answer it: maestro message reply {message_id} --message "..."',
        )
    if "audience" in message and message["status"] != "failed":
        return _retry_of_several(client, message)
    if message["status"] == "pending":
        raise _alive(
            message_id,
            "is pending: it is on disk and waits for its receiver",
            f"Nothing is to be done. Its state: maestro message receipt {message_id}",
        )
    if message["status"] not in _DEAD:
        raise _alive(
            message_id,
            f"was {message['status']}",
            "It reached its receiver. To say it once more, send a new message.",
        )
    failure = message.get("failure")
    if failure is not None and failure["code"] in _OF_THE_CONTENT:
        raise _alive(
            message_id,
            f"was refused for its content ({failure['code']}), which is not kept whole",
            "Send a new message with `maestro session send`.",
        )
    return _next_retry(client, RetriedSend(_again(message), None))


def _retry_of_several(client: AnyClient, message: MessageDoc) -> RetriedSend:
    """The retry for those receivers that refused, or for which it expired, and that no earlier retry reached."""
    first = receipt = client.receipt(message["id"], people=True)
    open_to = _refusing(receipt)
    # Each retry that was made has its own refusals, which the next one takes with what is left.
    while open_to:
        try:
            made = client.receipt(retry_id(receipt["id"], message["createdAt"]), people=True)
        except MaestroError as error:
            if error.code != "MESSAGE_NOT_FOUND":
                raise
            break
        receipt, again = made, _refusing(made)
        taken = {line["to"] for line in made["recipients"]} - set(again)
        open_to = [each for each in open_to if each not in taken]
    if not open_to and receipt is first:
        raise _alive(
            message["id"],
            "was taken by every receiver",
            f"What became of it at each: maestro message receipt {message['id']}",
        )
    outgoing = _again(message)
    outgoing["id"], outgoing["to"] = retry_id(receipt["id"], message["createdAt"]), open_to
    # They were chosen before.
    outgoing["confirm"] = True
    return RetriedSend(outgoing, None, is_for_several=True, taken_before=None if open_to else receipt)


def _refusing(receipt: ReceiptDoc) -> list[str]:
    return [line["to"] for line in receipt["recipients"] if line["state"] in ("refused", "expired")]


def base_ms(message: MessageDoc) -> int:
    """The time in the id of a message's retry. The deliveries of one message may expire at different times."""
    return message["createdAt"] if "audience" in message else died_at(message)


def died_at(message: MessageDoc) -> int:
    """When a dead message expired or was refused, ms. (Where it expired with its retention: when it was accepted.)"""
    return message["createdAt"] if message["status"] == "failed" else message.get("expiresAt", message["createdAt"])


def retried_as(client: AnyClient, message_id: str, at_ms: int) -> str | None:
    """The id of a dead message's retry; None where there was none, or it is gone. `at_ms`: when the old message was
    due, or queued."""
    try:
        # The operator names it by its whole id. The dead message's own id has the sender's mark.
        mark = ending_of(message_id)
        again = retry_id(message_id, at_ms)
        return client.message(canonical_id(again, mark) if mark is not None else again)["id"]
    except MaestroError as error:
        if error.code != "MESSAGE_NOT_FOUND":
            raise
        return None


def _alive(message_id: str, how: str, hint: str) -> MaestroError:
    return MaestroError("STATUS_CONFLICT", f"{message_id} {how}, so there is nothing to retry", hint)


def _again(message: MessageDoc) -> OutgoingDoc:
    audience = message.get("audience")
    outgoing: OutgoingDoc = {
        "id": retry_id(message["id"], base_ms(message)),
        "to": message.get("originalTo", message["to"]) if audience is None else audience["to"],
        "message": message["message"],
    }
    # Without the thread: the broker finds it again.
    metadata = {name: value for name, value in message.get("metadata", {}).items() if name != "threadId"}
    if metadata:
        outgoing["metadata"] = cast("MetadataDoc", metadata)
    if message.get("attachments"):
        outgoing["attachments"] = [
            {"name": file["name"], "size": file["size"], "type": file["type"], "sha256": file["sha256"]}
            for file in message["attachments"]
        ]
    if message.get("expiresAt", 0) > message["createdAt"]:
        outgoing["ttlMs"] = message["expiresAt"] - message["createdAt"]
    if "originalTo" in message:
        outgoing["onEnded"] = "redirect"
    return outgoing


def _next_retry(client: AnyClient, retry: RetriedSend) -> RetriedSend:
    """The first retry that is not made yet, or that is alive: earlier ones died too."""
    while True:
        try:
            made = client.message(retry.outgoing["id"])
        except MaestroError as error:
            if error.code != "MESSAGE_NOT_FOUND":
                raise
            return retry
        if made["status"] not in _DEAD:
            return retry._replace(before=made)
        retry = retry._replace(outgoing=_again(made))
