"""Core: what each command does to the post office.

Rule: no I/O, no clock, no randomness: `apply(request, now)` decides, changes the state in memory and leaves
records in `changes`; the daemon makes them durable before anybody is told. What a command must know from disk
it says beforehand (`touches`), and is given (`supply_*`). Everything here can be replayed from a seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import VIA_CHARS_MAX
from maestro_schemas.messages import Message, MessageStatus, Metadata
from maestro_schemas.names import DEFAULT_PROJECT, OPERATOR, SYSTEM_SENDER, is_id
from maestro_schemas.replies import (
    InboxReply,
    ItemResult,
    ItemsReply,
    MessageReply,
    SendReply,
    SendResult,
    SessionReply,
    SessionsReply,
)
from maestro_schemas.requests import (
    Confirm,
    Delete,
    GetMessage,
    Identity,
    Inbox,
    Outgoing,
    Request,
    Send,
    SessionEnd,
    SessionGet,
    SessionList,
    SessionStart,
    SessionTouch,
)
from maestro_schemas.sessions import Session, StoredSession

from . import policy
from .deadlines import Deadlines
from .mailbox import Mailbox
from .records import Accepted, Confirmed, Deleted, Expired, Record, Refused, SessionChanged
from .sessions import Sessions, SessionState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from maestro_schemas.events import Event
    from maestro_schemas.limits import Limits

    from .heads import Heads

_ALL_STATUSES: frozenset[str] = frozenset({"pending", "delivered", "read", "failed", "expired"})
_PENDING: frozenset[str] = frozenset({"pending"})
_NO_METADATA = Metadata()
_TIMELINE_MAX = 200

# Refusals that are about the moment and not about the request; they leave no line in the audit, because on a
# full disk there is nowhere to write it and under back-pressure it would add to what is behind.
_UNRECORDED = frozenset({"BUSY", "STORAGE_FULL", "STOPPING"})


class Need(NamedTuple):
    """What must be read from disk before a command can be applied.

    `mailbox`: all of `session`'s mail. `file`: one message of it. `link`: where sender `session`'s message went.
    `anywhere`: the message, whoever has it.
    """

    kind: Literal["mailbox", "file", "link", "anywhere"]
    session: str
    message_id: str


class Change(NamedTuple):
    """One record of the batch under way, with what the filer must write: the message as it is now."""

    lsn: int
    record: Record
    message: Message | None


class Core:
    """The state of one post office and its commands.

    `changes` grows with each `apply` until the daemon takes it by `take_changes`. `back_pressure`: the error
    that new sends get at this moment (BUSY, STORAGE_FULL), None when there is room. `batch_bytes`: at most what
    the batch under way will take.
    """

    def __init__(self, limits: Limits, heads: Heads) -> None:
        self.limits = limits
        self.sessions = Sessions()
        self.mailboxes: dict[str, Mailbox] = {}
        self.deadlines = Deadlines()
        self.lsn = heads.lsn
        self.filed_lsn = heads.lsn
        self.back_pressure: MaestroError | None = None
        self.batch_bytes = 0
        self._misfits: list[str] = []
        self._touched: dict[str, Mailbox] = {}
        self._changes: list[Change] = []
        self._windows: dict[str, policy.RateWindow] = {}
        # What is not filed yet, by (sender, id): the receiver that has, or had, the message.
        self._unfiled: dict[tuple[str, str], tuple[int, str]] = {}
        self._links: dict[tuple[str, str], str | None] = {}
        for session, head in heads.mailboxes.items():
            mailbox = Mailbox(session, is_new=head.seq == 0)
            mailbox.head_seq = head.seq
            mailbox.pending = head.pending
            mailbox.unoffered = head.unoffered
            mailbox.next_expiry_ms = head.next_expiry_ms
            self.mailboxes[session] = mailbox
            if head.next_expiry_ms is not None:
                self.deadlines.set(session, head.next_expiry_ms)
        for session, times_ms in heads.sends.items():
            window = self._windows[session] = policy.RateWindow()
            for at_ms in times_ms:
                window.add(at_ms)

    # --- what a command must know from disk --------------------------------------------------------------

    def touches(self, request: Request) -> list[Need]:
        """What `apply(request)` needs read first. Names only ids that are well formed, so they are safe as paths."""
        match request:
            case Send():
                return self._send_touches(request)
            case Inbox():
                name = request.session or request.who.session
                mailbox = self.mailboxes.get(name) if name else None
                if mailbox is None:
                    return []
                only_pending = set(request.status) <= _PENDING
                known = mailbox.loaded if only_pending else mailbox.complete
                return [] if known else [Need("mailbox", mailbox.session, "")]
            case Confirm() | Delete():
                wanted = [i for i in request.ids[: self.limits.batch_messages_max] if is_id(i)]
                name = request.session or request.who.session
                if name is None:
                    return [Need("anywhere", "", i) for i in wanted]
                mailbox = self.mailboxes.get(name)
                if mailbox is None:
                    return []
                return [Need("file", mailbox.session, i) for i in wanted if not mailbox.knows(i)]
            case GetMessage():
                return self._message_touches(request.who.session, request.id)
        return []

    def replay_touches(self, record: Record) -> list[Need]:
        """The same for a record of the journal's tail."""
        match record:
            case Confirmed() | Expired():
                mailbox = self._mailbox(record.mailbox)
                return [] if mailbox.knows(record.id) else [Need("file", record.mailbox, record.id)]
        return []

    def supply_mailbox(self, session: str, messages: Iterable[Message], now_ms: int) -> None:
        """All of a mailbox's files."""
        mailbox = self._mailbox(session)
        if not mailbox.hydrate(messages, whole=True):
            self._misfits.append(session)
        mailbox.touched_ms = max(mailbox.touched_ms, now_ms)
        self._touched[session] = mailbox
        if mailbox.next_expiry_ms is not None:
            self.deadlines.set(session, mailbox.next_expiry_ms)

    def supply_message(self, message: Message) -> None:
        """One file of a mailbox."""
        self._mailbox(message.receiver).hydrate((message,), whole=False)

    def supply_link(self, sender: str, message_id: str, receiver: str | None) -> None:
        """Whose mailbox a sender's message went to; None when the sender never sent that id."""
        self._links[sender, message_id] = receiver

    def _send_touches(self, request: Send) -> list[Need]:
        sender = request.who.session
        state = self.sessions.get(sender) if sender else None
        if state is None or sender is None:
            return []
        needs = []
        for outgoing in request.messages:
            if not is_id(outgoing.id):
                continue
            if (sender, outgoing.id) not in self._unfiled:
                needs.append(Need("link", sender, outgoing.id))
            receiver = self.sessions.get(outgoing.to)
            if receiver is None:
                try:
                    receiver = self.sessions.resolve(outgoing.to, state.session, "RECEIVER_NOT_FOUND")
                except MaestroError:
                    continue
            mailbox = self.mailboxes.get(receiver.session.id)
            if mailbox is not None and not mailbox.knows(outgoing.id):
                needs.append(Need("file", mailbox.session, outgoing.id))
            reply_to = outgoing.metadata.in_reply_to
            if reply_to is not None:
                needs += self._message_touches(sender, reply_to)
        return needs

    def _message_touches(self, session: str | None, message_id: str) -> list[Need]:
        if not is_id(message_id):
            return []
        if session is None:
            return [Need("anywhere", "", message_id)]
        if session not in self.mailboxes:
            return []
        needs = []
        if not self.mailboxes[session].knows(message_id):
            needs.append(Need("file", session, message_id))
        if (session, message_id) not in self._unfiled:
            needs.append(Need("link", session, message_id))
        return needs

    # --- commands ----------------------------------------------------------------------------------------

    def apply(self, request: Request, now_ms: int) -> Any:
        """Do one command; returns the body of its reply. Raises MaestroError, and has then changed nothing."""
        try:
            return self._commands[type(request)](self, request, now_ms)
        except MaestroError as error:
            if error.status in (401, 403):
                self._refuse(error.code, request.who.session, None, None, now_ms)
            raise
        finally:
            self._links.clear()

    def _send(self, request: Send, now_ms: int) -> SendReply:
        sender = self._active_sender(request.who, now_ms)
        self._check_many(len(request.messages), "messages")
        results = []
        for outgoing in request.messages:
            try:
                results.append(self._send_one(sender, outgoing, now_ms))
            except MaestroError as error:
                if error.code not in _UNRECORDED:
                    self._refuse(error.code, sender.session.id, outgoing.to, outgoing.id, now_ms)
                results.append(SendResult(id=outgoing.id[:64], status=error.status, error=error.body()))
        return SendReply(results)

    def _send_one(self, sender: SessionState, outgoing: Outgoing, now_ms: int) -> SendResult:
        message_id, sender_id = outgoing.id, sender.session.id
        if not is_id(message_id):
            raise policy.invalid_id("the message's id", message_id)
        known = self._sent_before(sender_id, message_id)
        if known is not None:
            return self._repeated(sender, outgoing, known)
        receiver = self.sessions.get(outgoing.to) or self.sessions.resolve(
            outgoing.to, sender.session, "RECEIVER_NOT_FOUND"
        )
        session = receiver.session
        mailbox = self._mailbox(session.id)
        if mailbox.get(message_id) is not None or mailbox.is_gone(message_id):
            raise _conflict(message_id, "another sender has used it for this receiver")
        if not session.active:
            raise MaestroError(
                "RECEIVER_ENDED",
                f"session {session.id} has ended ({session.status})",
                "It will not read this. `maestro session list` shows who is here; starting it again under the same "
                "id reopens its mailbox.",
            )
        policy.check_role(sender.session, session)
        window = self._window(sender_id)
        window.check(now_ms, self.limits.rate_limit)
        text = policy.check_text(outgoing.text, self.limits)
        metadata = self._checked_metadata(sender_id, outgoing)
        expires_at = None if outgoing.ttl_ms is None else now_ms + self._checked_ttl(outgoing.ttl_ms)
        if mailbox.pending >= self.limits.pending_max:
            raise MaestroError(
                "MAILBOX_FULL",
                f"the mailbox of {session.id} holds {mailbox.pending:,} undelivered messages, and the limit is "
                f"{self.limits.pending_max:,}",
                "It takes mail again when its owner has read some.",
                retry_after_s=5.0,
                limit=self.limits.pending_max,
                actual=mailbox.pending + 1,
            )
        if self.back_pressure is not None:
            raise self.back_pressure
        message = Message(
            id=message_id,
            sender=sender_id,
            receiver=session.id,
            text=text,
            status="pending",
            seq=mailbox.head_seq + 1,
            created_at=now_ms,
            expires_at=expires_at,
            metadata=UNSET if metadata is _NO_METADATA else metadata,
        )
        self._accept(message)
        if self.limits.rate_limit:
            window.add(now_ms)
        return SendResult(
            id=message_id,
            status=201,
            to=session.id,
            seq=message.seq,
            created_at=now_ms,
            expires_at=expires_at,
            thread_id=metadata.thread_id,
            state="pending",
        )

    def notify(self, receiver: str, message_id: str, text: str, now_ms: int) -> bool:
        """Mail from the post office itself, bound by no rate or role; False when there is no such session, or the
        id was used before (so that a repeat after a crash makes one message)."""
        mailbox = self.mailboxes.get(receiver)
        if self.sessions.get(receiver) is None or mailbox is None:
            return False
        if mailbox.get(message_id) is not None or mailbox.is_gone(message_id):
            return False
        self._accept(
            Message(
                id=message_id,
                sender=SYSTEM_SENDER,
                receiver=receiver,
                text=policy.sanitise(text)[: self.limits.text_chars_max],
                status="pending",
                seq=mailbox.head_seq + 1,
                created_at=now_ms,
                metadata=Metadata(type="notification"),
            )
        )
        return True

    def _inbox(self, request: Inbox, now_ms: int) -> InboxReply:
        mailbox = self._own_mailbox(request.who, request.session, now_ms)
        most = self.limits.reply_messages_max
        limit = most if request.limit is None else request.limit
        if limit < 1:
            raise MaestroError("INVALID", f"limit can't be {limit}", f"Give a number from 1 to {most:,}.")
        leasing = request.lease_ms is not None
        if leasing and (request.reader is None or not is_id(request.reader)):
            raise MaestroError("INVALID", "a lease needs a reader", "Give `reader`: an id of the reader's own.")
        if request.lease_ms is not None and not 0 < request.lease_ms <= self.limits.lease_ms_max:
            raise MaestroError(
                "INVALID",
                f"leaseMs can't be {request.lease_ms:,}",
                f"Give a number from 1 to {self.limits.lease_ms_max:,}.",
                limit=self.limits.lease_ms_max,
                actual=request.lease_ms,
            )
        reader = request.reader if leasing else None
        page = mailbox.page(
            since=request.since,
            limit=min(limit, most),
            statuses=frozenset(request.status),
            kind=request.type,
            reader=reader,
            now_ms=now_ms,
            bytes_max=self.limits.reply_bytes_max,
        )
        if reader is not None and request.lease_ms is not None:
            mailbox.lease(page.messages, reader, now_ms + request.lease_ms)
        mailbox.touched_ms = max(mailbox.touched_ms, now_ms)
        return InboxReply(
            messages=page.messages,
            count=len(page.messages),
            has_more=page.has_more,
            up_to=page.up_to,
            head_seq=mailbox.head_seq,
            pending=mailbox.pending,
            leased=page.leased,
            lease_ends_in_ms=None if page.lease_ends_ms is None else page.lease_ends_ms - now_ms,
        )

    def _confirm(self, request: Confirm, now_ms: int) -> ItemsReply:
        if request.via is not None:
            policy.check_label("via", request.via, VIA_CHARS_MAX)
        return self._each(request, now_ms, lambda mailbox, i: self._confirm_one(mailbox, i, request, now_ms))

    def _each(self, request: Confirm | Delete, now_ms: int, step: Callable[[Mailbox, str], ItemResult]) -> ItemsReply:
        """`step` for each id, in the named or own mailbox; the operator may leave out whose it is."""
        by_id_alone = request.session is None and request.who.session is None
        named = None if by_id_alone else self._own_mailbox(request.who, request.session, now_ms)
        self._check_many(len(request.ids), "ids")
        results = []
        for message_id in request.ids:
            try:
                mailbox = named or self._holder(message_id)
                if mailbox is None:
                    raise _no_message(message_id[:80])
                results.append(step(mailbox, message_id))
            except MaestroError as error:
                results.append(ItemResult(id=message_id[:64], status=error.status, error=error.body()))
        return ItemsReply(results)

    def _confirm_one(self, mailbox: Mailbox, message_id: str, request: Confirm, now_ms: int) -> ItemResult:
        entry = mailbox.get(message_id)
        if entry is None:
            raise _no_message(message_id[:80])
        message = entry.message
        if message.status not in ("pending", "delivered", "read"):
            raise MaestroError(
                "STATUS_CONFLICT",
                f"message {message_id} is {message.status} and can't become {request.kind}",
                "Nothing is to be done: its sender was told.",
            )
        new = _stepped(message, request.kind, request.via, now_ms)
        if new is not message:
            record = Confirmed(
                message_id, mailbox.session, message.sender, message.seq, request.kind, now_ms, message.status,
                message.offered_at is not None, request.via,
            )  # fmt: skip
            self._absorb(record, new)
        at = {"offered": new.offered_at, "delivered": new.delivered_at, "read": new.read_at}[request.kind]
        return ItemResult(id=message_id, status=200, state=new.status, at=at)

    def _delete(self, request: Delete, now_ms: int) -> ItemsReply:
        by = request.who.session or OPERATOR
        return self._each(request, now_ms, lambda mailbox, i: self._delete_one(mailbox, i, by, now_ms))

    def _delete_one(self, mailbox: Mailbox, message_id: str, by: str, now_ms: int) -> ItemResult:
        entry = mailbox.get(message_id)
        if entry is None:
            if mailbox.is_gone(message_id):
                return ItemResult(id=message_id, status=200, state="deleted")
            raise _no_message(message_id[:80])
        message = entry.message
        offered = message.offered_at is not None
        self._absorb(
            Deleted(message_id, mailbox.session, message.sender, message.seq, now_ms, by, message.status, offered),
            None,
        )
        return ItemResult(id=message_id, status=200, state="deleted", at=now_ms)

    def _get_message(self, request: GetMessage, now_ms: int) -> MessageReply:
        asking = self._authenticate(request.who, now_ms)
        message = self._find(asking, request.id)
        if message is None:
            raise _no_message(request.id[:80])
        return MessageReply(message)

    def expire(self, session: str, now_ms: int) -> None:
        """What in this (loaded) mailbox has outlived its life becomes expired; sets the next deadline."""
        mailbox = self._mailbox(session)
        for message in mailbox.expired(now_ms):
            record = Expired(message.id, session, message.sender, message.seq, now_ms, message.offered_at is not None)
            self._absorb(record, replace(message, status="expired"))
        if mailbox.next_expiry_ms is not None:
            self.deadlines.set(session, mailbox.next_expiry_ms)

    # --- sessions ----------------------------------------------------------------------------------------

    def _session_start(self, request: SessionStart, now_ms: int) -> SessionReply:
        asking = self._authenticate(request.who, now_ms)
        policy.check_new_session_id(request.id)
        self._check_session_fields(request)
        if asking is not None and asking.session.role == "worker" and request.role != "worker":
            raise MaestroError(
                "ROLE_FORBIDDEN",
                f"worker {asking.session.id} may not start an orchestrator",
                "Start a worker (`--role worker`), or ask the orchestrator.",
            )
        old = self.sessions.get(request.id)
        if old is not None:
            policy.check_token(request.id, old.token_hash, request.token)
            if old.token_hash is None and asking is not None and asking is not old:
                raise MaestroError(
                    "FORBIDDEN",
                    f"session {request.id} exists, and {asking.session.id} is not it",
                    "Start a session under another id.",
                )
        if request.token is None and (old is None or old.token_hash is None) and self.limits.require_token:
            raise MaestroError(
                "TOKEN_REQUIRED", "this post office takes only sessions with a token", "Give `token` with the start."
            )
        if (old is None or not old.session.active) and self.sessions.active_count >= self.limits.sessions_max:
            raise MaestroError(
                "TOO_MANY",
                f"{self.sessions.active_count:,} sessions are active, and the limit is {self.limits.sessions_max:,}",
                "End some: `maestro session list`, `maestro session end ID`.",
                limit=self.limits.sessions_max,
                actual=self.sessions.active_count + 1,
            )
        stored = self._started(request, asking, old, now_ms)
        if old is None or stored.session != old.session or stored.token_hash != old.token_hash:
            change: Literal["started", "changed"] = "changed" if old is not None and old.session.active else "started"
            self._absorb(SessionChanged(now_ms, change, stored), None)
        return SessionReply(self.sessions.resolve(request.id, None, "SESSION_NOT_FOUND").public())

    def _started(
        self, request: SessionStart, asking: SessionState | None, old: SessionState | None, now_ms: int
    ) -> StoredSession:
        parent_id = request.parent_session_id
        if parent_id is None and asking is not None and asking is not old:
            parent_id = asking.session.id
        parent = None
        if parent_id is not None:
            parent = self.sessions.resolve(parent_id, _session(asking), "SESSION_NOT_FOUND").session
        before = old.session if old is not None else None
        restarted = before is None or not before.active
        project = request.project_id or (before.project_id if before else None)
        project = project or (parent.project_id if parent else DEFAULT_PROJECT)
        token_hash = policy.token_hash(request.token) if request.token is not None else None
        token_hash = token_hash or (old.token_hash if old is not None else None)
        session = Session(
            id=request.id,
            role=request.role,
            project_id=project,
            status=request.status if before is None or restarted else before.status,
            started_at=now_ms if before is None or restarted else before.started_at,
            last_activity=now_ms if before is None or restarted else before.last_activity,
            name=request.name or (before.name if before else None),
            parent_session_id=parent.id if parent else (before.parent_session_id if before else None),
            task_ids=tuple(request.task_ids) or (before.task_ids if before else ()),
            metadata=request.metadata or (before.metadata if before else {}),
            timeline=before.timeline if before else (),
            agent=request.agent or (before.agent if before else None),
            agent_session_id=request.agent_session_id or (before.agent_session_id if before else None),
            pid=request.pid or (before.pid if before else None),
            cwd=request.cwd or (before.cwd if before else None),
            has_token=token_hash is not None,
        )
        return StoredSession(session=session, token_hash=token_hash)

    def _check_session_fields(self, request: SessionStart | SessionTouch) -> None:
        if isinstance(request, SessionStart):
            if request.name is not None:
                policy.check_session_name(request.name)
            if request.project_id is not None:
                policy.check_label("projectId", request.project_id, 64)
            if request.token is not None:
                policy.check_label("the token", request.token, 256)
            if request.metadata:
                policy.check_json("metadata", request.metadata, self.limits.session_metadata_bytes_max)
        for name, text, most in (
            ("agent", request.agent, 64),
            ("agentSessionId", request.agent_session_id, 128),
            ("cwd", request.cwd, 4_096),
            *(("a task id", task, 128) for task in request.task_ids or ()),
        ):
            if text is not None:
                policy.check_label(name, text, most)
        self._check_many(len(request.task_ids or ()), "task ids")

    def _session_end(self, request: SessionEnd, now_ms: int) -> SessionReply:
        asking = self._authenticate(request.who, now_ms)
        state = self._named_session(asking, request.id)
        session = state.session
        may = asking is None or asking is state or session.parent_session_id == asking.session.id
        if not may:
            raise MaestroError(
                "FORBIDDEN",
                f"{asking.session.id if asking else OPERATOR} may not end session {session.id}",
                "A session is ended by itself, by its parent, or by a person without MAESTRO_SESSION_ID.",
            )
        if session.active:
            ended = replace(session, status=request.status, completed_at=now_ms, last_activity=now_ms)
            stored = StoredSession(session=ended, token_hash=state.token_hash)
            self._absorb(SessionChanged(now_ms, "ended", stored), None)
        return SessionReply(state.public())

    def _session_get(self, request: SessionGet, now_ms: int) -> SessionReply:
        asking = self._authenticate(request.who, now_ms)
        return SessionReply(self._named_session(asking, request.id).public())

    def _session_list(self, request: SessionList, now_ms: int) -> SessionsReply:
        self._authenticate(request.who, now_ms)
        found = [
            state.public()
            for state in self.sessions
            if (request.project_id is None or state.session.project_id == request.project_id)
            and (request.parent_session_id is None or state.session.parent_session_id == request.parent_session_id)
            and (request.status is None or state.session.status in request.status)
            and (request.active is None or state.session.active == request.active)
        ]
        return SessionsReply(sorted(found, key=lambda session: (session.started_at, session.id)))

    def _session_touch(self, request: SessionTouch, now_ms: int) -> SessionReply:
        asking = self._authenticate(request.who, now_ms)
        state = self._named_session(asking, request.id)
        if asking is not None and asking is not state:
            raise MaestroError(
                "FORBIDDEN", f"{asking.session.id} may not change {state.session.id}", "Only the session itself may."
            )
        self._check_session_fields(request)
        if not state.session.active:
            raise _ended(state.session)
        session = state.session
        changed = replace(
            session,
            status=request.status or session.status,
            needs_input=session.needs_input if request.needs_input is None else request.needs_input,
            task_ids=session.task_ids if request.task_ids is None else tuple(request.task_ids),
            timeline=session.timeline
            if request.note is None
            else (*session.timeline, self._checked_note(request.note, now_ms))[-_TIMELINE_MAX:],
            agent=request.agent or session.agent,
            agent_session_id=request.agent_session_id or session.agent_session_id,
            pid=request.pid or session.pid,
            cwd=request.cwd or session.cwd,
        )
        state.last_activity_ms = now_ms
        if changed != session:
            stored = StoredSession(session=replace(changed, last_activity=now_ms), token_hash=state.token_hash)
            self._absorb(SessionChanged(now_ms, "changed", stored), None)
        return SessionReply(state.public())

    def _checked_note(self, note: Any, now_ms: int) -> Any:
        policy.check_label("note.type", note.type, 64)
        return replace(note, message=policy.check_text(note.message, self.limits), timestamp=note.timestamp or now_ms)

    # --- the state, its records and their replay ---------------------------------------------------------

    def replay(self, lsn: int, record: Record) -> None:
        """Apply a record of the journal's tail again; its `replay_touches` were supplied."""
        self.lsn = lsn - 1
        match record:
            case Accepted(message):
                self._absorb(record, message)
                if message.sender != SYSTEM_SENDER and self.limits.rate_limit:
                    self._window(message.sender).add(message.created_at)
            case Confirmed():
                entry = self._mailbox(record.mailbox).get(record.id)
                if entry is None:  # deleted later in this tail, and the file is gone already
                    self._skip(record)
                else:
                    new = _stepped(entry.message, record.kind, record.via, record.at)
                    self._absorb(record, new)
            case Expired():
                entry = self._mailbox(record.mailbox).get(record.id)
                if entry is None:
                    self._skip(record)
                else:
                    self._absorb(record, replace(entry.message, status="expired"))
            case _:
                self._absorb(record, None)

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
                    self._filed_message(message.sender, message.id, message.receiver, change.lsn)
                case Confirmed() | Deleted() | Expired():
                    self._filed_message(record.sender, record.id, record.mailbox, change.lsn)

    def evict_idle(self, now_ms: int) -> None:
        """Let go of mailboxes that nobody has touched for `mailbox_idle_ms`, and of empty rate windows."""
        loaded = sum(map(len, self.mailboxes.values()))
        crowded = loaded > self.limits.loaded_messages_max
        idle_since = now_ms - (1_000 if crowded else self.limits.mailbox_idle_ms)
        for mailbox in self.mailboxes.values():
            if len(mailbox) and mailbox.touched_ms < idle_since:
                mailbox.evict()
        for session in [name for name, window in self._windows.items() if not window.times_ms()]:
            del self._windows[session]

    def may_see(self, asking: SessionState | None, event: Event) -> bool:
        """Whether a line of the timeline is for this reader: its own; its project's for an orchestrator; all."""
        if asking is None:
            return True
        parties = event.parties()
        if asking.session.id in parties:
            return True
        if asking.session.role != "orchestrator":
            return False
        project = asking.session.project_id
        known = (self.sessions.get(party) for party in parties)
        return any(state is not None and state.session.project_id == project for state in known)

    def authenticate(self, who: Identity, now_ms: int) -> SessionState | None:
        """The session that asks, None for the operator. Raises UNKNOWN_SESSION, TOKEN_REQUIRED, TOKEN_MISMATCH."""
        return self._authenticate(who, now_ms)

    def adopt_mailbox(self, session: str) -> None:
        """A session read from disk has a mailbox, if only an empty one."""
        self._mailbox(session)

    def _absorb(self, record: Record, message: Message | None) -> None:
        """Change the state as the record says, and put the record into the batch under way."""
        self.lsn += 1
        lsn = self.lsn
        match record:
            case Accepted(accepted):
                mailbox = self._mailbox(accepted.receiver)
                mailbox.accept(accepted, lsn)
                self._unfiled[accepted.sender, accepted.id] = (lsn, accepted.receiver)
                if accepted.expires_at is not None:
                    self.deadlines.set(accepted.receiver, accepted.expires_at)
                self._touched[accepted.receiver] = mailbox
                mailbox.touched_ms = max(mailbox.touched_ms, accepted.created_at)
            case Confirmed() | Expired():
                was = record.was if isinstance(record, Confirmed) else "pending"
                mailbox = self._mailbox(record.mailbox)
                if message is not None:
                    mailbox.change(message, lsn, was_pending=was == "pending", was_offered=record.was_offered)
                self._unfiled[record.sender, record.id] = (lsn, record.mailbox)
                self._touched[record.mailbox] = mailbox
            case Deleted():
                mailbox = self._mailbox(record.mailbox)
                mailbox.delete(record.id, lsn, was_pending=record.was == "pending", was_offered=record.was_offered)
                self._unfiled[record.sender, record.id] = (lsn, record.mailbox)
                self._touched[record.mailbox] = mailbox
            case SessionChanged():
                self.sessions.put(record.stored)
                session_id = record.stored.session.id
                if session_id not in self.mailboxes:
                    self.mailboxes[session_id] = Mailbox(session_id, is_new=True)
        self._changes.append(Change(lsn, record, message))

    def _skip(self, record: Confirmed | Expired) -> None:
        """Replay of a change to a message whose file is gone: counters as the record says, nothing to file."""
        was = record.was if isinstance(record, Confirmed) else "pending"
        mailbox = self._mailbox(record.mailbox)
        stays_pending = isinstance(record, Confirmed) and record.kind == "offered" and was == "pending"
        mailbox.pending -= was == "pending" and not stays_pending
        mailbox.unoffered -= was == "pending" and not record.was_offered
        self.lsn += 1
        self._touched[record.mailbox] = mailbox

    def _accept(self, message: Message) -> None:
        self._absorb(Accepted(message), message)

    def _refuse(self, code: str, session: str | None, to: str | None, message_id: str | None, now_ms: int) -> None:
        if self.back_pressure is not None:
            return
        claimed = session if session is not None and is_id(session) else None
        named = message_id if message_id is not None and is_id(message_id) else None
        address = policy.sanitise(to)[:64] if to is not None else None
        self._absorb(Refused(now_ms, code, claimed, address, named), None)

    def _filed_message(self, sender: str, message_id: str, receiver: str, lsn: int) -> None:
        unfiled = self._unfiled.get((sender, message_id))
        if unfiled is not None and unfiled[0] == lsn:
            del self._unfiled[sender, message_id]
        self._mailbox(receiver).filed(message_id, lsn)

    def _mailbox(self, session: str) -> Mailbox:
        mailbox = self.mailboxes.get(session)
        if mailbox is None:
            mailbox = self.mailboxes[session] = Mailbox(session, is_new=True)
        return mailbox

    def _window(self, session: str) -> policy.RateWindow:
        window = self._windows.get(session)
        if window is None:
            window = self._windows[session] = policy.RateWindow()
        return window

    # --- who asks, and what they may see -----------------------------------------------------------------

    def _authenticate(self, who: Identity, now_ms: int) -> SessionState | None:
        if who.session is None:
            return None
        state = self.sessions.get(who.session)
        if state is None:
            raise MaestroError(
                "UNKNOWN_SESSION",
                f"there is no session {who.session[:80]!r} in this post office",
                'Start one: eval "$(maestro session start --export)". '
                "If it was started in another data directory, set MAESTRO_DATA_DIR to that one.",
            )
        policy.check_token(who.session, state.token_hash, who.token)
        state.last_activity_ms = now_ms
        return state

    def _active_sender(self, who: Identity, now_ms: int) -> SessionState:
        sender = self._authenticate(who, now_ms)
        if sender is None:
            raise MaestroError(
                "NO_SESSION",
                "a message needs a sender, and no session was named",
                'Start one in this shell: eval "$(maestro session start --export)".',
            )
        if not sender.session.active:
            raise _ended(sender.session)
        return sender

    def _own_mailbox(self, who: Identity, session: str | None, now_ms: int) -> Mailbox:
        asking = self._authenticate(who, now_ms)
        name = session if session is not None else (asking.session.id if asking is not None else None)
        if name is None:
            raise MaestroError(
                "NO_SESSION",
                "no session was named whose mail this is about",
                'Start one in this shell: eval "$(maestro session start --export)", or name one.',
            )
        owner = self.sessions.resolve(name, _session(asking), "SESSION_NOT_FOUND")
        if asking is not None and asking is not owner:
            raise MaestroError(
                "FORBIDDEN",
                f"{asking.session.id} may not read or change the mail of {owner.session.id}",
                "A mailbox is its owner's; a person reads any without MAESTRO_SESSION_ID.",
            )
        return self._mailbox(owner.session.id)

    def _named_session(self, asking: SessionState | None, name: str | None) -> SessionState:
        if name is not None:
            return self.sessions.resolve(name, _session(asking), "SESSION_NOT_FOUND")
        if asking is None:
            raise MaestroError("NO_SESSION", "no session was named", "Name one, or set MAESTRO_SESSION_ID.")
        return asking

    def _holder(self, message_id: str) -> Mailbox | None:
        found = (mailbox for mailbox in self.mailboxes.values() if mailbox.get(message_id) is not None)
        return next(found, None)

    def _find(self, asking: SessionState | None, message_id: str) -> Message | None:
        """A message that the asking session received or sent; any, for the operator."""
        if asking is None:
            holder = self._holder(message_id)
            entry = holder.get(message_id) if holder is not None else None
            return entry.message if entry is not None else None
        own = self._mailbox(asking.session.id).get(message_id)
        if own is not None:
            return own.message
        sent = self._sent_before(asking.session.id, message_id)
        return sent.message if sent is not None else None

    def _sent_before(self, sender: str, message_id: str) -> _Sent | None:
        """What became of this id of this sender; None when it never sent it."""
        unfiled = self._unfiled.get((sender, message_id))
        receiver = unfiled[1] if unfiled is not None else self._links.get((sender, message_id))
        if receiver is None:
            return None
        entry = self._mailbox(receiver).get(message_id)
        if entry is not None and entry.message.sender != sender:
            return None
        return _Sent(receiver, entry.message if entry is not None else None)

    def _repeated(self, sender: SessionState, outgoing: Outgoing, known: _Sent) -> SendResult:
        message = known.message
        if message is None:
            return SendResult(id=outgoing.id, status=200, to=known.receiver, state="deleted")
        try:
            receiver = self.sessions.resolve(outgoing.to, sender.session, "RECEIVER_NOT_FOUND").session.id
        except MaestroError:
            receiver = message.receiver  # the name it was sent to means nothing by now: no reason to doubt it
        ttl_ms = None if message.expires_at is None else message.expires_at - message.created_at
        same = (
            receiver in (message.receiver, message.original_to)
            and message.text == policy.sanitise(outgoing.text)
            and replace(message.meta, thread_id=None) == outgoing.metadata
            and ttl_ms == outgoing.ttl_ms
        )
        if not same:
            raise _conflict(outgoing.id, "this session has sent another message under it")
        return SendResult(
            id=message.id,
            status=200,
            to=message.receiver,
            seq=message.seq,
            created_at=message.created_at,
            expires_at=message.expires_at,
            thread_id=message.meta.thread_id,
            state=message.status,
        )

    def _checked_metadata(self, sender: str, outgoing: Outgoing) -> Metadata:
        metadata = outgoing.metadata
        if metadata == _NO_METADATA:
            return _NO_METADATA
        policy.check_metadata(metadata, self.limits)
        if metadata.in_reply_to is None:
            return metadata
        asking = self.sessions.get(sender)
        root = self._find(asking, metadata.in_reply_to) if asking is not None else None
        # A message that was deleted in the meantime can still be answered: the thread goes by its id then.
        thread_id = (root.meta.thread_id or root.id) if root is not None else metadata.in_reply_to
        return replace(metadata, thread_id=thread_id)

    def _checked_ttl(self, ttl_ms: int) -> int:
        if not 0 < ttl_ms <= self.limits.ttl_ms_max:
            raise MaestroError(
                "INVALID",
                f"a life of {ttl_ms:,} ms can't be",
                f"Give ttlMs from 1 to {self.limits.ttl_ms_max:,}.",
                limit=self.limits.ttl_ms_max,
                actual=ttl_ms,
            )
        return ttl_ms

    def _check_many(self, count: int, what: str) -> None:
        most = self.limits.batch_messages_max
        if count > most:
            raise MaestroError(
                "TOO_MANY",
                f"{count:,} {what} in one request, and the limit is {most}",
                f"Send at most {most} at a time.",
                limit=most,
                actual=count,
            )

    _commands: dict[type[Request], Callable[[Core, Any, int], Any]] = {  # noqa: RUF012 - a table, never changed
        Send: _send,
        Inbox: _inbox,
        Confirm: _confirm,
        Delete: _delete,
        GetMessage: _get_message,
        SessionStart: _session_start,
        SessionEnd: _session_end,
        SessionGet: _session_get,
        SessionList: _session_list,
        SessionTouch: _session_touch,
    }


class _Sent(NamedTuple):
    receiver: str
    message: Message | None


def _session(state: SessionState | None) -> Session | None:
    return state.session if state is not None else None


def _stepped(message: Message, kind: str, via: str | None, now_ms: int) -> Message:
    """The message after a confirmation; the same object when it says nothing new. A status never goes back."""
    status: MessageStatus = message.status
    if kind == "offered":
        return message if message.offered_at is not None else replace(message, offered_at=now_ms)
    if kind == "delivered":
        if status != "pending":
            return message
        return replace(
            message,
            status="delivered",
            offered_at=message.offered_at or now_ms,
            delivered_at=now_ms,
            delivered_via=via,
        )
    if status == "read":
        return message
    return replace(
        message,
        status="read",
        offered_at=message.offered_at or now_ms,
        delivered_at=message.delivered_at or now_ms,
        delivered_via=message.delivered_via or via,
        read_at=now_ms,
    )


def _conflict(message_id: str, why: str) -> MaestroError:
    return MaestroError(
        "CONFLICT",
        f"the id {message_id} is taken: {why}",
        "Leave the id out, and a fresh one is made; use the same id only to repeat the same send.",
    )


def _no_message(message_id: str) -> MaestroError:
    return MaestroError(
        "MESSAGE_NOT_FOUND",
        f"there is no message {message_id!r} that you may see",
        "It may be deleted. `maestro inbox --unread` lists your mail, `maestro timeline` what happened to it.",
    )


def _ended(session: Session) -> MaestroError:
    return MaestroError(
        "SESSION_ENDED",
        f"session {session.id} has ended ({session.status})",
        'Start one: eval "$(maestro session start --export)"; the same id and token reopen the old one.',
    )
