"""Acceptance: from an outgoing message to an accepted one, or to a typed refusal.

Rule: the checks come in the order that PROTOCOL.md gives for `send`, the id first: a repeat of an accepted send gets
the same answer, whatever has changed since. If a message of a request needs a read, all of them are looked up before
the first one is accepted. Most messages need none, and go the short way of `plain_sends`. Addresses and roles are
judged for the whole message. The state of a receiver refuses the message for that one alone, if the sender gave a
list. One receiver is the case n = 1 of the same code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET, Struct
from msgspec.structs import replace

from maestro_broker.core import authorization, presence, validation
from maestro_broker.core.context import record_refusal
from maestro_broker.core.model.reads import Read
from maestro_broker.core.model.records import Accepted, Failed
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import ADDRESSES_MAX, DELIVERIES_MAX, duration_text
from maestro_schemas.messages import NO_METADATA, Audience, Failure, Message, Metadata
from maestro_schemas.names import (
    ID_CHARS_MAX,
    SYSTEM_SENDER,
    canonical_id,
    ending_of,
    is_id,
    key_digest,
    message_time_ms,
)
from maestro_schemas.replies import SendReply, SendResult
from maestro_schemas.texts.visible_text import clean, one_line

from . import attached, audiences, fan_out, plain_sends, recipients, repeats
from .recipients import NO_RECIPIENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msgspec import UnsetType

    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.count_window import CountWindow
    from maestro_broker.core.model.reads import Reads
    from maestro_broker.core.model.records import SentFile
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.requests import Outgoing, Send

    from .recipients import Resolved

# The largest time that a failed message keeps, whatever its sender asked for.
_TIME_MS_MAX = 1 << 53
_DIGEST_DIGITS = 16
# Refusals that depend on the moment and not on the request are not recorded in the audit.
_UNRECORDED = frozenset({"BUSY", "STORAGE_FULL", "STOPPING", "BLOB_NOT_FOUND"})


class _Answered(NamedTuple):
    """The message that another one answers."""

    # Its canonical id.
    id: str
    # The thread that the answer joins, if the sender may.
    thread_id: str | None


class _Draft(Struct, gc=False):
    """An outgoing message with everything that was looked up for it."""

    outgoing: Outgoing
    # The id that the message gets.
    id: str
    # Where it goes.
    found: Resolved = NO_RECIPIENTS
    # Why it goes nowhere: an address is wrong.
    error: MaestroError | None = None
    # What the sender's file says of an earlier send under this id.
    filed: SentFile | None = None
    # The message that it answers, or why there is none.
    answered: _Answered | MaestroError | None = None
    # The sizes of its files that are there, by digest.
    blobs: dict[str, int] | None = None
    # Whether something about it must be read: new mail mostly needs no read.
    must_read: bool = False


def send(state: State, request: Send, context: RequestContext) -> SendReply | Reads[SendReply]:
    """Accept or refuse each message by itself, in order."""
    if request.queued:
        sender = authorization.sender_of(state, request.who, context.now_ms)
    else:
        sender = authorization.active_sender(state, request.who, context.now_ms)
    messages = request.messages
    if len(messages) == 1 and not request.queued:
        result = plain_sends.send(state, sender, messages[0], context, whole=request.whole)
        if result is not None:
            return SendReply([result])
    validation.check_many(len(messages), "messages", state.limits.batch_messages_max)
    expansion = audiences.Expansion(state, sender.session)
    if (
        1 < len(messages) <= DELIVERIES_MAX
        and not request.queued
        and all(plain_sends.needs_no_read(state, sender, each) for each in messages)
    ):
        # Each makes one delivery at the most and needs no read, so it may be accepted before the next is looked at.
        results = []
        for outgoing in messages:
            result = plain_sends.send(state, sender, outgoing, context, whole=request.whole)
            if result is None:
                drafts = [_draft(state, sender, outgoing, expansion)]
                [result] = _results(state, sender, drafts, request, context)
            results.append(result)
        return SendReply(results)
    drafts = []
    deliveries = 0
    reads = request.queued
    for outgoing in messages:
        draft = _draft(state, sender, outgoing, expansion)
        reads |= draft.must_read
        deliveries += len(draft.found.recipients)
        if deliveries > DELIVERIES_MAX:
            break  # the others need not be looked up
        drafts.append(draft)
    validation.check_many(deliveries, "deliveries", DELIVERIES_MAX)
    if reads:
        return _send_after_reads(state, request, context, sender, drafts)
    return SendReply(_results(state, sender, drafts, request, context))


def _send_after_reads(
    state: State, request: Send, context: RequestContext, sender: SessionState, drafts: list[_Draft]
) -> Reads[SendReply]:
    """As `send`, where something must be read first. A generator of its own, because as one `send` would take a
    thirtieth longer for each request."""
    for draft in drafts:
        if request.queued and is_id(draft.id):
            draft.must_read = True
            yield Read(
                "file",
                sender.session.id,
                canonical_id(_notice_key(sender, draft.id), state.sessions.mark_of(SYSTEM_SENDER)),
            )
            if not sender.session.active:
                draft.error = authorization.ended(sender.session)
        if draft.must_read:
            yield from _look_up(state, sender, draft)
    return SendReply(_results(state, sender, drafts, request, context))


def _results(
    state: State, sender: SessionState, drafts: list[_Draft], request: Send, context: RequestContext
) -> list[SendResult]:
    """The result of each message, in order."""
    results = []
    for draft in drafts:
        try:
            results.append(_accept(state, sender, draft, context, whole=request.whole))
        except MaestroError as error:
            outgoing = draft.outgoing
            if request.queued and not error.retryable:
                results.append(_fail(state, sender, draft, error, context))
                continue
            if error.code not in _UNRECORDED:
                to = outgoing.to if isinstance(outgoing.to, str) else ", ".join(outgoing.to[:2])
                record_refusal(state, context, error.code, sender.session.id, to, outgoing.id)
            results.append(SendResult(id=outgoing.id[:64], status=error.status, error=error.body()))
    return results


def _fail(
    state: State, sender: SessionState, draft: _Draft, error: MaestroError, context: RequestContext
) -> SendResult:
    """Keep a message that waited in an outbox and is refused for good, as one of status `failed`; its sender is
    notified first, since a crash may tear a batch, and the repeat then finds the notice there.

    The id of another message, which is a conflict, is not taken. A field that is not allowed is kept as far as it is.
    """
    outgoing, now_ms, limits = draft.outgoing, context.now_ms, state.limits
    refused = SendResult(id=draft.id[:64], status=error.status, error=error.body())
    known = state.sent(draft.id, draft.filed)
    if known is not None:
        return refused if known.file.failed is None else replace(refused, state="failed")
    if not is_id(draft.id):
        return refused
    if context.back_pressure is not None:
        error = context.back_pressure
        return SendResult(id=draft.id, status=error.status, error=error.body())
    addresses = [outgoing.to] if isinstance(outgoing.to, str) else list(outgoing.to[:ADDRESSES_MAX])
    said = [one_line(address)[:ID_CHARS_MAX] for address in addresses] or [""]
    text = clean(outgoing.text)
    why = error.message
    metadata: Metadata | UnsetType = UNSET if outgoing.metadata == NO_METADATA else outgoing.metadata
    try:
        validation.check_metadata(outgoing.metadata, limits)
    except MaestroError:
        metadata, why = UNSET, f"{why}. (Its metadata is not kept.)"
    if len(text) > limits.text_chars_max:
        text, why = text[: limits.text_chars_max], f"{why}. (Only the beginning of its text is kept.)"
    life_ms = outgoing.ttl_ms
    expires_at = outgoing.expires_at if life_ms is None else now_ms + min(life_ms, limits.ttl_ms_max)
    message = Message(
        id=draft.id,
        sender=sender.session.id,
        receiver=said[0],
        text=text,
        status="failed",
        seq=0,
        created_at=now_ms,
        expires_at=expires_at if expires_at is not None and 0 < expires_at <= _TIME_MS_MAX else None,
        failure=Failure(error.code, why),
        audience=Audience(tuple(said), 0) if audiences.is_audience(outgoing.to) else None,
        attachments=attached.kept_of_failed(outgoing.attachments, limits),
        metadata=metadata,
    )
    notice = (
        f"Your message {message.id} to {', '.join(said)} waited in the outbox and was then refused: {error.message} "
        f"({error.code}). {error.hint}\nTo see it: maestro message show {message.id}\n"
        f"To send it again: maestro message retry {message.id}"
    )
    if sender.token_hash is None:
        # Any program of the user may have put it there, so the post office repeats nothing of it in its own voice.
        notice = (
            f"A message waited in the outbox in your name and was then refused ({error.code}). To see it: "
            "maestro message dead"
        )
    notify(state, sender.session.id, _notice_key(sender, message.id), notice, now_ms)
    state.apply(Failed(message), None)
    return replace(refused, state="failed")


def _notice_key(sender: SessionState, message_id: str) -> str:
    return f"refused_{message_id if sender.token_hash is not None else key_digest(message_id)[:_DIGEST_DIGITS]}"


def _draft(state: State, sender: SessionState, outgoing: Outgoing, expansion: audiences.Expansion) -> _Draft:
    """The message with its recipients."""
    key = outgoing.id
    if not is_id(key):
        return _Draft(outgoing, key, error=validation.invalid_id("the message's id", key))
    message_id = canonical_id(key, sender.mark)
    draft = _Draft(outgoing, message_id)
    try:
        draft.found = recipients.resolve(state, sender.session, outgoing, expansion)
    except MaestroError as error:
        draft.error = error
    asks = outgoing.metadata.in_reply_to is not None or outgoing.attachments != ()
    draft.must_read = asks or state.may_be_filed(sender.session.id, message_id, message_time_ms(message_id))
    return draft


def _look_up(state: State, sender: SessionState, draft: _Draft) -> Reads[None]:
    """Read what memory does not know about the message."""
    message_id, answered = draft.id, draft.outgoing.metadata.in_reply_to
    session = sender.session.id
    if state.may_be_filed(session, message_id, message_time_ms(message_id)):
        draft.filed = yield Read("sent", session, message_id)
    if draft.error is None and answered is not None and is_id(answered):
        draft.answered = yield from _find_answered(state, sender, answered)
    if draft.outgoing.attachments and draft.error is None:
        draft.blobs = yield from attached.look_up(draft.outgoing.attachments, state.limits)


def _find_answered(state: State, sender: SessionState, answered: str) -> Reads[_Answered | MaestroError]:
    """The answered message, if the sender may see it or took part in its thread.

    A caller that merely knows an id joins no thread: otherwise it could enter one by answering, and read it.
    """
    session = sender.session.id
    own_id = canonical_id(answered, sender.mark)
    filed = None
    if not state.is_unfiled(own_id):
        filed = yield Read("sent", session, own_id)
    if not state.mailbox(session).knows(answered):
        yield Read("file", session, answered)
    found = _answered_in_memory(state, sender, answered, filed)
    if found is not None:
        return found
    if sender is state.sessions.operator:
        # The operator sees every message, so it may answer every one.
        seen = yield from authorization.find_any(state, answered)
        if seen is not None and seen.file.failed is None:
            thread_id = seen.there[0].meta.thread_id if seen.there else None
            return _Answered(answered, thread_id or answered)
    # The sender may have received and deleted it: the file of the session that sent it remains.
    owner = state.sessions.owner_of(ending_of(answered) or "")
    if owner is not None:
        filed = None
        if not state.is_unfiled(answered):
            filed = yield Read("sent", owner, answered)
        sent = state.sent(answered, filed)
        if sent is not None and session in sent.file.receivers:
            # Its thread continues for everyone who got an answer.
            answers: dict[str, tuple[str, ...]] = yield Read("thread", "", answered)
            answers = answers | state.unfiled_answers(answered)
            took_part = any(session in receivers for receivers in answers.values())
            return _Answered(answered, answered if took_part else None)
    error = yield from authorization.no_message(state, sender, answered)
    return MaestroError(error.code, f"metadata.inReplyTo: {error.message}", error.hint, details=error.details)


def _answered_in_memory(
    state: State, sender: SessionState, answered: str, filed: SentFile | None
) -> _Answered | None:
    own_id = canonical_id(answered, sender.mark)
    sent = state.sent(own_id, filed)
    if sent is not None:
        # A deleted message still names its thread for its sender.
        thread_id = sent.there[0].meta.thread_id if sent.there else None
        return _Answered(own_id, thread_id or own_id)
    entry = state.mailbox(sender.session.id).get(answered)
    return _Answered(answered, entry.message.meta.thread_id or answered) if entry is not None else None


def _accept(state: State, sender: SessionState, draft: _Draft, context: RequestContext, *, whole: bool) -> SendResult:
    outgoing, now_ms, limits = draft.outgoing, context.now_ms, state.limits
    sender_id = sender.session.id
    known = state.sent(draft.id, draft.filed)
    if known is not None:
        return repeats.answer(state, sender, outgoing, known, whole=whole)
    if draft.error is not None:
        raise draft.error
    found = draft.found
    for recipient in found.recipients:
        validation.check_role(sender.session, recipient.session.session)
    if found.unchosen and sender is not state.sessions.operator:
        fan_out.check_confirmed(state, context, outgoing, found.recipients, found.unchosen)
    # Without a rate limit there is no loop guard either.
    window = None
    if limits.rate_limit:
        window = state.window(sender_id)
        window.check(now_ms, limits.rate_limit)
    text, removed = validation.check_message(outgoing.text, limits)
    metadata = _checked_metadata(state, sender, draft)
    files = attached.checked(outgoing.attachments, draft.blobs or {}, limits) if outgoing.attachments else ()
    has_end = outgoing.ttl_ms is not None or outgoing.expires_at is not None
    expires_at = _expires_at(state, outgoing, now_ms) if has_end else None
    takers, refusals = found.recipients, found.refusals
    first = takers[0] if takers else None
    if first is None or window is not None or len(takers) > 1 or first.mailbox.pending >= limits.pending_max:
        takers, refusals = fan_out.judged(state, sender_id, found.recipients, refusals, text, metadata, now_ms)
        first = takers[0]
    is_list = found.is_audience
    windows: Sequence[tuple[CountWindow, int]] = ()
    if is_list:
        thread_id = metadata.thread_id or draft.id
        windows = fan_out.check_frequency(state, sender_id, outgoing, thread_id, len(takers), now_ms)
    if context.back_pressure is not None:
        raise context.back_pressure
    receiver, original_to, mailbox = first.session, first.original_to, first.mailbox
    message = Message(
        id=draft.id, sender=sender_id, receiver=mailbox.session, text=text, status="pending",
        seq=mailbox.head_seq + 1, created_at=now_ms, expires_at=expires_at, original_to=original_to,
        chars_removed=removed, audience=fan_out.audience(outgoing.to, takers, refusals) if is_list else None,
        attachments=files, metadata=UNSET if metadata is NO_METADATA else metadata,
    )  # fmt: skip
    record = fan_out.record(message, takers, refusals) if is_list else Accepted(message)
    state.apply(record, message)
    if files:
        state.attached.append(record)
    if window is not None:
        window.append(now_ms)
        for taker in takers:
            state.pair(sender_id, taker.mailbox.session).add(sender_id, text, metadata, now_ms)
    if is_list:
        for counted, count in windows:
            counted.add(now_ms, count)
        return fan_out.result(state, context, record, takers, refusals, whole=whole)
    reach, seen = presence.at_send(context, receiver, message)
    return SendResult(
        id=message.id, status=201, to=message.receiver, to_name=receiver.session.name, original_to=original_to,
        seq=message.seq, created_at=now_ms, expires_at=expires_at, chars_removed=removed,
        thread_id=metadata.thread_id, state="pending", reach=reach, seen_at=receiver.last_activity_ms or None,
        presence=seen, message=message if whole else UNSET,
    )  # fmt: skip


def notify(state: State, receiver: str, key: str, text: str, now_ms: int) -> bool:
    """Accept a message from the post office itself, which no rate limit and no role restricts.

    False if there is no such session or the id was used before, so that a repeat after a crash makes one message.
    """
    mailbox = state.mailboxes.get(receiver)
    if state.sessions.get(receiver) is None or mailbox is None:
        return False
    message_id = canonical_id(key, state.sessions.mark_of(SYSTEM_SENDER))
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


def _checked_metadata(state: State, sender: SessionState, draft: _Draft) -> Metadata:
    metadata = draft.outgoing.metadata
    if metadata is NO_METADATA or metadata == NO_METADATA:
        return NO_METADATA
    validation.check_metadata(metadata, state.limits)
    if metadata.in_reply_to is None:
        return metadata
    answered = draft.answered
    if not isinstance(answered, _Answered):
        # An earlier message of the same request is in memory only since it was accepted.
        found = _answered_in_memory(state, sender, metadata.in_reply_to, None)
        if found is None:
            raise answered if answered is not None else _not_looked_up()
        answered = found
    return replace(metadata, in_reply_to=answered.id, thread_id=answered.thread_id)


def _expires_at(state: State, outgoing: Outgoing, now_ms: int) -> int | None:
    """When the message expires. Raises INVALID for a time or a life that is not allowed."""
    ttl_ms, expires_at = outgoing.ttl_ms, outgoing.expires_at
    if expires_at is not None:
        if ttl_ms is not None:
            raise MaestroError("INVALID", "ttlMs and expiresAt were both given", "Give one of them.")
        ttl_ms = expires_at - now_ms
    if ttl_ms is None:
        return None
    if not 0 < ttl_ms <= state.limits.ttl_ms_max:
        raise MaestroError(
            "INVALID",
            f"a message can't have a life of {duration_text(ttl_ms)}"
            if expires_at is None
            else f"a message can't expire {duration_text(abs(ttl_ms))} {'ago' if ttl_ms <= 0 else 'from now'}",
            f"Give a life from 1ms to {duration_text(state.limits.ttl_ms_max)}, which the setting ttl_ms_max allows.",
            limit=state.limits.ttl_ms_max,
            actual=ttl_ms,
        )
    return now_ms + ttl_ms


def _not_looked_up() -> MaestroError:
    return MaestroError("INTERNAL", "the answered message was not looked up")
