"""Checkpoint: the counters of each mailbox at one LSN, so that a start need not read the spool.

Rule: the spool writer computes it from records alone, in the order of their LSNs. The file is complete or absent
(written aside, fsynced, renamed), and its CRC tells whether it is complete.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import RATE_WINDOW_MS
from maestro_schemas.names import OPERATOR, SYSTEM_SENDER, message_time_ms

from .records import (
    Accepted,
    Confirmed,
    Deleted,
    Expired,
    Failed,
    Record,
    SessionChanged,
    SessionForgotten,
    counter_changes,
)

if TYPE_CHECKING:
    from maestro_schemas.messages import Message


class MailboxHead(Struct, omit_defaults=True):
    """One session and its mailbox. It is kept while links of the session's sent messages exist."""

    # The last number given; the pending messages, and those of them that no reader was offered.
    seq: int = 0
    pending: int = 0
    unoffered: int = 0
    # The earliest possible expiry.
    next_expiry_ms: int | None = None
    # The newest time in an id of the messages that the session sent (0: none yet); None if that is not known.
    sent_ms: int | None = None
    # When the oldest pending message was accepted; None if there is none, or if its file must tell: only an arrival
    # in an empty mailbox is known without reading.
    oldest_ms: int | None = None


class Checkpoint(Struct, omit_defaults=True):
    """All mailboxes after the record `lsn`."""

    lsn: int = 0
    # The time of the newest record, in ms.
    at: int = 0
    mailboxes: dict[str, MailboxHead] = {}
    # The times of each session's accepted sends within the last minute.
    sends: dict[str, list[int]] = {}
    # Of a log that is replicated: the stream's sequence at `lsn`, the epoch of its writer, and the post office's id.
    stream_seq: int | None = None
    epoch: int | None = None
    post_office: str | None = None

    def apply(self, lsn: int, record: Record, rate_limit: int) -> None:
        """Count the next record. The last `rate_limit` sends of a session are kept, as no check needs more."""
        self.lsn = lsn
        match record:
            case Accepted(message):
                self._deliver(message.receiver, message.seq, message)
                for delivery in record.more:
                    self._deliver(delivery.receiver, delivery.seq, message)
                self._sent(message)
                if rate_limit and message.sender != SYSTEM_SENDER:
                    times_ms = self.sends.setdefault(message.sender, [])
                    times_ms.append(message.created_at)
                    del times_ms[:-rate_limit]
            case Failed(message):
                self._sent(message)
            case Confirmed() | Deleted() | Expired():
                head = self._head(record.mailbox)
                pending, unoffered = counter_changes(record)
                head.pending -= pending
                head.unoffered -= unoffered
                if pending:
                    head.oldest_ms = None
                self.at = max(self.at, record.at)
            case SessionChanged():
                session = record.stored.session.id
                if session not in self.mailboxes:
                    self.mailboxes[session] = MailboxHead(sent_ms=0)
                self.at = max(self.at, record.at)
            case SessionForgotten():
                self.mailboxes.pop(record.id, None)
                self.at = max(self.at, record.at)
            case _:
                self.at = max(self.at, record.at)

    def forget_old_sends(self) -> None:
        """Drop sends outside the rate window: once before the file is written, not for each record."""
        since = self.at - RATE_WINDOW_MS
        kept = {name: [at for at in times if at > since] for name, times in self.sends.items()}
        self.sends = {name: times for name, times in kept.items() if times}

    def _sent(self, message: Message) -> None:
        self.at = max(self.at, message.created_at)
        id_ms = message_time_ms(message.id)
        # The operator has no record of a start, which makes the entry of any other session.
        sender = self._head(OPERATOR) if message.sender == OPERATOR else self.mailboxes.get(message.sender)
        if sender is not None and sender.sent_ms is not None and id_ms > sender.sent_ms:
            sender.sent_ms = id_ms

    def _deliver(self, receiver: str, seq: int, message: Message) -> None:
        head, expires_at = self._head(receiver), message.expires_at
        head.seq = seq
        if not head.pending:
            head.oldest_ms = message.created_at
        head.pending += 1
        head.unoffered += 1
        if expires_at is not None and (head.next_expiry_ms is None or expires_at < head.next_expiry_ms):
            head.next_expiry_ms = expires_at

    def _head(self, session: str) -> MailboxHead:
        head = self.mailboxes.get(session)
        if head is None:
            head = self.mailboxes[session] = MailboxHead(sent_ms=0 if session == OPERATOR else None)
        return head


_decoder = msgspec.msgpack.Decoder(Checkpoint)
CRC_BYTES = 4


def encode(checkpoint: Checkpoint) -> bytes:
    """CRC32 (big endian) of the rest, then msgpack."""
    body = msgspec.msgpack.encode(checkpoint)
    return zlib.crc32(body).to_bytes(CRC_BYTES, "big") + body


def decode(raw: bytes) -> Checkpoint:
    """The inverse of `encode`. Raises MaestroError CORRUPT."""
    body = raw[CRC_BYTES:]
    if len(raw) <= CRC_BYTES or zlib.crc32(body).to_bytes(CRC_BYTES, "big") != raw[:CRC_BYTES]:
        raise MaestroError("CORRUPT", "the checkpoint file fails its checksum")
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise MaestroError("CORRUPT", f"the checkpoint file can't be decoded: {error}") from None
