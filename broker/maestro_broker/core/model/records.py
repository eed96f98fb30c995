"""Records: the content of the commit log, one change of state each.

Rule: a record has everything that its replay needs, so that records alone rebuild the counters, whatever the files on
disk contain (they may be ahead of the checkpoint). Therefore it has the state before it, `was` and `was_offered`.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event, EventName
from maestro_schemas.messages import Message
from maestro_schemas.requests import ConfirmKind
from maestro_schemas.sessions import StoredSession
from maestro_schemas.vocabularies import MessageStatus


class Accepted(Struct, gc=False, frozen=True, tag="accepted"):
    """A message was accepted; `message.seq` is the new last number of its mailbox."""

    message: Message


class Confirmed(Struct, gc=False, frozen=True, omit_defaults=True, tag="confirmed"):
    """A message was offered, delivered or read."""

    id: str
    mailbox: str
    sender: str
    seq: int
    kind: ConfirmKind
    # When, in ms.
    at: int
    # The message's status before, and whether it was offered.
    was: MessageStatus
    was_offered: bool = False
    via: str | None = None


class Deleted(Struct, gc=False, frozen=True, omit_defaults=True, tag="deleted"):
    """A message was deleted `by` a session or the operator."""

    id: str
    mailbox: str
    sender: str
    seq: int
    at: int
    by: str
    was: MessageStatus
    was_offered: bool = False


class Expired(Struct, gc=False, frozen=True, omit_defaults=True, tag="expired"):
    """A pending message reached its `expiresAt`, or its retention ended."""

    id: str
    mailbox: str
    sender: str
    seq: int
    at: int
    was_offered: bool = False


class Refused(Struct, gc=False, frozen=True, omit_defaults=True, tag="refused"):
    """A request was refused: for the audit alone."""

    at: int
    code: str
    # The session that the caller named, authenticated or not.
    session: str | None = None
    to: str | None = None
    id: str | None = None


class SessionChanged(Struct, frozen=True, tag="session"):
    """A session started, changed or ended; `stored` is the whole session afterwards."""

    at: int
    change: Literal["started", "changed", "ended"]
    stored: StoredSession


class SessionForgotten(Struct, frozen=True, tag="forgotten"):
    """A session that ended long ago was forgotten with its mailbox, which was empty."""

    at: int
    id: str
    project_id: str


Record = Accepted | Confirmed | Deleted | Expired | Refused | SessionChanged | SessionForgotten

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)

_CONFIRMED: dict[ConfirmKind, EventName] = {
    "offered": "message.offered",
    "delivered": "message.delivered",
    "read": "message.read",
}
_SESSION: dict[str, EventName] = {
    "started": "session.started",
    "changed": "session.changed",
    "ended": "session.ended",
}


def encode(record: Record) -> bytes:
    """The bytes of a record in the log."""
    return _encoder.encode(record)


def decode(body: bytes) -> Record:
    """The inverse of `encode`. Raises MaestroError CORRUPT for bytes that are no record of this version."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MaestroError("CORRUPT", f"a journal record can't be decoded: {error}") from None


def counter_changes(record: Confirmed | Deleted | Expired) -> tuple[int, int]:
    """What to subtract from the mailbox's counters of pending and of unoffered messages (0 or 1 each).

    Computed from the record alone, because in a replay the message's file may be ahead of it.
    """
    if not isinstance(record, Expired) and record.was != "pending":
        return 0, 0
    stays = isinstance(record, Confirmed) and record.kind == "offered"
    return int(not stays), int(not record.was_offered)


def event(lsn: int, record: Record) -> Event:
    """The event that notices, the timeline and replays show for a record."""
    match record:
        case Accepted(message):
            meta = message.meta
            return Event(
                lsn=lsn,
                at=message.created_at,
                event="message.accepted",
                id=message.id,
                sender=message.sender,
                receiver=message.receiver,
                seq=message.seq,
                priority=meta.priority,
                type=meta.type,
                task_id=meta.task_id,
                thread_id=meta.thread_id,
            )
        case Confirmed():
            return Event(
                lsn=lsn,
                at=record.at,
                event=_CONFIRMED[record.kind],
                id=record.id,
                sender=record.sender,
                receiver=record.mailbox,
                seq=record.seq,
                via=record.via,
            )
        case Deleted():
            return Event(
                lsn=lsn,
                at=record.at,
                event="message.deleted",
                id=record.id,
                sender=record.sender,
                receiver=record.mailbox,
                seq=record.seq,
                by=record.by,
            )
        case Expired():
            return Event(
                lsn=lsn,
                at=record.at,
                event="message.expired",
                id=record.id,
                sender=record.sender,
                receiver=record.mailbox,
                seq=record.seq,
            )
        case Refused():
            # Leave out `to`: every session named in an event may read it, and a refused send does not concern its
            # receiver.
            return Event(
                lsn=lsn, at=record.at, event="message.refused", id=record.id, sender=record.session, code=record.code
            )
        case SessionChanged():
            session = record.stored.session
            return Event(
                lsn=lsn,
                at=record.at,
                event=_SESSION[record.change],
                session=session.id,
                project_id=session.project_id,
                status=session.status,
            )
        case SessionForgotten():  # pragma: no branch - there is no other record, as mypy checks
            return Event(
                lsn=lsn, at=record.at, event="session.forgotten", session=record.id, project_id=record.project_id
            )
