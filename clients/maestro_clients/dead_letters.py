"""Dead letters: messages that expired or were refused for good, and their retries.

Rule: a message is dead if it expired at the broker, or was refused for good from this machine's outbox. A retry is a
new message under an id that follows from the old id, so that two retries by mistake are one send. A retry that died
too is retried under the id that follows from its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from maestro_runtime import outbox_dir
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import SYSTEM_SENDER, canonical_id, ending_of, mark_of, retry_id

from .outbox import outbox_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_schemas.documents import MessageDoc, MetadataDoc, OutgoingDoc
    from maestro_schemas.outbox_entry import OutboxEntry

    from .one_shot_client import AnyClient

_DEAD = frozenset({"expired", "failed"})


class RetriedSend(NamedTuple):
    """A dead message as it is sent again."""

    # The message to send, under its new id.
    outgoing: OutgoingDoc
    # The message of an earlier retry, which has the id already; then there is nothing to send.
    before: MessageDoc | None
    # The file in the outbox, to be removed after the send.
    entry_path: str | None


def expired(client: AnyClient, session: str | None, limit: int) -> tuple[list[MessageDoc], bool]:
    """The newest `limit` expired messages, and whether there are more. Raises MaestroError as `commands.dead`."""
    found: list[MessageDoc] = []
    before: int | None = None
    while True:
        # One more than is shown: with that many there are more.
        page = client.dead(session=session, before=before, limit=limit + 1 - len(found))
        found += page["messages"]
        before = page["before"]
        if len(found) > limit or not page["hasMore"]:
            return found[:limit], len(found) > limit


def refused(data: str, session: str | None) -> list[tuple[str, OutboxEntry]]:
    """Entries of this machine's outbox that were refused for good, with their paths; the newest first."""
    failed = [(path, entry) for path, entry in outbox_files.entries(data, session) if entry.failure is not None]
    return sorted(failed, key=lambda found: found[1].queued_at, reverse=True)


def retry_of(client: AnyClient, data: str, sender: str, message_id: str) -> RetriedSend:
    """The retry of a dead message of `sender`, with the same content.

    Raises MaestroError STATUS_CONFLICT for a message that is not dead, FORBIDDEN for another sender's,
    MESSAGE_NOT_FOUND.
    """
    mark = ending_of(message_id) or mark_of(sender)
    wanted = canonical_id(message_id, mark)

    def of(found: Sequence[tuple[str, OutboxEntry]]) -> tuple[str, OutboxEntry] | None:
        # An entry has its sender's key, and may be named by it or by the id that the message is to get.
        same = [(path, entry) for path, entry in found if canonical_id(entry.outgoing["id"], mark) == wanted]
        return same[-1] if same else None

    kept = of(outbox_files.entries(data, sender))
    if kept is not None and kept[1].failure is None:
        raise _alive(message_id, "waits in the outbox", "It is sent when a broker runs: maestro outbox --replay")
    kept = kept or of(outbox_files.retried(data, sender))
    if kept is not None:
        path, entry = kept
        outgoing = cast("OutgoingDoc", {**entry.outgoing, "id": retry_id(wanted, entry.queued_at)})
        return _next_retry(client, RetriedSend(outgoing, None, path))
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
    return _next_retry(client, RetriedSend(_again(message), None, None))


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
    due = message.get("expiresAt", message["createdAt"])
    outgoing: OutgoingDoc = {
        "id": retry_id(message["id"], due),
        "to": message.get("originalTo", message["to"]),
        "message": message["message"],
    }
    # Without the thread: the broker finds it again.
    metadata = {name: value for name, value in message.get("metadata", {}).items() if name != "threadId"}
    if metadata:
        outgoing["metadata"] = cast("MetadataDoc", metadata)
    if "expiresAt" in message:
        outgoing["ttlMs"] = due - message["createdAt"]
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


def forget(path: str) -> None:
    """Put a refused entry aside whose message was sent again; `retry_of` still finds it. Raises OSError."""
    outbox_dir.keep_as_retried(path)
