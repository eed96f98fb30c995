"""Repeats: the answer to a send whose id its sender has used before.

Rule: the same addresses, text, files, metadata and life are the same send, and get the list of receivers that was
frozen at its acceptance. Anything else under the id is a conflict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import canonical_id, ending_of
from maestro_schemas.replies import RecipientResult, SendResult
from maestro_schemas.texts.visible_text import clean

from . import attached, audiences, fan_out

if TYPE_CHECKING:
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import SentMessage, State
    from maestro_schemas.messages import Message, Metadata
    from maestro_schemas.requests import Outgoing


def answer(state: State, sender: SessionState, outgoing: Outgoing, known: SentMessage, *, whole: bool) -> SendResult:
    """The result of the first send, with what became of the message since. Raises CONFLICT."""
    sent = known.file
    message_id = canonical_id(outgoing.id, sender.mark)
    is_list = audiences.is_audience(outgoing.to)
    if not known.there:
        to = None if is_list else sent.deliveries[0][0]
        return SendResult(id=message_id, status=200, to=to, state="deleted")
    if sent.failed is not None:
        raise _failed(sent.failed)
    message = known.there[0]
    same = (
        _is_same_address(state, sender, outgoing.to, message)
        and message.text == clean(outgoing.text)
        and message.attachments == (attached.named_safely(outgoing.attachments) if outgoing.attachments else ())
        and _is_same_metadata(message.meta, outgoing.metadata)
        and (
            message.expires_at == outgoing.expires_at
            if outgoing.ttl_ms is None
            else message.expires_at == message.created_at + outgoing.ttl_ms
        )
    )
    if not same:
        raise _conflict(message_id, "this session has sent another message under it")
    if not is_list:
        return SendResult(
            id=message.id,
            status=200,
            to=message.receiver,
            to_name=state.sessions.name_of(message.receiver),
            original_to=message.original_to,
            seq=message.seq,
            created_at=message.created_at,
            expires_at=message.expires_at,
            chars_removed=message.chars_removed,
            thread_id=message.meta.thread_id,
            state=message.status,
            message=message if whole else UNSET,
        )
    there = {each.receiver: each for each in known.there}
    receivers = (
        *(
            RecipientResult(
                to=to,
                name=state.sessions.name_of(to),
                status=200,
                original_to=original_to,
                seq=there[to].seq if to in there else None,
                state=there[to].status if to in there else "deleted",
            )
            for to, original_to in sent.deliveries
        ),
        *(
            RecipientResult(
                to=to,
                name=state.sessions.name_of(to),
                status=(refused := MaestroError(code, "")).status,
                error=refused.body(),
            )
            for to, code in sent.refused
        ),
    )
    return fan_out.outcome(message, 200, receivers, len(sent.refused), whole=whole)


def _is_same_address(state: State, sender: SessionState, to: str | list[str], message: Message) -> bool:
    """Whether a repeat has the addresses of the accepted message, as they were said and not as they resolve now."""
    if audiences.is_audience(to):
        said = (to,) if isinstance(to, str) else tuple(to)
        return message.audience is not None and message.audience.to == said
    if message.audience is not None or not isinstance(to, str):
        return False
    try:
        receiver = state.sessions.resolve(to, sender.session, "RECEIVER_NOT_FOUND").session.id
    except MaestroError:
        return True  # the name is not in use any more, which is no reason to doubt the repeat
    return receiver in (message.receiver, message.original_to)


def _is_same_metadata(accepted: Metadata, repeated: Metadata) -> bool:
    """Whether a repeat has the metadata of the accepted message; its `inReplyTo` may lack the mark, as it does for a
    sender's own key, and in a send from before ids had marks."""
    answered, known = repeated.in_reply_to, accepted.in_reply_to
    if answered is not None and known is not None:
        mark = ending_of(known)
        if mark is not None and canonical_id(answered, mark) == known:
            answered = known
    return replace(accepted, thread_id=None) == replace(repeated, in_reply_to=answered)


def _failed(message: Message) -> MaestroError:
    """The error for a message that was refused for good."""
    failure = message.failure
    code, why = (failure.code, failure.message) if failure is not None else ("INTERNAL", "no reason was kept")
    return MaestroError(
        code,
        f"message {message.id} was refused for good: {why}",
        f"To send it again, as a new message: maestro message retry {message.id}",
    )


def _conflict(message_id: str, why: str) -> MaestroError:
    return MaestroError(
        "CONFLICT",
        f"the id {message_id} is taken: {why}",
        "Leave the id out, and a new one is made; use the same id only to repeat the same send.",
    )
