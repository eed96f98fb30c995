"""Records: the content of the commit log, one change of state each.

Rule: a record has everything that its replay needs, so that records alone rebuild the counters, whatever the files on
disk contain (they may be ahead of the checkpoint). Therefore it has the state before it, `was` and `was_offered`.

A record is a msgpack map, whose `type` names the kind. A newer version of the same data format may write kinds that
this version does not know, if these have `skippable: true`: they concern no mail and no session. Any other unknown
kind is CORRUPT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event, EventName
from maestro_schemas.groups import Group
from maestro_schemas.messages import Message
from maestro_schemas.requests import ConfirmKind
from maestro_schemas.sessions import StoredSession
from maestro_schemas.vocabularies import MessageStatus, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Callable


class SentFile(NamedTuple):
    """A sent message as its sender's file or link names it. That stays as a tombstone when the message is deleted."""

    # Each receiver with the session that the sender addressed, where the message was redirected; in the order of the
    # record.
    deliveries: tuple[tuple[str, str | None], ...]
    # Each session that refused, with the error's code.
    refused: tuple[tuple[str, str], ...] = ()
    # The message itself, where it was refused for good and is in no mailbox.
    failed: Message | None = None

    @property
    def receivers(self) -> tuple[str, ...]:
        """The sessions whose mailboxes took the message."""
        return tuple(receiver for receiver, _ in self.deliveries)


class Delivery(Struct, gc=False, frozen=True, array_like=True):
    """One further receiver of a message."""

    receiver: str
    seq: int
    # The receiver that the sender named, where the broker redirected the message to this one.
    original_to: str | None = None


class Refusal(Struct, gc=False, frozen=True, array_like=True):
    """A session that the sender addressed and that the message was not delivered to."""

    receiver: str
    # An error code.
    code: str


class Accepted(Struct, gc=False, frozen=True, omit_defaults=True, tag="accepted"):
    """A message was accepted, by all its receivers or by none: one record, one CRC.

    `message` is the first delivery, whole. `more` are the further ones, which differ in receiver and number alone.
    Each `seq` is the new last number of its mailbox.
    """

    message: Message
    more: tuple[Delivery, ...] = ()
    refused: tuple[Refusal, ...] = ()

    @property
    def receivers(self) -> tuple[str, ...]:
        """The sessions whose mailboxes took the message."""
        return (self.message.receiver, *(delivery.receiver for delivery in self.more))

    def sent_file(self) -> SentFile:
        """What the sender's file says of the message."""
        first = self.message
        return SentFile(
            ((first.receiver, first.original_to), *((each.receiver, each.original_to) for each in self.more)),
            tuple((each.receiver, each.code) for each in self.refused),
        )

    def copies(self) -> tuple[Message, ...]:
        """The message as each further receiver gets it. All share one text."""
        return tuple(
            replace(self.message, receiver=each.receiver, seq=each.seq, original_to=each.original_to)
            for each in self.more
        )


class Failed(Struct, gc=False, frozen=True, tag="failed"):
    """A message that waited in an outbox was refused for good. Its status is `failed`, and it is in no mailbox."""

    message: Message

    def sent_file(self) -> SentFile:
        """What the sender's file says of the message: the message itself."""
        return SentFile((), (), self.message)


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
    # What woke the receiver's agent before.
    woken_by: str | None = None


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


class SessionChanged(Struct, frozen=True, omit_defaults=True, tag="session"):
    """A session started, changed or ended; `stored` is the whole session afterwards."""

    at: int
    change: Literal["started", "changed", "ended"]
    stored: StoredSession
    # Its status before, unless it is new.
    was: SessionStatus | None = None
    # The newest line of its timeline came with this change.
    is_noted: bool = False
    # It waits for a person from this change on.
    is_waiting: bool = False


class SessionForgotten(Struct, frozen=True, tag="forgotten"):
    """A session that ended long ago was forgotten with its mailbox, which was empty."""

    at: int
    id: str
    project_id: str


class GroupChanged(Struct, frozen=True, omit_defaults=True, tag="group"):
    """A group was made, or its members changed; `group` is the whole group afterwards."""

    at: int
    # A session id, `operator`, or `maestro`.
    by: str
    group: Group
    # The ids of the sessions that joined, and of those that left.
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class GroupDeleted(Struct, frozen=True, tag="group-deleted"):
    """A group was deleted."""

    at: int
    # A session id, `operator`, or `maestro`.
    by: str
    name: str
    project_id: str
    # The ids of its last members.
    members: tuple[str, ...] = ()


class Skipped(Struct, frozen=True, tag="skipped"):
    """A record of a kind that only a newer version knows, and that this one may skip. It changes nothing here."""

    at: int = 0


Record = (
    Accepted
    | Failed
    | Confirmed
    | Deleted
    | Expired
    | Refused
    | SessionChanged
    | SessionForgotten
    | GroupChanged
    | GroupDeleted
    | Skipped
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)

_KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(Record))

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


# The bytes of a record in the log. The encoder's own method: a function around it would cost as much as half of it.
encode: Callable[[Record], bytes] = _encoder.encode


def decode(body: bytes) -> Record:
    """The inverse of `encode`. Raises MaestroError CORRUPT for bytes that are no record of this version."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        skipped = _skipped(body)
        if skipped is not None:
            return skipped
        raise MaestroError("CORRUPT", f"a journal record can't be decoded: {error}") from None


def _skipped(body: bytes) -> Skipped | None:
    """The record of an unknown kind that says that it may be skipped."""
    try:
        fields = msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.get("skippable") is not True or fields.get("type") in _KINDS:
        return None
    at = fields.get("at")
    return Skipped(at if isinstance(at, int) else 0)


def events(lsn: int, record: Record) -> list[Event]:
    """The events that notices, the timeline and replays show for a record, in the order of their index.

    Of an accepted message first its deliveries, then its refusals.
    """
    if type(record) is not Accepted or not (record.more or record.refused):
        return [] if type(record) is Skipped else [event(lsn, record)]
    of = 1 + len(record.more) + len(record.refused)
    first = event(lsn, record)
    found = [replace(first, of=of)]
    found += [
        replace(first, of=of, index=index, receiver=delivery.receiver, seq=delivery.seq)
        for index, delivery in enumerate(record.more, 1)
    ]
    # Without the receiver: every session named in an event may read it, and a refusal is the sender's to know.
    found += [
        Event(
            lsn=lsn,
            index=index,
            of=of,
            at=first.at,
            event="message.refused",
            id=first.id,
            sender=first.sender,
            code=refusal.code,
        )
        for index, refusal in enumerate(record.refused, 1 + len(record.more))
    ]
    return found


def delivery_count(record: Record) -> int:
    """The number of mailboxes that a record changes, at least 1: what its filing costs."""
    return 1 + len(record.more) if type(record) is Accepted else 1


def counter_changes(record: Confirmed | Deleted | Expired) -> tuple[int, int]:
    """What to subtract from the mailbox's counters of pending and of unoffered messages (0 or 1 each).

    Computed from the record alone, because in a replay the message's file may be ahead of it.
    """
    if not isinstance(record, Expired) and record.was != "pending":
        return 0, 0
    stays = isinstance(record, Confirmed) and record.kind == "offered"
    return int(not stays), int(not record.was_offered)


def event(lsn: int, record: Record) -> Event:
    """The only event of a record, or that of an accepted message's first delivery. `events` has all."""
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
        case Failed(message):
            # Without the receiver: the message was not delivered, so it is the sender's to know.
            return Event(
                lsn=lsn,
                at=message.created_at,
                event="message.failed",
                id=message.id,
                sender=message.sender,
                priority=message.meta.priority,
                type=message.meta.type,
                task_id=message.meta.task_id,
                code=message.failure.code if message.failure is not None else None,
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
                delivers=record.kind == "read" and record.was == "pending",
                via=record.via,
                woken_by=record.woken_by,
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
                was=record.was,
                note=session.timeline[-1] if record.is_noted else None,
                needs_input=session.needs_input if record.is_waiting else None,
            )
        case SessionForgotten():
            return Event(
                lsn=lsn, at=record.at, event="session.forgotten", session=record.id, project_id=record.project_id
            )
        case GroupChanged():
            group = record.group
            return Event(
                lsn=lsn,
                at=record.at,
                event="group.changed",
                by=record.by,
                group=group.name,
                members=tuple(member.session for member in group.members),
                joined=record.joined,
                left=record.left,
                project_id=group.project_id,
            )
        case GroupDeleted():
            return Event(
                lsn=lsn,
                at=record.at,
                event="group.deleted",
                by=record.by,
                group=record.name,
                members=record.members,
                project_id=record.project_id,
            )
        case Skipped():  # pragma: no branch - there is no other record, as mypy checks
            raise AssertionError("a skipped record has no event")
