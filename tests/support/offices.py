"""Offices: a broker without disk, sockets or clock, for tests of the pure core.

Rule: it does the daemon's work around the core, with a dict as spool and a list as journal; a crash keeps
only these two, and a checkpoint is a copy of what was filed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from maestro_broker.core import commands, retention
from maestro_broker.core.context import RequestContext
from maestro_broker.core.model import records
from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.reads import Read
from maestro_broker.core.model.records import (
    Accepted,
    Confirmed,
    Deleted,
    Expired,
    Failed,
    GroupChanged,
    GroupDeleted,
    SentFile,
    SessionChanged,
    SessionForgotten,
)
from maestro_broker.core.model.state import Change, State
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Message
from maestro_schemas.names import MARK_DIGITS, ending_of
from maestro_schemas.replies import SendResult
from maestro_schemas.requests import (
    Confirm,
    ConfirmKind,
    Delete,
    GetMessage,
    GetReceipt,
    GetThread,
    Identity,
    Inbox,
    Outgoing,
    Request,
    Send,
    SessionEnd,
    SessionStart,
)
from maestro_schemas.sessions import StoredSession

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_broker.core.model.mailbox import Mailbox
    from maestro_schemas.groups import Group


class Office:
    """`now_ms` moves only when a test moves it. `filed` says how much of the journal the spool has."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.now_ms = 1_000_000
        self.journal: list[bytes] = []
        self.files: dict[tuple[str, str], Message] = {}
        self.links: dict[tuple[str, str], SentFile] = {}
        self.threads: dict[str, dict[str, tuple[str, ...]]] = {}
        self.session_files: dict[str, StoredSession] = {}
        self.group_files: dict[str, Group] = {}
        # By group, the ids of what was sent to it.
        self.group_mail: dict[str, dict[str, None]] = {}
        self.unfiled: list[Change] = []
        self.untold = 0
        self.heads = Checkpoint()
        self.checkpoint = Checkpoint()
        self.state = State(self.limits, Checkpoint())
        self.policy = retention.RetentionPolicy.of(self.limits, {})
        # What a RequestContext has beside the time.
        self.circumstances: dict[str, Any] = {}
        # The id that a message got, by the key under which it was sent.
        self.ids: dict[str, str] = {}
        # The reads of the last request.
        self.reads: list[Read] = []
        # The sizes of the attached files that are there, by digest.
        self.blobs: dict[str, int] = {}

    def do(self, request: Request) -> Any:
        """One command, committed. A message may be named by the key under which this office last sent it."""
        request = self._with_ids(request)
        self.reads = []
        context = RequestContext(self.now_ms, **self.circumstances)
        try:
            return commands.execute(commands.HANDLERS[type(request)], self.state, request, context, self.load)
        finally:
            self.commit()

    def _with_ids(self, request: Request) -> Request:
        if isinstance(request, GetMessage | GetReceipt | GetThread):
            return replace(request, id=self.named([request.id])[0])
        return replace(request, ids=self.named(request.ids)) if isinstance(request, Confirm | Delete) else request

    def commit(self) -> None:
        """Append the current batch to the journal."""
        for change in self.state.take_changes():
            body = records.encode(change.record)
            assert records.decode(body) == change.record
            self.journal.append(body)
            assert change.lsn == len(self.journal)
            self.unfiled.append(change)
        self.state.take_touched()

    def tick(self) -> None:
        """What the daemon does once a second."""
        evict(self.state, self.now_ms)
        self.state.drop_old_windows(self.now_ms)

    def load(self, need: Read, now_ms: int = 0) -> Any:
        """Answer a read, as the server does from disk."""
        self.reads.append(need)
        match need.kind:
            case "mailbox" | "pending":
                found = [message for (owner, _), message in self.files.items() if owner == need.session]
                self.state.load_mailbox(need.session, sorted(found, key=lambda m: m.seq), self.now_ms)
            case "file":
                message = self.files.get((need.session, need.message_id))
                if message is not None:
                    self.state.load_message(message)
            case "sent":
                sent = self.links.get((need.session, need.message_id))
                for receiver in sent.receivers if sent is not None else ():
                    self.load(Read("file", receiver, need.message_id))
                return sent
            case "thread":
                return dict(self.threads.get(need.message_id, {}))
            case "group":
                return list(self.group_mail.get(need.message_id, ()))
            case "blob":
                return self.blobs.get(need.message_id)
            case "names":
                owned = [name for session, name in self.files if session == need.session]
                return [name for name in owned if name.startswith(need.message_id)]
        return None

    def file(self, count: int | None = None, *, tell: bool = True) -> None:
        """Write files for `count` changes; `tell` the core, or crash before that."""
        written = self.unfiled[self.untold :][:count]
        for change in written:
            match change.record:
                case Accepted(message):
                    for delivery in (message, *change.more):
                        self.files[delivery.receiver, message.id] = delivery
                    self.links.setdefault((message.sender, message.id), change.record.sent_file())
                    if message.meta.thread_id is not None:
                        self.threads.setdefault(message.meta.thread_id, {})[message.id] = change.record.receivers
                    for name in message.groups:
                        self.group_mail.setdefault(name, {})[message.id] = None
                case Failed(message):
                    self.links.setdefault((message.sender, message.id), change.record.sent_file())
                case Confirmed() | Expired():
                    if change.message is not None:
                        self.files[change.message.receiver, change.message.id] = change.message
                case Deleted():
                    self.files.pop((change.record.mailbox, change.record.id), None)
                case SessionChanged():
                    self.session_files[change.record.stored.session.id] = change.record.stored
                case SessionForgotten():
                    self.session_files.pop(change.record.id, None)
                case GroupChanged(group=group):
                    self.group_files[group.name] = group
                case GroupDeleted(name=name):
                    self.group_files.pop(name, None)
                    self.group_mail.pop(name, None)
            if change.lsn > self.heads.lsn:
                self.heads.apply(change.lsn, change.record, self.limits.rate_limit)
        self.untold += len(written)
        if tell:
            self.state.filed(self.unfiled[: self.untold])
            del self.unfiled[: self.untold]
            self.untold = 0

    def make_checkpoint(self) -> None:
        """Take a checkpoint: what is filed is durable."""
        self.heads.forget_old_sends()
        self.checkpoint = copy.deepcopy(self.heads)

    def crash(self) -> None:
        """Lose memory and what was not committed; recover as the broker does."""
        self.heads = copy.deepcopy(self.checkpoint)
        self.state = State(self.limits, copy.deepcopy(self.checkpoint))
        self.unfiled, self.untold = [], 0
        for stored in self.session_files.values():
            self.state.sessions.put(stored)
            self.state.adopt_mailbox(stored.session.id)
        self.state.groups = dict(self.group_files)
        for lsn, body in enumerate(self.journal, start=1):
            if lsn <= self.checkpoint.lsn:
                continue
            record = records.decode(body)
            for need in self.state.replay_reads(record):
                self.load(need)
            self.state.replay(lsn, record)
            self.unfiled += self.state.take_changes()
        self.state.lsn = len(self.journal)
        self.state.take_touched()

    # --- shorthand ---------------------------------------------------------------------------------------

    def start(self, session: str, **fields: Any) -> None:
        """Start a session; fields as in SessionStart."""
        self.do(SessionStart(id=session, **fields))

    def share_name(self, session: str, name: str) -> None:
        """Give a session a name that another may have, as data of an earlier version does."""
        found = self.state.sessions.by_id(session)
        stored = found.stored(replace(found.session, name=name))
        self.state.apply(SessionChanged(self.now_ms, "changed", stored), None)
        self.commit()

    def end(self, session: str) -> None:
        """End a session as the operator."""
        self.do(SessionEnd(id=session))

    def send(
        self, sender: str, to: str | list[str], message_id: str, text: str = "hello", **fields: Any
    ) -> SendResult:
        """Send one message; the result, whether it was accepted or not."""
        metadata = fields.get("metadata")
        if metadata is not None and metadata.in_reply_to is not None:
            fields["metadata"] = replace(metadata, in_reply_to=self.named([metadata.in_reply_to])[0])
        outgoing = Outgoing(id=message_id, to=to, text=text, **fields)
        result: SendResult = self.do(Send(messages=[outgoing], who=Identity(sender))).results[0]
        self.ids[message_id] = result.id
        return result

    def accept(
        self, sender: str, to: str | list[str], message_id: str, text: str = "hello", **fields: Any
    ) -> SendResult:
        """Send one message that must be accepted."""
        result = self.send(sender, to, message_id, text, **fields)
        assert result.status in (200, 201), result
        return result

    def inbox(self, session: str, **fields: Any) -> list[Message]:
        """The messages that an inbox shows."""
        found: list[Message] = self.do(Inbox(who=Identity(session), **fields)).messages
        return found

    def confirm(self, session: str, kind: ConfirmKind, *ids: str) -> list[int]:
        """The statuses of the results."""
        results = self.do(Confirm(who=Identity(session), ids=list(ids), kind=kind)).results
        return [result.status for result in results]

    def delete(self, session: str, *ids: str) -> list[int]:
        """The statuses of the results."""
        return [result.status for result in self.do(Delete(who=Identity(session), ids=list(ids))).results]

    def named(self, keys: Iterable[str]) -> list[str]:
        """The ids of messages by the keys under which this office last sent them."""
        return [self.ids.get(key, key) for key in keys]

    def expire_due(self) -> None:
        """Expire what is due, as the daemon's tick does."""
        for session in self.state.deadlines.due(self.now_ms, 100):
            mailbox = self.state.mailboxes.get(session)
            if mailbox is not None and not mailbox.loaded:
                self.load(Read("mailbox", session, ""))
            most = retention.EXPIRIES_AT_ONCE
            retention.expire(self.state, retention.due(self.state, session, self.now_ms, most), self.now_ms)
        self.commit()

    def sweep(self) -> list[str]:
        """Sweep file by file, as the sweeper does; the sessions that were forgotten."""
        for (receiver, message_id), message in list(self.files.items()):
            own = self.policy.of_session(self.state, receiver)
            horizon_ms = self.now_ms - (own.read_ms if message.status == "read" else own.keeps_ms)
            if retention.changed_ms(message) > horizon_ms:
                continue
            if message.status == "pending":
                self.load(Read("file", receiver, message_id))
                over = retention.overdue(self.state, self.policy, receiver, message_id, self.now_ms)
                retention.expire(self.state, [over] if over is not None else [], self.now_ms)
            elif not self.state.mailbox(receiver).is_unfiled(message_id):
                del self.files[receiver, message_id]
                self.state.mailbox(receiver).drop(message_id)
        for (sender, message_id), sent in list(self.links.items()):
            is_there = any((receiver, message_id) in self.files for receiver in sent.receivers)
            if not is_there and not self.state.is_unfiled(message_id):
                del self.links[sender, message_id]
        held = {receiver for receiver, _ in self.files} | {sender for sender, _ in self.links}
        idle = [found.session.id for found in self.state.sessions if found.session.id not in held]
        forgotten = [session for session in idle if retention.forget(self.state, self.policy, session, self.now_ms)]
        self.commit()
        return forgotten


def key_of(message_id: str) -> str:
    """A message's id without its sender's mark."""
    assert ending_of(message_id) is not None, message_id
    return message_id[: -MARK_DIGITS - 1]


def keys(messages: Iterable[Message]) -> list[str]:
    """The keys under which messages were sent."""
    return [key_of(message.id) for message in messages]


def refused(office: Office, request: Request) -> MaestroError:
    """The error that a request must get."""
    try:
        reply = office.do(request)
    except MaestroError as error:
        return error
    raise AssertionError(f"it was not refused: {reply}")


def evict(held: State | Mailbox, now_ms: int) -> None:
    """All steps of an eviction at once."""
    for _ in held.evictions(now_ms):
        pass
