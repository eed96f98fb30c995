"""Acceptance: from an outgoing message to an accepted one, or to a typed refusal.

Rule: the checks come in the order that PROTOCOL.md gives for `send`, the id first: a repeat of an accepted send gets
the same answer, whatever has changed since. All messages of a request are looked up before the first one is accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct
from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import duration_text
from maestro_schemas.messages import NO_METADATA, Message, Metadata
from maestro_schemas.names import SYSTEM_SENDER, is_id, message_time_ms
from maestro_schemas.replies import SendReply, SendResult
from maestro_schemas.visible_text import clean

from . import authorization, recipients, validation
from .context import record_refusal
from .model.reads import Read
from .model.records import Accepted

if TYPE_CHECKING:
    from maestro_schemas.replies import Reach
    from maestro_schemas.requests import Outgoing, Send
    from maestro_schemas.sessions import Session

    from .context import RequestContext
    from .model.reads import Reads
    from .model.session_registry import SessionState
    from .model.state import SentMessage, State

# Refusals that depend on the moment and not on the request are not recorded in the audit.
_UNRECORDED = frozenset({"BUSY", "STORAGE_FULL", "STOPPING"})
_NOT_LOOKED_UP = MaestroError("INTERNAL", "the receiver was not looked up")


class _Draft(Struct, gc=False):
    """An outgoing message with everything that was looked up for it."""

    outgoing: Outgoing
    receiver: SessionState | None = None
    original_to: str | None = None
    # Why there is no receiver.
    error: MaestroError = _NOT_LOOKED_UP
    # The receiver of the message that this sender sent under the same id, if a file says so.
    linked: str | None = None
    # The thread that the message answers in, if one was found.
    thread_id: str | None = None


def send(state: State, request: Send, context: RequestContext) -> Reads[SendReply]:
    """Accept or refuse each message by itself, in order."""
    sender = authorization.active_sender(state, request.who, context.now_ms)
    validation.check_many(len(request.messages), "messages", state.limits.batch_messages_max)
    drafts = []
    for outgoing in request.messages:
        draft, must_read = _draft(state, sender.session, outgoing)
        if must_read:
            yield from _look_up(state, sender.session.id, draft)
        drafts.append(draft)
    results = []
    for draft in drafts:
        try:
            results.append(_accept(state, sender, draft, context, whole=request.whole))
        except MaestroError as error:
            outgoing = draft.outgoing
            if error.code not in _UNRECORDED:
                record_refusal(state, context, error.code, sender.session.id, outgoing.to, outgoing.id)
            results.append(SendResult(id=outgoing.id[:64], status=error.status, error=error.body()))
    return SendReply(results)


def _draft(state: State, sender: Session, outgoing: Outgoing) -> tuple[_Draft, bool]:
    """The message with its receiver, and whether something about it must be read: new mail mostly needs no read, and
    a generator for each message would cost a twentieth of a batch's time."""
    draft = _Draft(outgoing)
    message_id = outgoing.id
    if not is_id(message_id):
        draft.error = validation.invalid_id("the message's id", message_id)
        return draft, False
    id_ms = message_time_ms(message_id)
    must_read = outgoing.metadata.in_reply_to is not None or state.may_be_filed(sender.id, message_id, id_ms)
    try:
        draft.receiver, draft.original_to = recipients.resolve_recipient(state, sender, outgoing)
    except MaestroError as error:
        draft.error = error
        return draft, must_read
    return draft, must_read or state.mailbox(draft.receiver.session.id).may_hold(message_id, id_ms)


def _look_up(state: State, sender: str, draft: _Draft) -> Reads[None]:
    """Read what memory does not know about the message."""
    message_id, answered = draft.outgoing.id, draft.outgoing.metadata.in_reply_to
    id_ms = message_time_ms(message_id)
    if state.may_be_filed(sender, message_id, id_ms):
        draft.linked = yield Read("link", sender, message_id)
    if draft.receiver is None:
        return
    receiver = draft.receiver.session.id
    if state.mailbox(receiver).may_hold(message_id, id_ms):
        yield Read("file", receiver, message_id)
    if answered is not None and is_id(answered):
        draft.thread_id = yield from _find_thread(state, sender, answered)


def _find_thread(state: State, sender: str, answered: str) -> Reads[str | None]:
    """The thread of an answered message, if the sender may see that message or took part in its thread.

    A caller that merely knows an id joins no thread: otherwise it could enter one by answering, and read it.
    """
    mailbox = state.mailbox(sender)
    if not mailbox.knows(answered):
        yield Read("file", sender, answered)
    linked = None
    if mailbox.get(answered) is None and not state.is_unfiled(sender, answered):
        linked = yield Read("link", sender, answered)
    thread_id = _thread_in_memory(state, sender, answered, linked)
    if thread_id is None:
        # The message may be deleted, and its thread continue for everyone who got an answer.
        filed: dict[str, str] = yield Read("thread", "", answered)
        if sender in (filed | state.unfiled_answers(answered)).values():
            thread_id = answered
    return thread_id


def _thread_in_memory(state: State, sender: str, answered: str, linked: str | None) -> str | None:
    own = state.mailbox(sender).get(answered)
    if own is not None:
        return own.message.meta.thread_id or answered
    sent = state.sent_before(sender, answered, linked)
    if sent is None:
        return None
    # A deleted message still names its thread for its sender.
    return (sent.message.meta.thread_id if sent.message is not None else None) or answered


def _accept(state: State, sender: SessionState, draft: _Draft, context: RequestContext, *, whole: bool) -> SendResult:
    outgoing, receiver, now_ms = draft.outgoing, draft.receiver, context.now_ms
    message_id, sender_id = outgoing.id, sender.session.id
    known = state.sent_before(sender_id, message_id, draft.linked)
    if known is not None:
        return _repeated(state, sender, outgoing, known, whole=whole)
    if receiver is None:
        raise draft.error
    session = receiver.session
    mailbox = state.mailbox(session.id)
    if mailbox.remembers(message_id):
        raise _conflict(message_id, "another sender has used it for this receiver")
    validation.check_role(sender.session, session)
    # Without a rate limit there is no loop guard either.
    pair = None
    if state.limits.rate_limit:
        window = state.window(sender_id)
        window.check(now_ms, state.limits.rate_limit)
        pair = state.pair(sender_id, session.id)
    text, removed = validation.check_message(outgoing.text, state.limits)
    metadata = _checked_metadata(state, sender_id, draft)
    expires_at = None if outgoing.ttl_ms is None else now_ms + _checked_ttl(state, outgoing.ttl_ms)
    if pair is not None:
        pair.check(sender_id, session.id, text, metadata, now_ms, state.limits)
    if mailbox.pending >= state.limits.pending_max:
        raise MaestroError(
            "MAILBOX_FULL",
            f"the mailbox of {session.id} holds {mailbox.pending:,} undelivered messages, and the limit is "
            f"{state.limits.pending_max:,}",
            "It takes mail again when its owner has read some.",
            retry_after_s=5.0,
            limit=state.limits.pending_max,
            actual=mailbox.pending + 1,
        )
    if context.back_pressure is not None:
        raise context.back_pressure
    message = Message(
        id=message_id,
        sender=sender_id,
        receiver=session.id,
        text=text,
        status="pending",
        seq=mailbox.head_seq + 1,
        created_at=now_ms,
        expires_at=expires_at,
        original_to=draft.original_to,
        chars_removed=removed,
        metadata=UNSET if metadata is NO_METADATA else metadata,
    )
    state.apply(Accepted(message), message)
    if pair is not None:
        window.add(now_ms)
        pair.add(sender_id, text, metadata, now_ms)
    return SendResult(
        id=message_id,
        status=201,
        to=session.id,
        original_to=draft.original_to,
        seq=message.seq,
        created_at=now_ms,
        expires_at=expires_at,
        chars_removed=removed,
        thread_id=metadata.thread_id,
        state="pending",
        reach=_reach(context, session),
        seen_at=receiver.last_activity_ms,
        message=message if whole else UNSET,
    )


def _reach(context: RequestContext, receiver: Session) -> Reach:
    if not receiver.active:
        return "ended"
    if context.is_watched(receiver.id):
        return "watching"
    if receiver.agent is None:
        return "inbox"
    return "tool" if receiver.status == "working" else "prompt"


def notify(state: State, receiver: str, message_id: str, text: str, now_ms: int) -> bool:
    """Accept a message from the post office itself, which no rate limit and no role restricts.

    False if there is no such session or the id was used before, so that a repeat after a crash makes one message.
    """
    mailbox = state.mailboxes.get(receiver)
    if state.sessions.get(receiver) is None or mailbox is None:
        return False
    if mailbox.remembers(message_id):
        return False
    message = Message(
        id=message_id,
        sender=SYSTEM_SENDER,
        receiver=receiver,
        text=clean(text)[: state.limits.text_chars_max],
        status="pending",
        seq=mailbox.head_seq + 1,
        created_at=now_ms,
        metadata=Metadata(type="notification"),
    )
    state.apply(Accepted(message), message)
    return True


def _repeated(
    state: State, sender: SessionState, outgoing: Outgoing, known: SentMessage, *, whole: bool
) -> SendResult:
    message = known.message
    if message is None:
        return SendResult(id=outgoing.id, status=200, to=known.receiver, state="deleted")
    try:
        receiver = state.sessions.resolve(outgoing.to, sender.session, "RECEIVER_NOT_FOUND").session.id
    except MaestroError:
        receiver = message.receiver  # the name is not in use any more, which is no reason to doubt the repeat
    ttl_ms = None if message.expires_at is None else message.expires_at - message.created_at
    same = (
        receiver in (message.receiver, message.original_to)
        and message.text == clean(outgoing.text)
        and replace(message.meta, thread_id=None) == outgoing.metadata
        and ttl_ms == outgoing.ttl_ms
    )
    if not same:
        raise _conflict(outgoing.id, "this session has sent another message under it")
    return SendResult(
        id=message.id,
        status=200,
        to=message.receiver,
        original_to=message.original_to,
        seq=message.seq,
        created_at=message.created_at,
        expires_at=message.expires_at,
        chars_removed=message.chars_removed,
        thread_id=message.meta.thread_id,
        state=message.status,
        message=message if whole else UNSET,
    )


def _checked_metadata(state: State, sender: str, draft: _Draft) -> Metadata:
    metadata = draft.outgoing.metadata
    if metadata is NO_METADATA or metadata == NO_METADATA:
        return NO_METADATA
    validation.check_metadata(metadata, state.limits)
    answered = metadata.in_reply_to
    if answered is None:
        return metadata
    # An earlier message of the same request is in memory only since it was accepted.
    thread_id = draft.thread_id or _thread_in_memory(state, sender, answered, None)
    return replace(metadata, thread_id=thread_id)


def _checked_ttl(state: State, ttl_ms: int) -> int:
    if not 0 < ttl_ms <= state.limits.ttl_ms_max:
        raise MaestroError(
            "INVALID",
            f"a message can't have a life of {duration_text(ttl_ms)}",
            f"Give one from 1ms to {duration_text(state.limits.ttl_ms_max)}, which the setting ttl_ms_max allows.",
            limit=state.limits.ttl_ms_max,
            actual=ttl_ms,
        )
    return ttl_ms


def _conflict(message_id: str, why: str) -> MaestroError:
    return MaestroError(
        "CONFLICT",
        f"the id {message_id} is taken: {why}",
        "Leave the id out, and a new one is made; use the same id only to repeat the same send.",
    )
