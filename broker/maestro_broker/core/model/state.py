"""State: everything a post office knows, and how records change it.

Rule: a change of state is a record first; `absorb` applies it and puts it into the batch under way, `replay` does
the same for the journal's tail, so that both end in one state. What is not in memory is supplied by the daemon.
No I/O, no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from msgspec import UNSET, Struct
from msgspec.structs import replace

from maestro_broker.core import validation
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import TOPIC_SEPARATOR
from maestro_schemas.messages import Message
from maestro_schemas.names import SYSTEM_SENDER, is_id, message_time_ms
from maestro_schemas.vocabularies import MessageStatus

from .deadlines import Deadlines
from .loop_guard import PairHistory, pair_key
from .mailbox import Mailbox
from .records import (
    Accepted,
    Confirmed,
    Deleted,
    Expired,
    Record,
    Refused,
    SessionChanged,
    SessionForgotten,
    counter_changes,
)
from .session_registry import SessionRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from maestro_schemas.limits import Limits

    from .checkpoint import Checkpoint


class Read(NamedTuple):
    """What must be read from disk before a command can be applied.

    `pending`: what of `session`'s mail is pending; `mailbox`: all of it. `file`: one message of it. `link`: where
    sender `session`'s message went. `anywhere`: the message, whoever has it. `thread`: the answers of the thread that
    begins with the message.
    """

    kind: Literal["pending", "mailbox", "file", "link", "anywhere", "thread"]
    session: str
    message_id: str


class Change(Struct, gc=False, frozen=True):
    """One record of the batch under way, with what the filer must write: the message as it is now, or None where
    there is none (any more)."""

    lsn: int
    record: Record
    message: Message | None


class SentMessage(NamedTuple):
    """What a sender sent: to whom, and the message, None when it was deleted."""

    receiver: str
    message: Message | None


class State:
    """The state of one post office.

    `lsn`: the newest record's, committed or not. `back_pressure`: the error that new sends get at this moment
    (BUSY, STORAGE_FULL), None when there is room. `batch_bytes`: at most what the batch under way will take.
    """

    def __init__(self, limits: Limits, heads: Checkpoint) -> None:
        self.limits = limits
        self.sessions = SessionRegistry()
        self.mailboxes: dict[str, Mailbox] = {}
        self.deadlines = Deadlines()
        self.lsn = heads.lsn
        self.filed_lsn = heads.lsn
        self.back_pressure: MaestroError | None = None
        self.batch_bytes = 0
        # Topics that somebody is subscribed to; the transport keeps it.
        self.topics: AbstractSet[str] = frozenset()
        # How long mail is kept, in ms, by the receiver's project; for all others, Limits.retention_ms.
        self.retention_by_project: Mapping[str, int] = {}
        # The name of the key by which the request under way came from another machine.
        self.key: str | None = None
        self._misfits: list[str] = []
        self._touched: dict[str, Mailbox] = {}
        self._changes: list[Change] = []
        self._windows: dict[str, validation.RateWindow] = {}
        self._pairs: dict[tuple[str, str], PairHistory] = {}
        # What is not filed yet, by (sender, id): the receiver that has, or had, the message.
        self._unfiled: dict[tuple[str, str], tuple[int, str]] = {}
        self._links: dict[tuple[str, str], str | None] = {}
        # By thread, its answers that are not filed yet: id -> receiver; and those supplied for the present command.
        self._answers: dict[str, dict[str, str]] = {}
        self._filed_answers: dict[str, dict[str, str]] = {}
        # Per sender, the newest time in an id of what it sent and was filed; see Head.sent_ms.
        self._sent_ms: dict[str, int] = {}
        for session, head in heads.mailboxes.items():
            mailbox = Mailbox(session, is_new=head.seq == 0)
            mailbox.head_seq = head.seq
            mailbox.pending = head.pending
            mailbox.unoffered = head.unoffered
            mailbox.next_expiry_ms = head.next_expiry_ms
            self.mailboxes[session] = mailbox
            mailbox.newest_ms = head.got_ms
            if head.sent_ms is not None:
                self._sent_ms[session] = head.sent_ms
            if head.next_expiry_ms is not None:
                self.deadlines.set(session, head.next_expiry_ms)
        for session, times_ms in heads.sends.items():
            window = self._windows[session] = validation.RateWindow()
            for at_ms in times_ms:
                window.add(at_ms)

    def is_watched(self, session: str) -> bool:
        """Whether somebody hears at once of the session's mail."""
        return f"{session}{TOPIC_SEPARATOR}" in self.topics

    def supply_mailbox(self, session: str, messages: Iterable[Message], now_ms: int, *, whole: bool = True) -> bool:
        """A mailbox's files: all of them if `whole`, else those that looked like pending mail. False where these were
        not what the counters say, and the whole must be read."""
        mailbox = self.mailbox(session)
        mailbox.hydrate(messages)
        fitted = mailbox.was_read(whole=whole)
        if not (fitted or whole):
            return False
        if not fitted:
            self._misfits.append(session)
        mailbox.touched_ms = max(mailbox.touched_ms, now_ms)
        self._touched[session] = mailbox
        if mailbox.next_expiry_ms is not None:
            self.deadlines.set(session, mailbox.next_expiry_ms)
        return True

    def supply_message(self, message: Message) -> None:
        """One file of a mailbox."""
        self.mailbox(message.receiver).hydrate((message,))

    def supply_link(self, sender: str, message_id: str, receiver: str | None) -> None:
        """Whose mailbox a sender's message went to; None when the sender never sent that id."""
        self._links[sender, message_id] = receiver

    def supply_answers(self, thread_id: str, answers: Mapping[str, str]) -> None:
        """The filed answers of a thread: id -> receiver."""
        self._filed_answers[thread_id] = dict(answers)

    def has_answers(self, thread_id: str) -> bool:
        """Whether a thread's filed answers were supplied."""
        return thread_id in self._filed_answers

    def answers(self, thread_id: str) -> dict[str, str]:
        """All answers of a thread, as far as they were supplied: id -> receiver."""
        return self._filed_answers.get(thread_id, {}) | self._answers.get(thread_id, {})

    def forget_links(self) -> None:
        """A command is done; what was supplied for it may be stale for the next."""
        self._links.clear()
        self._filed_answers.clear()

    def is_unfiled(self, sender: str, message_id: str) -> bool:
        """Whether memory knows where this sender's message went."""
        return (sender, message_id) in self._unfiled

    def may_be_filed(self, sender: str, message_id: str, id_ms: int) -> bool:
        """Whether only a file can tell if this sender has used the id; `id_ms`: the time in it. Not where it is newer
        than that of every id of its that was filed. So a new message costs no look at the disk."""
        newest_ms = self._sent_ms.get(sender)
        if newest_ms is not None and id_ms > newest_ms:
            return False
        return (sender, message_id) not in self._unfiled

    def replay_touches(self, record: Record) -> list[Read]:
        """The same for a record of the journal's tail."""
        match record:
            case Confirmed() | Expired():
                mailbox = self.mailbox(record.mailbox)
                return [] if mailbox.knows(record.id) else [Read("file", record.mailbox, record.id)]
        return []

    def replay(self, lsn: int, record: Record) -> None:
        """Apply a record of the journal's tail again; its `replay_touches` were supplied."""
        self.lsn = lsn - 1
        match record:
            case Accepted(message):
                self.absorb(record, message)
                if message.sender != SYSTEM_SENDER and self.limits.rate_limit:
                    self.window(message.sender).add(message.created_at)
            case Confirmed():
                entry = self.mailbox(record.mailbox).get(record.id)
                if entry is None:  # deleted later in this tail, and the file is gone already
                    self._skip(record)
                else:
                    new = advance_status(entry.message, record.kind, record.via, record.at)
                    self.absorb(record, new)
            case Expired():
                entry = self.mailbox(record.mailbox).get(record.id)
                if entry is None:
                    self._skip(record)
                else:
                    self.absorb(record, replace(entry.message, status="expired"))
            case _:
                self.absorb(record, None)

    @property
    def has_changes(self) -> bool:
        """Whether records wait for a commit."""
        return bool(self._changes)

    def take_misfits(self) -> list[str]:
        """Mailboxes whose counters were wrong when they were loaded, since the last call."""
        misfits, self._misfits = self._misfits, []
        return misfits

    def take_changes(self) -> list[Change]:
        """The records since the last call, in order of LSN."""
        changes, self._changes = self._changes, []
        self.batch_bytes = 0
        return changes

    def take_touched(self) -> list[Mailbox]:
        """Mailboxes whose counters may have changed since the last call."""
        touched, self._touched = self._touched, {}
        return list(touched.values())

    def filed(self, changes: Iterable[Change]) -> None:
        """These changes are on disk."""
        for change in changes:
            record = change.record
            self.filed_lsn = change.lsn
            match record:
                case Accepted(message):
                    mailbox = self._filed_message(message.sender, message.id, message.receiver, change.lsn)
                    self._filed_id(message, mailbox)
                    if message.metadata is not UNSET:
                        self._filed_answer(message)
                case Confirmed() | Deleted() | Expired():
                    self._filed_message(record.sender, record.id, record.mailbox, change.lsn)

    def evict(self, now_ms: int) -> None:
        """Above `loaded_messages_max`, let go of the mailboxes that were not touched for longest."""
        held = sum(mailbox.held for mailbox in self.mailboxes.values())
        if held <= self.limits.loaded_messages_max:
            return
        for mailbox in sorted(filter(_is_held, self.mailboxes.values()), key=_touched_ms):
            before = mailbox.held
            mailbox.evict(now_ms)
            held -= before - mailbox.held
            if held <= self.limits.loaded_messages_max:
                return

    def evict_idle(self, now_ms: int) -> None:
        """Let go of mailboxes that nobody has touched for `mailbox_idle_ms`, and of empty rate windows."""
        idle_since = now_ms - self.limits.mailbox_idle_ms
        for mailbox in self.mailboxes.values():
            if mailbox.held and mailbox.touched_ms < idle_since:
                mailbox.evict(now_ms)
        self.evict(now_ms)
        for session in [name for name, window in self._windows.items() if not window.times_ms()]:
            del self._windows[session]
        for key in [key for key, pair in self._pairs.items() if pair.is_over(now_ms)]:
            del self._pairs[key]

    def adopt_mailbox(self, session: str) -> None:
        """A session read from disk has a mailbox, if only an empty one."""
        self.mailbox(session)

    def absorb(self, record: Record, message: Message | None) -> None:
        """Change the state as the record says, and put the record into the batch under way."""
        self.lsn += 1
        lsn = self.lsn
        match record:
            case Accepted(accepted):
                receiver = accepted.receiver
                mailbox = self.mailbox(receiver)
                mailbox.accept(accepted, lsn)
                self._unfiled[accepted.sender, accepted.id] = (lsn, receiver)
                if accepted.metadata is not UNSET and accepted.metadata.thread_id is not None:
                    self._answers.setdefault(accepted.metadata.thread_id, {})[accepted.id] = receiver
                if accepted.expires_at is not None:
                    self.deadlines.set(receiver, accepted.expires_at)
                self._touched[receiver] = mailbox
                if accepted.created_at > mailbox.touched_ms:
                    mailbox.touched_ms = accepted.created_at
            case Confirmed() | Expired():
                mailbox = self.mailbox(record.mailbox)
                mailbox.change(cast("Message", message), lsn, counter_changes(record))
                self._unfiled[record.sender, record.id] = (lsn, record.mailbox)
                self._touched[record.mailbox] = mailbox
            case Deleted():
                mailbox = self.mailbox(record.mailbox)
                mailbox.delete(record.id, lsn, counter_changes(record))
                self._unfiled[record.sender, record.id] = (lsn, record.mailbox)
                self._touched[record.mailbox] = mailbox
            case SessionChanged():
                self.sessions.put(record.stored)
                session_id = record.stored.session.id
                if session_id not in self.mailboxes:
                    self.mailboxes[session_id] = Mailbox(session_id, is_new=True)
                    self._sent_ms[session_id] = 0
            case SessionForgotten():
                # By its id alone: in a replay half of it, or all, may be gone already.
                self.sessions.drop(record.id)
                for known in (self.mailboxes, self._sent_ms, self._windows, self._touched):
                    known.pop(record.id, None)
        self._changes.append(Change(lsn, record, message))

    def _skip(self, record: Confirmed | Expired) -> None:
        """Replay of a change to a message whose file is gone: counters as the record says, here and, by the change
        without a message, in the filer's heads."""
        mailbox = self.mailbox(record.mailbox)
        mailbox.count(counter_changes(record))
        self.lsn += 1
        self._touched[record.mailbox] = mailbox
        self._changes.append(Change(self.lsn, record, None))

    def _filed_message(self, sender: str, message_id: str, receiver: str, lsn: int) -> Mailbox | None:
        key = (sender, message_id)
        unfiled = self._unfiled.get(key)
        if unfiled is not None and unfiled[0] == lsn:
            del self._unfiled[key]
        mailbox = self.mailboxes.get(receiver)  # none where the journal's tail holds its end too
        if mailbox is not None:
            mailbox.filed(message_id, lsn)
        return mailbox

    def _filed_id(self, message: Message, mailbox: Mailbox | None) -> None:
        id_ms = message_time_ms(message.id)
        if id_ms > self._sent_ms.get(message.sender, id_ms):
            self._sent_ms[message.sender] = id_ms
        if mailbox is not None and mailbox.newest_ms is not None and id_ms > mailbox.newest_ms:
            mailbox.newest_ms = id_ms

    def _filed_answer(self, message: Message) -> None:
        thread_id = message.meta.thread_id
        if thread_id is None:
            return
        answers = self._answers.get(thread_id, {})
        answers.pop(message.id, None)
        if not answers:
            self._answers.pop(thread_id, None)

    def mailbox(self, session: str) -> Mailbox:
        """A mailbox, a new one if need be."""
        mailbox = self.mailboxes.get(session)
        if mailbox is None:
            mailbox = self.mailboxes[session] = Mailbox(session, is_new=True)
        return mailbox

    def window(self, session: str) -> validation.RateWindow:
        """The sends of a session within the last minute."""
        window = self._windows.get(session)
        if window is None:
            window = self._windows[session] = validation.RateWindow()
        return window

    def pair(self, one: str, other: str) -> PairHistory:
        """What two sessions said to each other lately."""
        return self._pairs.setdefault(pair_key(one, other), PairHistory())

    def holder(self, message_id: str) -> Mailbox | None:
        """The mailbox in memory that holds this id; for the operator, who names none."""
        found = (mailbox for mailbox in self.mailboxes.values() if mailbox.get(message_id) is not None)
        return next(found, None)

    def sent_before(self, sender: str, message_id: str) -> SentMessage | None:
        """What became of this id of this sender; None when it never sent it."""
        unfiled = self._unfiled.get((sender, message_id))
        receiver = unfiled[1] if unfiled is not None else self._links.get((sender, message_id))
        if receiver is None:
            return None
        entry = self.mailbox(receiver).get(message_id)
        # Another sender may have used the id since this one was deleted.
        if entry is None or entry.message.sender != sender:
            return SentMessage(receiver, None)
        return SentMessage(receiver, entry.message)

    def refuse(self, code: str, session: str | None, to: str | None, message_id: str | None, now_ms: int) -> None:
        """Put a refusal into the audit; under back-pressure there is no room for it."""
        if self.back_pressure is not None:
            return
        claimed = session if session is not None and is_id(session) else None
        named = message_id if message_id is not None and is_id(message_id) else None
        address = validation.clean_text(to)[:64] if to is not None else None
        self.absorb(Refused(now_ms, code, claimed, address, named), None)


def _is_held(mailbox: Mailbox) -> bool:
    return mailbox.held > 0


def _touched_ms(mailbox: Mailbox) -> int:
    return mailbox.touched_ms


def advance_status(message: Message, kind: str, via: str | None, now_ms: int) -> Message:
    """The message after a confirmation; the same object when it says nothing new. A status never goes back."""
    status: MessageStatus = message.status
    if kind == "offered":
        return message if message.offered_at is not None else replace(message, offered_at=now_ms, offered_via=via)
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
        read_at=now_ms,
    )
