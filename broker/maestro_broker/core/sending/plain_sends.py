"""Plain sends: the short way of a message to one session, as nearly all are (decision 53).

Rule: it makes the checks that nearly always hold. Where one fails it changes nothing and leaves the message to
`acceptance`, which finds what it is, or why it is refused: each refusal stands there alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from maestro_broker.core import presence, validation
from maestro_broker.core.model.records import Accepted
from maestro_schemas.messages import NO_METADATA, Message
from maestro_schemas.names import canonical_id, is_id, message_time_ms
from maestro_schemas.replies import SendResult
from maestro_schemas.texts.visible_text import cleaned

if TYPE_CHECKING:
    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.requests import Outgoing


def needs_no_read(state: State, sender: SessionState, outgoing: Outgoing) -> bool:
    """Whether the message is to one session by its id and can be accepted or refused without a read. It may still be
    none for `send`."""
    to = outgoing.to
    if type(to) is not str or state.sessions.get(to) is None or not is_id(outgoing.id):
        return False
    if outgoing.attachments or outgoing.metadata.in_reply_to is not None:
        return False
    message_id = canonical_id(outgoing.id, sender.mark)
    return not state.may_be_filed(sender.session.id, message_id, message_time_ms(message_id))


def send(
    state: State, sender: SessionState, outgoing: Outgoing, context: RequestContext, *, whole: bool
) -> SendResult | None:
    """Accept a new message to an active session by its id, without metadata, files or an end: nearly all are such.

    None, and nothing is counted, if it is not one or any check fails: the long way then finds what it is, or why it
    is refused. This way takes two thirds of its time (decision 53).
    """
    key, to, limits, now_ms = outgoing.id, outgoing.to, state.limits, context.now_ms
    receiver = state.sessions.get(to) if type(to) is str else None
    if (
        receiver is None
        or not receiver.active
        or outgoing.metadata is not NO_METADATA
        or outgoing.attachments
        or outgoing.ttl_ms is not None
        or outgoing.expires_at is not None
        or outgoing.on_ended is not None
        or context.back_pressure is not None
        or not is_id(key)
        or not validation.may_write(sender.session, receiver.session)
    ):
        return None
    sender_id, mailbox = sender.session.id, state.mailboxes[receiver.session.id]
    message_id = canonical_id(key, sender.mark)
    id_ms = message_time_ms(message_id)
    text, removed = cleaned(outgoing.text)
    if (
        not state.is_new(sender_id, message_id, id_ms)
        or mailbox.pending >= limits.pending_max
        or not text
        or text.isspace()
        or len(text) > limits.text_chars_max
    ):
        return None
    if limits.rate_limit and not state.count_plain(sender_id, mailbox.session, text, now_ms):
        return None
    seq = mailbox.head_seq + 1
    message = Message(
        id=message_id, sender=sender_id, receiver=mailbox.session, text=text, status="pending", seq=seq,
        created_at=now_ms, chars_removed=removed,
    )  # fmt: skip
    state.apply_plain(Accepted(message), mailbox, id_ms)
    reach, seen = presence.at_send(context, receiver, message)
    return SendResult(
        id=message_id, status=201, to=mailbox.session, to_name=receiver.session.name, seq=seq, created_at=now_ms,
        chars_removed=removed, state="pending", reach=reach, seen_at=receiver.last_activity_ms or None, presence=seen,
        message=message if whole else UNSET,
    )  # fmt: skip
