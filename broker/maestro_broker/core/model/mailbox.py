"""Mailbox: the mail of one receiver, as far as it is in memory.

Rule: for changes that are not filed yet memory is the truth, for the rest the spool. The counters are always right,
whether or not the mail is loaded; a load checks them. Entries are kept in the order in which a page shows them, so
that a page costs what it holds and not what the mailbox holds.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET, Struct

from maestro_schemas.limits import ATTACHMENT_BYTES_MAX
from maestro_schemas.messages import NO_METADATA, PRIORITY_RANK, Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A message's bytes in a reply beside its text: names of fields, ids, times. Measured: 230 to 420.
_ENVELOPE_BYTES = 512
_DATA_BYTES = 4_096
# The LSN of an entry whose file is current.
_FILED = 0
# About 0.2 ms.
_EVICTED_AT_ONCE = 256
_NORMAL_RANK = PRIORITY_RANK[NO_METADATA.priority]


class MailboxEntry(Struct, gc=False):
    """One message in memory."""

    message: Message
    # Its newest change that is not filed yet, else _FILED.
    lsn: int
    # The reader that leases it, and until when.
    reader: str | None = None
    lease_until_ms: int = 0


class MailboxPage(NamedTuple):
    """A page of mail; see `replies.InboxReply` for the fields."""

    messages: list[Message]
    has_more: bool
    up_to: int
    leased: int
    lease_ends_ms: int | None


class Mailbox:
    """The mail of `session`."""

    __slots__ = (
        "_by_rank",
        "_by_seq",
        "_gone",
        "_oldest_ms",
        "_seq_of",
        "being_read",
        "complete",
        "head_seq",
        "loaded",
        "marked",
        "next_expiry_ms",
        "pending",
        "session",
        "touched_ms",
        "unfiled",
        "unoffered",
    )

    def __init__(self, session: str, *, is_new: bool, oldest_ms: int | None = None) -> None:
        """`oldest_ms`: when the oldest pending message was accepted, where that is known."""
        self.session = session
        # The same, while that message is not in memory; None if it must be read.
        self._oldest_ms = oldest_ms
        # The last number given; the pending messages, and those of them that no reader was offered.
        self.head_seq = 0
        self.pending = 0
        self.unoffered = 0
        self.next_expiry_ms: int | None = None
        # Whether every pending message is in memory, and whether every message of any status is.
        self.loaded = is_new
        self.complete = is_new
        # Whether the files are being read in steps. Nothing is forgotten meanwhile: a step may find an older state.
        self.being_read = False
        # Whether `.pending` is on disk.
        self.marked = False
        self.touched_ms = 0
        self.unfiled = 0
        self._by_seq: dict[int, MailboxEntry] = {}
        # The same entries by priority, each dict in the order of seq.
        self._by_rank: tuple[dict[int, MailboxEntry], ...] = ({}, {}, {})
        self._seq_of: dict[str, int] = {}
        # Deleted messages whose file may still exist: id -> LSN of the deletion, or _FILED.
        self._gone: dict[str, int] = {}

    @property
    def held(self) -> int:
        """The number of messages in memory. (Not `__len__`: an empty mailbox must not be false.)"""
        return len(self._by_seq)

    @property
    def knows_oldest(self) -> bool:
        """Whether `oldest_pending_ms` is known without the files."""
        return self.loaded or not self.pending or self._oldest_ms is not None

    @property
    def oldest_pending_ms(self) -> int | None:
        """When its oldest pending message was accepted; None where there is none."""
        if not self.pending:
            return None
        return self._first_pending_ms() if self.loaded else self._oldest_ms

    def get(self, message_id: str) -> MailboxEntry | None:
        """The entry of a message, if it is in memory."""
        seq = self._seq_of.get(message_id)
        return None if seq is None else self._by_seq[seq]

    def is_gone(self, message_id: str) -> bool:
        """Whether the message was deleted and its file may still exist."""
        return message_id in self._gone

    def knows(self, message_id: str) -> bool:
        """Whether memory alone knows the state of this id in this mailbox."""
        return self.complete or self.remembers(message_id)

    def is_unfiled(self, message_id: str) -> bool:
        """Whether a change of this message waits to be written to its file."""
        seq = self._seq_of.get(message_id)
        if seq is not None and self._by_seq[seq].lsn != _FILED:
            return True
        return self._gone.get(message_id, _FILED) != _FILED

    def beginning_with(self, prefix: str, most: int) -> list[str]:
        """Up to `most` ids in memory that begin with `prefix`."""
        return list(islice((message_id for message_id in self._seq_of if message_id.startswith(prefix)), most))

    def accept(self, message: Message, lsn: int) -> None:
        """Add a new message with the next `seq`; in a replay its file may exist already."""
        seq = message.seq
        if seq > self.head_seq:  # always, except in a replay
            # As `_add`, without its call: this is done for every message.
            rank = _NORMAL_RANK if message.metadata is UNSET else PRIORITY_RANK[message.metadata.priority]
            self._by_seq[seq] = self._by_rank[rank][seq] = MailboxEntry(message, lsn)
            self._seq_of[message.id] = seq
            self.unfiled += 1
            self.head_seq = seq
        else:
            self._replace(MailboxEntry(message, lsn))
        if not self.pending:
            self._oldest_ms = message.created_at
        self.pending += 1
        self.unoffered += 1
        if message.expires_at is not None:
            self._expire_by(message.expires_at)

    def change(self, message: Message, lsn: int, counters: tuple[int, int]) -> None:
        """Give a message its new state; `counters` are its record's."""
        entry = self._by_seq[message.seq]
        self.unfiled += entry.lsn == 0
        entry.message = message
        entry.lsn = lsn
        # The leasing reader has confirmed something. If that was only the offer, the next reader may have it.
        entry.lease_until_ms = 0
        self.count(counters)

    def delete(self, message_id: str, lsn: int, counters: tuple[int, int]) -> None:
        """Remove a message; its id is remembered until the file is removed too."""
        entry = self.get(message_id)
        if entry is not None:
            self._remove(entry.message)
            self.unfiled -= entry.lsn != 0
        self.unfiled += message_id not in self._gone
        self._gone[message_id] = lsn
        self.count(counters)

    def count(self, counters: tuple[int, int]) -> None:
        """Subtract from the counters of pending and of unoffered messages."""
        if counters[0] and not self.loaded:
            self._oldest_ms = None
        self.pending -= counters[0]
        self.unoffered -= counters[1]

    def remembers(self, message_id: str) -> bool:
        """Whether memory has this id, or its deletion, so that its file must be ignored."""
        return message_id in self._seq_of or message_id in self._gone

    def filed(self, message_id: str, lsn: int) -> None:
        """The file has the change `lsn`. A filed message that is not pending leaves memory."""
        seq = self._seq_of.get(message_id)
        if seq is not None:
            entry = self._by_seq[seq]
            if entry.lsn == lsn:
                entry.lsn = _FILED
                self.unfiled -= 1
                if entry.message.status != "pending" and not self.being_read:
                    self._remove(entry.message)
                    self.complete = False
                return
        if self._gone.get(message_id) == lsn:
            self.unfiled -= 1
            if self.being_read:
                self._gone[message_id] = _FILED
            else:
                del self._gone[message_id]

    def drop(self, message_id: str) -> None:
        """The sweep removed the file: forget the message, unless it has changed meanwhile."""
        entry = self.get(message_id)
        if entry is not None and entry.lsn == _FILED and entry.message.status != "pending":
            self._remove(entry.message)
        if self.being_read:
            self._gone.setdefault(message_id, _FILED)  # a step may have read its file before

    def load(self, messages: Iterable[Message]) -> None:
        """Take in messages from the spool."""
        in_order = True
        last = next(reversed(self._by_seq), 0)
        for message in messages:
            # The spool has each number once. Of two messages with one number, that in memory is the journal's.
            if not self.remembers(message.id) and message.seq not in self._by_seq:
                self._add(MailboxEntry(message, _FILED))
                in_order &= message.seq > last
                last = message.seq
        if not in_order:
            self._sort()
        self.head_seq = max(self.head_seq, last)  # in a replay a file may be ahead of its record

    def end_load(self, *, whole: bool) -> bool:
        """End a load: all files were taken in, or if not `whole`, those of pending mail. Whether the counters fit.

        If they do not, a `whole` load corrects them. Otherwise the mailbox stays unloaded, since the spool only hints
        at which files are pending mail.
        """
        self.being_read = False
        for message_id in [name for name, lsn in self._gone.items() if lsn == _FILED]:
            del self._gone[message_id]
        pending = [entry.message for entry in self._by_seq.values() if entry.message.status == "pending"]
        unoffered = sum(message.offered_at is None for message in pending)
        fitted = (len(pending), unoffered) == (self.pending, self.unoffered)
        if not (whole or fitted):
            return False
        self.loaded = True
        self.complete = self.complete or whole
        self.pending, self.unoffered = len(pending), unoffered
        self.head_seq = max(self.head_seq, next(reversed(self._by_seq), 0))
        expiries = [message.expires_at for message in pending if message.expires_at is not None]
        self.next_expiry_ms = min(expiries, default=None)
        return fitted

    def evictions(self, now_ms: int) -> Iterator[None]:
        """Forget messages whose file is current, a bounded number with each step: a large mailbox takes tens of ms.
        Leased ones stay, since no file has their lease. Ends early if the mailbox is read or loaded meanwhile."""
        left = len(self._by_seq) - (self.unfiled - len(self._gone))
        kept = 0
        while kept < left and not self.being_read:
            # One by one: new dicts would take time for every entry that stays, and under load nearly all stay. Only
            # as far as there are any: mostly the oldest, and in a burst a hundred thousand others wait behind them.
            most = min(left, kept + _EVICTED_AT_ONCE)
            filed = list(islice((entry for entry in self._by_seq.values() if not entry.lsn), most))
            free = [entry for entry in filed if entry.lease_until_ms <= now_ms]
            if free:
                if self.loaded:
                    self._oldest_ms = self._first_pending_ms()
                for entry in free:
                    self._remove(entry.message)
                self.loaded = self.complete = False
            left -= len(free)
            kept = len(filed) - len(free)
            yield
            if len(filed) < most or (free and self.loaded):
                return

    def page(
        self,
        *,
        since: int | None,
        limit: int,
        statuses: frozenset[str],
        kind: str | None,
        sender: str | None = None,
        thread: str | None = None,
        offered: bool | None = None,
        loud: bool = False,
        reader: str | None,
        now_ms: int,
        bytes_max: int,
    ) -> MailboxPage:
        """Read mail. A `reader` does not get what others lease; None ignores leases. `loud`: leave out quiet mail.
        Changes nothing."""
        found: list[Message] = []
        size = leased = 0
        lease_ends_ms: int | None = None
        up_to = self.head_seq
        has_more = False
        for entry in self._in_order(since):
            message = entry.message
            if message.status not in statuses or (kind is not None and message.meta.type != kind):
                continue
            if sender is not None and message.sender != sender:
                continue
            if thread is not None and thread not in (message.id, message.meta.thread_id):
                continue
            if offered is not None and offered != (message.offered_at is not None):
                continue
            if loud and message.is_quiet:
                continue
            if message.expires_at is not None and message.expires_at <= now_ms and message.status == "pending":
                continue
            if reader is not None and entry.lease_until_ms > now_ms and entry.reader != reader:
                leased += 1
                up_to = min(up_to, message.seq - 1)
                if lease_ends_ms is None or entry.lease_until_ms < lease_ends_ms:
                    lease_ends_ms = entry.lease_until_ms
                continue
            size += _size_bytes(message)
            if len(found) == limit or (found and size > bytes_max):
                has_more = True
                if since is not None:
                    up_to = min(up_to, found[-1].seq)
                break
            found.append(message)
        return MailboxPage(found, has_more, up_to, leased, lease_ends_ms)

    def lease(self, messages: Iterable[Message], reader: str, until_ms: int) -> None:
        """Hide messages from other leasing readers until then."""
        for message in messages:
            entry = self._by_seq[message.seq]
            entry.reader = reader
            entry.lease_until_ms = until_ms
            # A lease is in memory only, so the mailbox must stay there until the lease ends.
            self.touched_ms = max(self.touched_ms, until_ms)

    def expired(self, now_ms: int) -> list[Message]:
        """Pending messages whose time is over; sets `next_expiry_ms` to the next one."""
        pending = [entry.message for entry in self._by_seq.values() if entry.message.status == "pending"]
        timed = [message for message in pending if message.expires_at is not None]
        later = [message.expires_at for message in timed if message.expires_at and message.expires_at > now_ms]
        self.next_expiry_ms = min(later, default=None)
        return [message for message in timed if message.expires_at and message.expires_at <= now_ms]

    def unoffered_messages(self) -> list[Message]:
        """The pending messages that no reader was offered; only of a loaded mailbox."""
        pending = (entry.message for entry in self._by_seq.values() if entry.message.status == "pending")
        return [message for message in pending if message.offered_at is None]

    def _first_pending_ms(self) -> int | None:
        entries = self._by_seq.values()
        return next((entry.message.created_at for entry in entries if entry.message.status == "pending"), None)

    def _in_order(self, since: int | None) -> Iterable[MailboxEntry]:
        if since is None:
            return chain.from_iterable(entries.values() for entries in self._by_rank)
        if self.head_seq - since < len(self._by_seq):
            # For a reader that is nearly up to date, look at the few new numbers and not at the whole mailbox.
            found = (self._by_seq.get(seq) for seq in range(max(since, 0) + 1, self.head_seq + 1))
            return (entry for entry in found if entry is not None)
        return (entry for seq, entry in self._by_seq.items() if seq > since)

    def _add(self, entry: MailboxEntry) -> None:
        message = entry.message
        seq = message.seq
        self._by_seq[seq] = self._by_rank[PRIORITY_RANK[message.meta.priority]][seq] = entry
        self._seq_of[message.id] = seq

    def _remove(self, message: Message) -> None:
        del self._by_seq[message.seq]
        del self._by_rank[PRIORITY_RANK[message.meta.priority]][message.seq]
        del self._seq_of[message.id]

    def _replace(self, entry: MailboxEntry) -> None:
        seq = entry.message.seq
        old = self._by_seq.get(seq)
        if old is not None:
            self._remove(old.message)
        self.unfiled += (entry.lsn != 0) - (old is not None and old.lsn != 0)
        out_of_order = seq < next(reversed(self._by_seq), 0)
        self._add(entry)
        if out_of_order:
            self._sort()

    def _sort(self) -> None:
        entries = sorted(self._by_seq.items())
        for kept in (self._by_seq, *self._by_rank):
            kept.clear()
        for _, entry in entries:
            self._add(entry)

    def _expire_by(self, at_ms: int) -> None:
        if self.next_expiry_ms is None or at_ms < self.next_expiry_ms:
            self.next_expiry_ms = at_ms


def _size_bytes(message: Message) -> int:
    """An upper bound of the message's bytes in a reply, cheap to compute."""
    text = message.text
    width = 1 if text.isascii() else 4
    files = ATTACHMENT_BYTES_MAX * len(message.attachments)
    return len(text) * width + files + _ENVELOPE_BYTES + (_DATA_BYTES if message.meta.data is not None else 0)
