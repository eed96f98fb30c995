"""Mailbox: the mail of one receiver, as far as it is in memory.

Rule: memory is the truth for what is not yet filed, the spool for the rest, and entries for both are kept in the
order of `seq`. The counters are always right, whether or not the mail is loaded; a load checks them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from maestro_schemas.messages import PRIORITY_RANK, Message

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a message costs in a reply beside its text: names of fields, ids, times. Measured: 230 to 420 bytes.
_ENVELOPE_BYTES = 512
_DATA_BYTES = 4_096
# The LSN of what the file tells as well.
_FILED = 0


class MailboxEntry(Struct, gc=False):
    """One message in memory. `lsn`: its newest change that is not filed yet, 0 when the file is current."""

    message: Message
    lsn: int
    reader: str | None = None
    lease_until_ms: int = 0


class MailboxPage(NamedTuple):
    """What a read found; see `replies.InboxReply` for the fields."""

    messages: list[Message]
    has_more: bool
    up_to: int
    leased: int
    lease_ends_ms: int | None


class Mailbox:
    """The mail of `session`.

    `loaded`: every pending message is in memory. `complete`: every message of any status is. `being_read`: its files
    are, piece by piece; until that is over nothing is forgotten, for a piece may tell what was so before. `marked`:
    whether `.pending` is on disk. Counters: `head_seq` the last number given, `pending`, and of those `unoffered`.
    `newest_ms`: the newest time in an id of its filed mail, None where that is not known.
    """

    __slots__ = (
        "_by_seq",
        "_gone",
        "_seq_of",
        "being_read",
        "complete",
        "head_seq",
        "loaded",
        "marked",
        "newest_ms",
        "next_expiry_ms",
        "pending",
        "session",
        "touched_ms",
        "unfiled",
        "unoffered",
    )

    def __init__(self, session: str, *, is_new: bool) -> None:
        self.session = session
        self.head_seq = 0
        self.pending = 0
        self.unoffered = 0
        self.next_expiry_ms: int | None = None
        self.newest_ms: int | None = 0 if is_new else None
        self.loaded = is_new
        self.complete = is_new
        self.being_read = False
        self.marked = False
        self.touched_ms = 0
        self.unfiled = 0
        self._by_seq: dict[int, MailboxEntry] = {}
        self._seq_of: dict[str, int] = {}
        self._gone: dict[str, int] = {}

    @property
    def held(self) -> int:
        """How many messages are in memory. (Not `__len__`: an empty mailbox must not be false.)"""
        return len(self._by_seq)

    def get(self, message_id: str) -> MailboxEntry | None:
        """The entry in memory, if it is there."""
        seq = self._seq_of.get(message_id)
        return None if seq is None else self._by_seq[seq]

    def is_gone(self, message_id: str) -> bool:
        """Whether it was deleted and its file may still be there."""
        return message_id in self._gone

    def knows(self, message_id: str) -> bool:
        """Whether memory alone can say what became of this id in this mailbox."""
        return self.complete or self.remembers(message_id)

    def may_hold(self, message_id: str, id_ms: int) -> bool:
        """Whether only a file can tell if this id was used here; `id_ms`: the time in it. Never where it is newer
        than that of every id that was filed here, so that new mail costs no look at the disk."""
        if self.complete or (self.newest_ms is not None and id_ms > self.newest_ms):
            return False
        return not self.remembers(message_id)

    def accept(self, message: Message, lsn: int) -> None:
        """A new message, whose `seq` is the next one; or, in a replay, one whose file may be there already."""
        seq = message.seq
        if seq > self.head_seq:  # always, but in a replay
            self._by_seq[seq] = MailboxEntry(message, lsn)
            self._seq_of[message.id] = seq
            self.unfiled += 1
            self.head_seq = seq
        else:
            self._put(MailboxEntry(message, lsn))
        self.pending += 1
        self.unoffered += 1
        if message.expires_at is not None:
            self._expire_by(message.expires_at)

    def change(self, message: Message, lsn: int, departures: tuple[int, int]) -> None:
        """A message has a new state; `departures` from the counters are its record's."""
        entry = self._by_seq[message.seq]
        self.unfiled += entry.lsn == 0
        entry.message = message
        entry.lsn = lsn
        # Whoever held it back has confirmed it, in part perhaps: what was only offered is for the next reader.
        entry.lease_until_ms = 0
        self.count(departures)

    def delete(self, message_id: str, lsn: int, departures: tuple[int, int]) -> None:
        """A message goes; its id is remembered until the file is gone too."""
        seq = self._seq_of.pop(message_id, None)
        if seq is not None:
            self.unfiled -= self._by_seq.pop(seq).lsn != 0
        self.unfiled += message_id not in self._gone
        self._gone[message_id] = lsn
        self.count(departures)

    def count(self, departures: tuple[int, int]) -> None:
        """So many pending, and unoffered, messages are so no more."""
        self.pending -= departures[0]
        self.unoffered -= departures[1]

    def remembers(self, message_id: str) -> bool:
        """Whether it is in memory, or was deleted and its file may still be there: what the file says is no news."""
        return message_id in self._seq_of or message_id in self._gone

    def filed(self, message_id: str, lsn: int) -> None:
        """The change `lsn` is on disk. What is filed and no longer pending leaves memory."""
        seq = self._seq_of.get(message_id)
        if seq is not None:
            entry = self._by_seq[seq]
            if entry.lsn == lsn:
                entry.lsn = _FILED
                self.unfiled -= 1
                if entry.message.status != "pending" and not self.being_read:
                    self._forget(entry.message)
                return
        if self._gone.get(message_id) == lsn:
            self.unfiled -= 1
            if self.being_read:
                self._gone[message_id] = _FILED
            else:
                del self._gone[message_id]

    def drop(self, message_id: str) -> None:
        """Its file is gone, for its time was over. What memory holds of it goes too, unless it has changed since."""
        entry = self.get(message_id)
        if entry is not None and entry.lsn == _FILED and entry.message.status != "pending":
            del self._by_seq[entry.message.seq]
            del self._seq_of[message_id]
        if self.being_read:
            self._gone.setdefault(message_id, _FILED)  # its file may have been read before

    def load(self, messages: Iterable[Message]) -> None:
        """Take in some of what the spool holds."""
        in_order = True
        last = next(reversed(self._by_seq), 0)
        for message in messages:
            # The spool gives each number once; of two messages with one number, memory's is the journal's.
            if not self.remembers(message.id) and message.seq not in self._by_seq:
                entry = MailboxEntry(message, 0)
                self._by_seq[message.seq] = entry
                self._seq_of[message.id] = message.seq
                in_order &= message.seq > last
                last = message.seq
        if not in_order:
            self._by_seq = dict(sorted(self._by_seq.items()))
        self.head_seq = max(self.head_seq, last)  # in a replay a file may be ahead of its record

    def end_load(self, *, whole: bool) -> bool:
        """All files were taken in: all pending mail's or, `whole`, all mail's. Returns whether the counters fit.

        Where they do not, the counters are set right if it was `whole`; else the mailbox is as unread as before, for
        which files are pending mail's is a hint of the spool.
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

    def evict(self, now_ms: int) -> None:
        """Let go of what the spool holds too. What is not filed yet stays, and what is leased: no file knows that."""
        if self.being_read or self.unfiled - len(self._gone) == len(self._by_seq):
            return
        # One by one: to make the dicts anew takes time for what stays, and under load nearly all of it does.
        filed = [entry for entry in self._by_seq.values() if not entry.lsn and entry.lease_until_ms <= now_ms]
        for entry in filed:
            del self._by_seq[entry.message.seq]
            del self._seq_of[entry.message.id]
        if filed:
            self.loaded = self.complete = False

    def page(
        self,
        *,
        since: int | None,
        limit: int,
        statuses: frozenset[str],
        kind: str | None,
        offered: bool | None = None,
        reader: str | None,
        now_ms: int,
        bytes_max: int,
    ) -> MailboxPage:
        """Read mail; `reader` None looks past leases and everything else honours them. Changes nothing."""
        found: list[Message] = []
        size = leased = 0
        lease_ends_ms: int | None = None
        up_to = self.head_seq
        has_more = False
        for entry in self._in_order(since):
            message = entry.message
            if message.status not in statuses or (kind is not None and message.meta.type != kind):
                continue
            if offered is not None and offered != (message.offered_at is not None):
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
            # A lease lives in memory only, so the mailbox stays there as long.
            self.touched_ms = max(self.touched_ms, until_ms)

    def expired(self, now_ms: int) -> list[Message]:
        """Pending messages whose time is over; sets when to look next."""
        pending = [entry.message for entry in self._by_seq.values() if entry.message.status == "pending"]
        timed = [message for message in pending if message.expires_at is not None]
        later = [message.expires_at for message in timed if message.expires_at and message.expires_at > now_ms]
        self.next_expiry_ms = min(later, default=None)
        return [message for message in timed if message.expires_at and message.expires_at <= now_ms]

    def _in_order(self, since: int | None) -> Iterable[MailboxEntry]:
        if since is None:
            ranked: tuple[list[MailboxEntry], list[MailboxEntry], list[MailboxEntry]] = ([], [], [])
            for entry in self._by_seq.values():
                ranked[PRIORITY_RANK[entry.message.meta.priority]].append(entry)
            return [*ranked[0], *ranked[1], *ranked[2]]
        if self.head_seq - since < len(self._by_seq):
            # A reader who is nearly up to date looks at the few new numbers, not at the whole mailbox.
            found = (self._by_seq.get(seq) for seq in range(max(since, 0) + 1, self.head_seq + 1))
            return [entry for entry in found if entry is not None]
        return [entry for seq, entry in self._by_seq.items() if seq > since]

    def _put(self, entry: MailboxEntry) -> None:
        message = entry.message
        out_of_order = message.seq < next(reversed(self._by_seq), 0)
        old = self._by_seq.get(message.seq)
        self.unfiled += (entry.lsn != 0) - (old is not None and old.lsn != 0)
        self._by_seq[message.seq] = entry
        self._seq_of[message.id] = message.seq
        if out_of_order:
            self._by_seq = dict(sorted(self._by_seq.items()))

    def _forget(self, message: Message) -> None:
        del self._by_seq[message.seq]
        del self._seq_of[message.id]
        self.complete = False

    def _expire_by(self, at_ms: int) -> None:
        if self.next_expiry_ms is None or at_ms < self.next_expiry_ms:
            self.next_expiry_ms = at_ms


def _size_bytes(message: Message) -> int:
    """An upper bound of the message's bytes in a reply, cheap to find."""
    text = message.text
    width = 1 if text.isascii() else 4
    return len(text) * width + _ENVELOPE_BYTES + (_DATA_BYTES if message.meta.data is not None else 0)
