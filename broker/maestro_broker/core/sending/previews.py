"""Previews: who would get a message, and when, before it is sent.

Rule: the same expansion, roles and states as acceptance, whose functions do the work; nothing is counted or kept.
What refuses a receiver alone is an entry of the reply, also where it is the only one. An address or a role that would
refuse the whole message is an error, as it is of `send`. There is no text yet, so the guard against short replies is
silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from maestro_broker.core import authorization, presence, validation
from maestro_schemas.bodies.previews import PreviewReply
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import SHORT_REPLY_CHARS
from maestro_schemas.messages import NO_METADATA, Message
from maestro_schemas.replies import RecipientResult
from maestro_schemas.requests import Outgoing

from . import audiences, fan_out, recipients
from .recipients import Resolved

if TYPE_CHECKING:
    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.bodies.previews import Preview

_TAKEN = 201
# Longer than the short replies that the loop guard counts.
_SOME_TEXT = "." * (SHORT_REPLY_CHARS + 1)


def preview(state: State, request: Preview, context: RequestContext) -> PreviewReply:
    """Who would get this message now."""
    sender = authorization.active_sender(state, request.who, context.now_ms)
    sender_id, now_ms = sender.session.id, context.now_ms
    found = _resolved(state, sender, request)
    for recipient in found.recipients:
        validation.check_role(sender.session, recipient.session.session)
    validation.check_metadata(request.metadata, state.limits)
    takers, refusals = fan_out.judge(
        state, sender_id, found.recipients, found.refusals, _SOME_TEXT, request.metadata, now_ms
    )
    audience = fan_out.audience(request.to, takers, refusals) if found.is_audience else None
    # What decides when a receiver sees it; the rest is of no matter.
    message = Message(
        id="",
        sender=sender_id,
        receiver="",
        text="",
        status="pending",
        seq=0,
        created_at=now_ms,
        audience=audience,
        metadata=UNSET if request.metadata == NO_METADATA else request.metadata,
    )
    return PreviewReply(
        recipients=(
            *(
                RecipientResult(
                    to=taker.mailbox.session,
                    name=taker.session.session.name,
                    status=_TAKEN,
                    original_to=taker.original_to,
                    reach=reach,
                    presence=seen,
                )
                for taker in takers
                for reach, seen in [presence.at_send(context, taker.session, message)]
            ),
            *(
                RecipientResult(to=to, name=state.sessions.name_of(to), status=error.status, error=error.body())
                for to, error in refusals
            ),
        ),
        accepted=len(takers),
        refused=len(refusals),
        confirm=sender is not state.sessions.operator and fan_out.needs_confirmation(state, found.unchosen),
        audience=audience,
    )


def _resolved(state: State, sender: SessionState, request: Preview) -> Resolved:
    outgoing = Outgoing(id="", to=request.to, text="", on_ended=request.on_ended)
    try:
        return recipients.resolve(state, sender.session, outgoing, audiences.Expansion(state, sender.session))
    except MaestroError as error:
        if error.code != "RECEIVER_ENDED" or error.details is None:
            raise
        return Resolved((), ((error.details["session"], error),), is_audience=False)
