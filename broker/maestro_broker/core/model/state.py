"""State: everything that a post office knows, and how records change it.

Rule: every change is a record. `apply` carries out a record and adds it to the current batch; `replay` does the same
for the end of the journal, so that both lead to the same state. The server loads mail that is not in memory. No I/O,
no clock, and nothing that concerns one request alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from msgspec import UNSET, Struct
from msgspec.structs import replace

from maestro_broker.core import validation
from maestro_schemas.limits import PAIR_WINDOW_MS, RATE_WINDOW_MS
from maestro_schemas.messages import Message
from maestro_schemas.names import OPERATOR, SYSTEM_SENDER, message_time_ms
from maestro_schemas.vocabularies import MessageStatus

from .count_window import CountWindow
from .deadlines import Deadlines
from .loop_guard import PairHistory, pair_key
from .mailbox import Mailbox
from .reads import Read
from .records import (
    Accepted,
    Confirmed,
    Deleted,
    Expired,
    Failed,
    GroupChanged,
    GroupDeleted,
    Record,
    SentFile,
    SessionChanged,
    SessionForgotten,
    counter_changes,
)
from .session_registry import SessionRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from maestro_schemas.groups import Group
    from maestro_schemas.limits import Limits

    from .checkpoint import Checkpoint


class Change(Struct, gc=False, frozen=True):
    """One record of a batch."""

    lsn: int
    record: Record
    # The message as it is after the record, for the spool writer; None if there is no message any more.
    message: Message | None
    # The same for the further receivers of an accepted message.
    more: tuple[Message, ...] = ()
    # The time in the id of an accepted message, where it is known already.
    id_ms: int | None = None


class SentMessage(NamedTuple):
    """A message that was sent, as it is now."""

    # What the sender's file says.
    file: SentFile
    # The deliveries that are there, in the order of the record; none if all were deleted. Of a failed message itself.
    there: tuple[Message, ...]

    def shown_to(self, session: str | None) -> Message | None:
        """The receiver's own delivery, else the first that is there."""
        own = (message for message in self.there if message.receiver == session)
        return next(own, self.there[0] if self.there else None)


class State:
    """The state of one post office."""

    def __init__(self, limits: Limits, checkpoint: Checkpoint) -> None:
        self.limits = limits
        self.sessions = SessionRegistry()
        self.mailboxes: dict[str, Mailbox] = {}
        self.deadlines = Deadlines()
        # The LSN of the newest record, committed or not, and of the newest record whose files are written.
        self.lsn = checkpoint.lsn
        self.filed_lsn = checkpoint.lsn
        self._counter_mismatches: list[str] = []
        self._touched: dict[str, Mailbox] = {}
        # The mailboxes with pending mail or mail in memory, and some that had any a while ago.
        self._used: dict[str, Mailbox] = {}
        self._changes: list[Change] = []
        # The accepted messages with files, for the server to take: their files come beside them before the notice.
        self.attached: list[Accepted] = []
        self._windows: dict[str, validation.RateWindow] = {}
        self._pairs: dict[tuple[str, str], PairHistory] = {}
        # Of messages to several sessions: by thread and by group how many there were, by sender the deliveries.
        self._fan_outs: dict[str, CountWindow] = {}
        self._budgets: dict[str, CountWindow] = {}
        # Messages whose sender's file is not written yet, by id.
        self._unfiled: dict[str, Accepted | Failed] = {}
        # By thread, its answers that are not filed yet: id -> receivers.
        self._answers: dict[str, dict[str, tuple[str, ...]]] = {}
        self.groups: dict[str, Group] = {}
        # By group, the ids of the messages to it that are not filed yet.
        self._group_mail: dict[str, dict[str, None]] = {}
        # By sender, the newest time in an id of its filed messages; see MailboxHead.sent_ms.
        self._sent_ms: dict[str, int] = {}
        for session, head in checkpoint.mailboxes.items():
            mailbox = Mailbox(session, is_new=head.seq == 0, oldest_ms=head.oldest_ms)
            mailbox.head_seq = head.seq
            mailbox.pending = head.pending
            mailbox.unoffered = head.unoffered
            mailbox.next_expiry_ms = head.next_expiry_ms
            self.mailboxes[session] = mailbox
            if head.pending:
                self._used[session] = mailbox
            if head.sent_ms is not None:
                self._sent_ms[session] = head.sent_ms
            if head.next_expiry_ms is not None:
                self.deadlines.set(session, head.next_expiry_ms)
        if OPERATOR not in self.mailboxes:
            # No record starts the built-in session.
            self.mailboxes[OPERATOR] = Mailbox(OPERATOR, is_new=True)
            self._sent_ms[OPERATOR] = 0
        for session, times_ms in checkpoint.sends.items():
            window = self._windows[session] = validation.RateWindow()
            for at_ms in times_ms:
                window.append(at_ms)

    def load_mailbox(self, session: str, messages: Iterable[Message], now_ms: int, *, whole: bool = True) -> bool:
        """Take in a mailbox's files: all of them if `whole`, else those that look like pending mail.

        False if these do not match the counters, so that all files must be read.
        """
        mailbox = self._used[session] = self.mailbox(session)
        mailbox.load(messages)
        fitted = mailbox.end_load(whole=whole)
        if not (fitted or whole):
            return False
        if not fitted:
            self._counter_mismatches.append(session)
        mailbox.touched_ms = max(mailbox.touched_ms, now_ms)
        self._touched[session] = mailbox
        if mailbox.next_expiry_ms is not None:
            self.deadlines.set(session, mailbox.next_expiry_ms)
        return True

    def load_message(self, message: Message) -> None:
        """Take in one file of a mailbox."""
        mailbox = self._used[message.receiver] = self.mailbox(message.receiver)
        mailbox.load((message,))

    def unfiled_answers(self, thread_id: str) -> dict[str, tuple[str, ...]]:
        """The answers of a thread that are not filed yet: id -> receivers."""
        return self._answers.get(thread_id, {})

    def unfiled_of_group(self, name: str) -> tuple[str, ...]:
        """The ids of the messages to a group that are not filed yet."""
        return tuple(self._group_mail.get(name, ()))

    def is_unfiled(self, message_id: str) -> bool:
        """Whether memory knows the receivers of this message, since its sender's file is not written yet."""
        return message_id in self._unfiled

    def may_be_filed(self, sender: str, message_id: str, id_ms: int) -> bool:
        """Whether only a file can tell if this sender has used the id; `id_ms`: the time in the id.

        False if that time is newer than in all its filed ids, so that a new message needs no disk access.
        """
        newest_ms = self._sent_ms.get(sender)
        if newest_ms is not None and id_ms > newest_ms:
            return False
        return message_id not in self._unfiled

    def is_new(self, sender: str, message_id: str, id_ms: int) -> bool:
        """Whether memory alone can tell that this sender has not used the id; `id_ms`: the time in the id."""
        newest_ms = self._sent_ms.get(sender)
        return newest_ms is not None and id_ms > newest_ms and message_id not in self._unfiled

    def replay_reads(self, record: Record) -> list[Read]:
        """The reads that `replay` of this record needs."""
        match record:
            case Confirmed() | Expired():
                mailbox = self.mailbox(record.mailbox)
                return [] if mailbox.knows(record.id) else [Read("file", record.mailbox, record.id)]
        return []

    def replay(self, lsn: int, record: Record) -> None:
        """Apply a record from the end of the journal again, after its `replay_reads`."""
        self.lsn = lsn - 1
        match record:
            case Accepted(message):
                self.apply(record, message)
                if message.sender != SYSTEM_SENDER and self.limits.rate_limit:
                    self.window(message.sender).append(message.created_at)
            case Confirmed():
                entry = self.mailbox(record.mailbox).get(record.id)
                if entry is None:  # a later record deletes it, and the file is gone already
                    self._skip(record)
                else:
                    new = advance_status(entry.message, record.kind, record.via, record.at, record.woken_by)
                    self.apply(record, new)
            case Expired():
                entry = self.mailbox(record.mailbox).get(record.id)
                if entry is None:
                    self._skip(record)
                else:
                    self.apply(record, replace(entry.message, status="expired"))
            case _:
                self.apply(record, None)

    def take_counter_mismatches(self) -> list[str]:
        """The mailboxes whose counters were wrong when they were loaded, since the last call."""
        mismatches, self._counter_mismatches = self._counter_mismatches, []
        return mismatches

    def take_changes(self) -> list[Change]:
        """The records since the last call, in order of LSN."""
        changes, self._changes = self._changes, []
        return changes

    def take_touched(self) -> list[Mailbox]:
        """The mailboxes whose counters may have changed since the last call."""
        touched, self._touched = self._touched, {}
        return list(touched.values())

    def filed(self, changes: Iterable[Change]) -> None:
        """The files of these changes are written."""
        mailboxes, unfiled, sent_ms = self.mailboxes, self._unfiled, self._sent_ms
        for change in changes:
            record, lsn = change.record, change.lsn
            self.filed_lsn = lsn
            if type(record) is Accepted:
                # As `_filed_sent` and `_filed_delivery`, without their calls: this is done for every message.
                message, id_ms = record.message, change.id_ms
                message_id = message.id
                unfiled.pop(message_id, None)
                if id_ms is None:
                    id_ms = message_time_ms(message_id)
                if id_ms > sent_ms.get(message.sender, id_ms):
                    sent_ms[message.sender] = id_ms
                if not record.more:
                    mailbox = mailboxes.get(message.receiver)
                    if mailbox is not None:
                        mailbox.filed(message_id, lsn)
                else:
                    for receiver in record.receivers:
                        self._filed_delivery(receiver, message_id, lsn)
                if message.metadata is not UNSET:
                    self._filed_answer(message)
                if message.audience is not None:
                    self._filed_group_mail(message)
            elif isinstance(record, Failed):
                self._filed_sent(record.message)
            elif isinstance(record, Confirmed | Deleted | Expired):
                self._filed_delivery(record.mailbox, record.id, lsn)

    def used_mailboxes(self) -> list[Mailbox]:
        """The mailboxes with pending mail or mail in memory: the others, however many, cost nothing."""
        for session in [name for name, mailbox in self._used.items() if not (mailbox.pending or mailbox.held)]:
            del self._used[session]
        return list(self._used.values())

    def evictions(self, now_ms: int) -> Iterator[None]:
        """Evict the mailboxes that were not used for `mailbox_idle_ms`. Above `loaded_messages_max` messages, evict
        those that were used least recently as well. Each step does a little."""
        idle_since = now_ms - self.limits.mailbox_idle_ms
        for mailbox in self.used_mailboxes():
            if mailbox.held and mailbox.touched_ms < idle_since:
                yield from mailbox.evictions(now_ms)
                yield
        used = self.used_mailboxes()
        held = sum(mailbox.held for mailbox in used)
        if held <= self.limits.loaded_messages_max:
            return
        for mailbox in sorted(filter(_is_held, used), key=_touched_ms):
            before = mailbox.held
            yield from mailbox.evictions(now_ms)
            held -= before - mailbox.held
            if held <= self.limits.loaded_messages_max:
                return
            yield

    def drop_old_windows(self, now_ms: int) -> None:
        """Forget what was counted of sends, where that is over."""
        for session in [name for name, window in self._windows.items() if not window]:
            del self._windows[session]
        for key in [key for key, pair in self._pairs.items() if pair.is_over(now_ms)]:
            del self._pairs[key]
        for windows in (self._fan_outs, self._budgets):
            for name in [name for name, counted in windows.items() if counted.is_over(now_ms)]:
                del windows[name]

    def adopt_mailbox(self, session: str) -> None:
        """Give a session that was read from disk its mailbox."""
        self.mailbox(session)

    def apply(self, record: Record, message: Message | None) -> None:
        """Change the state as the record says, and add the record to the current batch."""
        self.lsn += 1
        lsn = self.lsn
        more: tuple[Message, ...] = ()
        match record:
            case Accepted(accepted):
                if record.more:
                    more = record.copies()
                for delivery in (accepted, *more):
                    receiver = delivery.receiver
                    mailbox = self.mailboxes.get(receiver) or self.mailbox(receiver)
                    mailbox.accept(delivery, lsn)
                    self._touched[receiver] = self._used[receiver] = mailbox
                    if delivery.expires_at is not None:
                        self.deadlines.set(receiver, delivery.expires_at)
                    if delivery.created_at > mailbox.touched_ms:
                        mailbox.touched_ms = delivery.created_at
                self._unfiled[accepted.id] = record
                if accepted.metadata is not UNSET and accepted.metadata.thread_id is not None:
                    self._answers.setdefault(accepted.metadata.thread_id, {})[accepted.id] = record.receivers
                if accepted.audience is not None:
                    for name in accepted.groups:
                        self._group_mail.setdefault(name, {})[accepted.id] = None
            case Failed(refused):
                self._unfiled[refused.id] = record
            case Confirmed() | Expired():
                mailbox = self.mailbox(record.mailbox)
                mailbox.change(cast("Message", message), lsn, counter_changes(record))
                self._touched[record.mailbox] = mailbox
            case Deleted():
                mailbox = self.mailbox(record.mailbox)
                mailbox.delete(record.id, lsn, counter_changes(record))
                self._touched[record.mailbox] = mailbox
            case SessionChanged():
                self.sessions.put(record.stored)
                session_id = record.stored.session.id
                if session_id not in self.mailboxes:
                    self.mailboxes[session_id] = Mailbox(session_id, is_new=True)
                    self._sent_ms[session_id] = 0
            case SessionForgotten():
                # Use only the id: in a replay, some or all of the session may be gone already.
                self.sessions.drop(record.id)
                for known in (self.mailboxes, self._sent_ms, self._windows, self._touched, self._used):
                    known.pop(record.id, None)
            case GroupChanged():
                self.groups[record.group.name] = record.group
            case GroupDeleted():
                self.groups.pop(record.name, None)
                self._group_mail.pop(record.name, None)
        self._changes.append(Change(lsn, record, message, more))

    def apply_plain(self, record: Accepted, mailbox: Mailbox, id_ms: int) -> None:
        """As `apply`, of a message to one session without metadata and an end. Its mailbox and the time in its id are
        known."""
        message = record.message
        self.lsn = lsn = self.lsn + 1
        mailbox.accept(message, lsn)
        self._touched[mailbox.session] = self._used[mailbox.session] = mailbox
        if message.created_at > mailbox.touched_ms:
            mailbox.touched_ms = message.created_at
        self._unfiled[message.id] = record
        self._changes.append(Change(lsn, record, message, (), id_ms))

    def _skip(self, record: Confirmed | Expired) -> None:
        """Replay a change to a message whose file is gone: only the counters change, here and in the checkpoint."""
        mailbox = self.mailbox(record.mailbox)
        mailbox.count(counter_changes(record))
        self.lsn += 1
        self._touched[record.mailbox] = mailbox
        self._changes.append(Change(self.lsn, record, None))

    def _filed_sent(self, message: Message) -> None:
        self._unfiled.pop(message.id, None)
        id_ms = message_time_ms(message.id)
        if id_ms > self._sent_ms.get(message.sender, id_ms):
            self._sent_ms[message.sender] = id_ms

    def _filed_delivery(self, receiver: str, message_id: str, lsn: int) -> None:
        mailbox = self.mailboxes.get(receiver)  # None if the session is forgotten later in the replayed journal
        if mailbox is not None:
            mailbox.filed(message_id, lsn)

    def _filed_answer(self, message: Message) -> None:
        thread_id = message.meta.thread_id
        if thread_id is None:
            return
        answers = self._answers.get(thread_id, {})
        answers.pop(message.id, None)
        if not answers:
            self._answers.pop(thread_id, None)

    def _filed_group_mail(self, message: Message) -> None:
        for name in message.groups:
            ids = self._group_mail.get(name, {})
            ids.pop(message.id, None)
            if not ids:
                self._group_mail.pop(name, None)

    def mailbox(self, session: str) -> Mailbox:
        """The mailbox of a session, a new one if there is none."""
        mailbox = self.mailboxes.get(session)
        if mailbox is None:
            mailbox = self.mailboxes[session] = Mailbox(session, is_new=True)
        return mailbox

    def window(self, session: str) -> validation.RateWindow:
        """The rate window of a session."""
        window = self._windows.get(session)
        if window is None:
            window = self._windows[session] = validation.RateWindow()
        return window

    def pair(self, one: str, other: str) -> PairHistory:
        """The recent exchange of two sessions."""
        key = pair_key(one, other)
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = PairHistory()
        return pair

    def count_plain(self, sender: str, receiver: str, text: str, now_ms: int) -> bool:
        """Count a message without metadata; False, and nothing is counted, where the rate limit or the loop guard
        refuses it. As `window` and `pair`, mostly without their calls."""
        limits = self.limits
        window = self._windows.get(sender) or self.window(sender)
        most = limits.rate_limit
        # Mostly all of it is within the window, and then no call is needed.
        if window and (len(window) >= most or window[0] <= now_ms - RATE_WINDOW_MS) and window.is_full(now_ms, most):
            return False
        key = (sender, receiver) if sender < receiver else (receiver, sender)
        pair = self._pairs.get(key) or self.pair(sender, receiver)
        if not pair.admit(sender, text, now_ms, limits):
            return False
        window.append(now_ms)
        return True

    def fan_outs(self, key: str) -> CountWindow:
        """The recent messages to several sessions of one thread (its id) or group (its address)."""
        return self._fan_outs.setdefault(key, CountWindow(PAIR_WINDOW_MS))

    def fan_out_budget(self, session: str) -> CountWindow:
        """The recent deliveries of a session's messages to several."""
        return self._budgets.setdefault(session, CountWindow(RATE_WINDOW_MS))

    def sent(self, message_id: str, filed: SentFile | None) -> SentMessage | None:
        """What became of a message; None if it was never sent. `filed`: its sender's file, if that was read."""
        record = self._unfiled.get(message_id)
        sent = record.sent_file() if record is not None else filed
        if sent is None:
            return None
        if sent.failed is not None:
            return SentMessage(sent, (sent.failed,))
        mailboxes = (self.mailboxes.get(receiver) for receiver in sent.receivers)
        entries = (mailbox.get(message_id) for mailbox in mailboxes if mailbox is not None)
        return SentMessage(sent, tuple(entry.message for entry in entries if entry is not None))


def _is_held(mailbox: Mailbox) -> bool:
    return mailbox.held > 0


def _touched_ms(mailbox: Mailbox) -> int:
    return mailbox.touched_ms


def advance_status(message: Message, kind: str, via: str | None, now_ms: int, woken_by: str | None = None) -> Message:
    """The message after a confirmation; the same object if nothing changes. A status only advances."""
    status: MessageStatus = message.status
    if kind == "offered":
        if message.offered_at is not None:
            return message
        return replace(message, offered_at=now_ms, offered_via=via, woken_by=woken_by)
    if kind == "delivered":
        if status != "pending":
            return message
        return replace(
            message,
            status="delivered",
            offered_at=message.offered_at or now_ms,
            offered_via=message.offered_via or (via if message.offered_at is None else None),
            delivered_at=now_ms,
            delivered_via=via,
            woken_by=message.woken_by or woken_by,
        )
    if status == "read":
        return message
    return replace(
        message,
        status="read",
        offered_at=message.offered_at or now_ms,
        offered_via=message.offered_via or (via if message.offered_at is None else None),
        delivered_at=message.delivered_at or now_ms,
        delivered_via=message.delivered_via or via,
        woken_by=message.woken_by or woken_by,
        read_at=now_ms,
    )
