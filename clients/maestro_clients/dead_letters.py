"""Dead letters: sends that came to nothing, and the same sends once more.

Rule: dead is what expired at the broker, and what was refused for good out of this machine's outbox. A retry is a new
message under an id that follows from the old one's, so that a retry twice by mistake is one send; a retry that died
as well is retried under the id that follows from its own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, cast

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import SYSTEM_SENDER, retry_id

from .outbox import outbox_files

if TYPE_CHECKING:
    from maestro_schemas.documents import MessageDoc, MetadataDoc, OutgoingDoc
    from maestro_schemas.outbox_entry import OutboxEntry

    from .one_shot_client import AnyClient

_DEAD = frozenset({"expired", "failed"})


class RetriedSend(NamedTuple):
    """`outgoing`: what is to be sent, under its new id. `before`: what the id stands for already, if a retry went
    before; then nothing is to be sent. `entry_path`: the outbox's file, which goes once it was sent."""

    outgoing: OutgoingDoc
    before: MessageDoc | None
    entry_path: str | None


def expired(client: AnyClient, session: str | None, limit: int) -> tuple[list[MessageDoc], bool]:
    """The newest `limit` that expired, and whether there are more. Raises MaestroError as `commands.dead`."""
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
    """A dead message of `sender`'s once more, as it was said.

    Raises MaestroError STATUS_CONFLICT for what is not dead, FORBIDDEN for what another has sent, MESSAGE_NOT_FOUND.
    """
    entries = [
        (path, entry) for path, entry in outbox_files.entries(data, sender) if entry.outgoing["id"] == message_id
    ]
    if entries:
        path, entry = entries[-1]
        if entry.failure is None:
            raise _alive(message_id, "waits in the outbox", "It is sent when a broker runs: maestro outbox --replay")
        outgoing = cast("OutgoingDoc", {**entry.outgoing, "id": retry_id(message_id, entry.queued_at)})
        return _last(client, RetriedSend(outgoing, None, path))
    try:
        message = client.message(message_id)
    except MaestroError as error:
        if error.code != "MESSAGE_NOT_FOUND":
            raise
        raise MaestroError(
            error.code,
            error.message,
            "It was deleted, or went after its retention, so its text is gone: send it anew with "
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
            f"Nothing is to be done. What becomes of it: maestro message receipt {message_id}",
        )
    if message["status"] not in _DEAD:
        raise _alive(
            message_id,
            f"was {message['status']}",
            "It reached its receiver. To say it once more, send a new message.",
        )
    return _last(client, RetriedSend(_again(message), None, None))


def retried_as(client: AnyClient, message_id: str, at_ms: int) -> str | None:
    """The id of the retry that was made of a dead message; None where none was, or it is gone. `at_ms`: when the old
    one was due, or queued."""
    try:
        return client.message(retry_id(message_id, at_ms))["id"]
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
    # The thread is the broker's to find again.
    metadata = {name: value for name, value in message.get("metadata", {}).items() if name != "threadId"}
    if metadata:
        outgoing["metadata"] = cast("MetadataDoc", metadata)
    if "expiresAt" in message:
        outgoing["ttlMs"] = due - message["createdAt"]
    if "originalTo" in message:
        outgoing["onEnded"] = "redirect"
    return outgoing


def _last(client: AnyClient, retry: RetriedSend) -> RetriedSend:
    """Past the retries that were made and died as well."""
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
    """An entry that was refused, and sent again since, goes."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
