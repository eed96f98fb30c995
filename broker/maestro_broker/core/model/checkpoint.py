"""Heads: each mailbox's counters at a checkpoint, so that a start need not read the spool.

Rule: heads are absorbed from records alone, in order of LSN, by the filer; the file is whole or absent (written
aside, fsynced, renamed) and says by its CRC whether it is whole.
"""

from __future__ import annotations

import zlib

import msgspec
from msgspec import Struct

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import RATE_WINDOW_MS
from maestro_schemas.names import SYSTEM_SENDER, message_time_ms

from .records import Accepted, Confirmed, Deleted, Expired, Record, SessionChanged, SessionForgotten, counter_changes


class MailboxHead(Struct, omit_defaults=True):
    """One session: its mailbox's last `seq`, `pending` mail, of that `unoffered`, and the earliest possible expiry
    (ms); `sent_ms`: the newest time in an id of what it sent (0: nothing yet), None where that is not known;
    `got_ms`: the same of what it received.

    What was sent leaves links behind, so a head must not go before they do.
    """

    seq: int = 0
    pending: int = 0
    unoffered: int = 0
    next_expiry_ms: int | None = None
    sent_ms: int | None = None
    got_ms: int | None = None


class Checkpoint(Struct):
    """All mailboxes at `lsn`; `at` the time of that record (ms); `sends`: accepted sends of the last minute."""

    lsn: int = 0
    at: int = 0
    mailboxes: dict[str, MailboxHead] = {}
    sends: dict[str, list[int]] = {}

    def apply(self, lsn: int, record: Record, rate_limit: int) -> None:
        """Count one record, the next in order. Of a session's sends the last `rate_limit` are kept: no more are
        ever looked at."""
        self.lsn = lsn
        match record:
            case Accepted(message):
                head = self._head(message.receiver)
                head.seq = message.seq
                head.pending += 1
                head.unoffered += 1
                expires_at = message.expires_at
                if expires_at is not None and (head.next_expiry_ms is None or expires_at < head.next_expiry_ms):
                    head.next_expiry_ms = expires_at
                self.at = max(self.at, message.created_at)
                id_ms = message_time_ms(message.id)
                if head.got_ms is not None and id_ms > head.got_ms:
                    head.got_ms = id_ms
                sender = self.mailboxes.get(message.sender)
                if sender is not None and sender.sent_ms is not None and id_ms > sender.sent_ms:
                    sender.sent_ms = id_ms
                if rate_limit and message.sender != SYSTEM_SENDER:
                    times_ms = self.sends.setdefault(message.sender, [])
                    times_ms.append(message.created_at)
                    del times_ms[:-rate_limit]
            case Confirmed() | Deleted() | Expired():
                head = self._head(record.mailbox)
                pending, unoffered = counter_changes(record)
                head.pending -= pending
                head.unoffered -= unoffered
                self.at = max(self.at, record.at)
            case SessionChanged():
                session = record.stored.session.id
                if session not in self.mailboxes:
                    self.mailboxes[session] = MailboxHead(sent_ms=0, got_ms=0)
                self.at = max(self.at, record.at)
            case SessionForgotten():
                self.mailboxes.pop(record.id, None)
                self.at = max(self.at, record.at)
            case _:
                self.at = max(self.at, record.at)

    def forget_old_sends(self) -> None:
        """Drop what has left the rate window; done before the heads are written, not for each record."""
        since = self.at - RATE_WINDOW_MS
        kept = {name: [at for at in times if at > since] for name, times in self.sends.items()}
        self.sends = {name: times for name, times in kept.items() if times}

    def _head(self, session: str) -> MailboxHead:
        head = self.mailboxes.get(session)
        if head is None:
            head = self.mailboxes[session] = MailboxHead()
        return head


_decoder = msgspec.msgpack.Decoder(Checkpoint)
_CRC_BYTES = 4


def encode(heads: Checkpoint) -> bytes:
    """CRC32 (big endian) of the rest, then msgpack."""
    body = msgspec.msgpack.encode(heads)
    return zlib.crc32(body).to_bytes(_CRC_BYTES, "big") + body


def decode(raw: bytes) -> Checkpoint:
    """The inverse of `encode`. Raises MaestroError CORRUPT."""
    body = raw[_CRC_BYTES:]
    if len(raw) <= _CRC_BYTES or zlib.crc32(body).to_bytes(_CRC_BYTES, "big") != raw[:_CRC_BYTES]:
        raise MaestroError("CORRUPT", "the heads file fails its checksum")
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise MaestroError("CORRUPT", f"the heads file can't be decoded: {error}") from None
