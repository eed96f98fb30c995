"""Sending: from an outgoing message to an accepted one, or to a typed refusal.

Rule: the questions are asked in the order of DESIGN 6, and the id first: a repeat of a send that was accepted is
answered as it was, whatever has changed since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import duration_text
from maestro_schemas.messages import NO_METADATA, Message, Metadata
from maestro_schemas.names import SYSTEM_SENDER, is_id
from maestro_schemas.replies import SendReply, SendResult

from . import authorization, recipients, validation
from .model.records import Accepted

if TYPE_CHECKING:
    from maestro_schemas.replies import Reach
    from maestro_schemas.requests import Outgoing, Send
    from maestro_schemas.sessions import Session

    from .model.session_registry import SessionState
    from .model.state import SentMessage, State

# Refusals that are about the moment and not about the request leave no line in the audit.
_UNRECORDED = frozenset({"BUSY", "STORAGE_FULL", "STOPPING"})


def send(state: State, request: Send, now_ms: int) -> SendReply:
    """Each message by itself, in order."""
    sender = authorization.active_sender(state, request.who, now_ms)
    validation.check_many(len(request.messages), "messages", state.limits.batch_messages_max)
    results = []
    for outgoing in request.messages:
        try:
            results.append(_send_one(state, sender, outgoing, now_ms, whole=request.whole))
        except MaestroError as error:
            if error.code not in _UNRECORDED:
                state.refuse(error.code, sender.session.id, outgoing.to, outgoing.id, now_ms)
            results.append(SendResult(id=outgoing.id[:64], status=error.status, error=error.body()))
    return SendReply(results)


def _send_one(state: State, sender: SessionState, outgoing: Outgoing, now_ms: int, *, whole: bool) -> SendResult:
    message_id, sender_id = outgoing.id, sender.session.id
    if not is_id(message_id):
        raise validation.invalid_id("the message's id", message_id)
    known = state.sent_before(sender_id, message_id)
    if known is not None:
        return _repeated(state, sender, outgoing, known, whole=whole)
    receiver, original_to = recipients.resolve_recipient(state, sender.session, outgoing)
    session = receiver.session
    mailbox = state.mailbox(session.id)
    if mailbox.remembers(message_id):
        raise _conflict(message_id, "another sender has used it for this receiver")
    validation.check_role(sender.session, session)
    # Without a rate there is no loop guard either.
    pair = None
    if state.limits.rate_limit:
        window = state.window(sender_id)
        window.check(now_ms, state.limits.rate_limit)
        pair = state.pair(sender_id, session.id)
    text = validation.check_text(outgoing.text, state.limits)
    metadata = _checked_metadata(state, sender_id, outgoing)
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
    if state.back_pressure is not None:
        raise state.back_pressure
    message = Message(
        id=message_id,
        sender=sender_id,
        receiver=session.id,
        text=text,
        status="pending",
        seq=mailbox.head_seq + 1,
        created_at=now_ms,
        expires_at=expires_at,
        original_to=original_to,
        metadata=UNSET if metadata is NO_METADATA else metadata,
    )
    state.absorb(Accepted(message), message)
    if pair is not None:
        window.add(now_ms)
        pair.add(sender_id, text, metadata, now_ms)
    return SendResult(
        id=message_id,
        status=201,
        to=session.id,
        original_to=original_to,
        seq=message.seq,
        created_at=now_ms,
        expires_at=expires_at,
        thread_id=metadata.thread_id,
        state="pending",
        reach=_reach(state, session),
        seen_at=receiver.last_activity_ms,
        message=message if whole else UNSET,
    )


def _reach(state: State, receiver: Session) -> Reach:
    if not receiver.active:
        return "ended"
    if state.is_watched(receiver.id):
        return "watching"
    if receiver.agent is None:
        return "inbox"
    return "tool" if receiver.status == "working" else "prompt"


def notify(state: State, receiver: str, message_id: str, text: str, now_ms: int) -> bool:
    """Mail from the post office itself, bound by no rate or role; False when there is no such session, or the
    id was used before (so that a repeat after a crash makes one message)."""
    mailbox = state.mailboxes.get(receiver)
    if state.sessions.get(receiver) is None or mailbox is None:
        return False
    if mailbox.remembers(message_id):
        return False
    message = Message(
        id=message_id,
        sender=SYSTEM_SENDER,
        receiver=receiver,
        text=validation.clean_text(text)[: state.limits.text_chars_max],
        status="pending",
        seq=mailbox.head_seq + 1,
        created_at=now_ms,
        metadata=Metadata(type="notification"),
    )
    state.absorb(Accepted(message), message)
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
        receiver = message.receiver  # the name it was sent to means nothing by now: no reason to doubt it
    ttl_ms = None if message.expires_at is None else message.expires_at - message.created_at
    same = (
        receiver in (message.receiver, message.original_to)
        and message.text == validation.clean_text(outgoing.text)
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
        thread_id=message.meta.thread_id,
        state=message.status,
        message=message if whole else UNSET,
    )


def _checked_metadata(state: State, sender: str, outgoing: Outgoing) -> Metadata:
    metadata = outgoing.metadata
    if metadata is NO_METADATA or metadata == NO_METADATA:
        return NO_METADATA
    validation.check_metadata(metadata, state.limits)
    if metadata.in_reply_to is None:
        return metadata
    asking = state.sessions.get(sender)
    root = authorization.find_message(state, asking, metadata.in_reply_to) if asking is not None else None
    if root is not None:
        return replace(metadata, thread_id=root.meta.thread_id or root.id)
    # What was deleted meanwhile still names its thread, for who sent it or got one of its answers. Nobody else joins:
    # else whoever knows an id could enter a thread by answering it, and read it.
    took_part = state.sent_before(sender, metadata.in_reply_to) is not None
    took_part = took_part or sender in state.answers(metadata.in_reply_to).values()
    return replace(metadata, thread_id=metadata.in_reply_to if took_part else None)


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
        "Leave the id out, and a fresh one is made; use the same id only to repeat the same send.",
    )
