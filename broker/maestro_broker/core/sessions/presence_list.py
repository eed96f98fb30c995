"""Presence list: what is known of the sessions now, and how much mail waits for each.

Rule: as in `session.list`, each caller sees every active session. How much mail waits is shown to those that may see
what concerns the session alone: itself, an orchestrator of its project, the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core import authorization, presence
from maestro_broker.core.model.reads import Read
from maestro_broker.core.visibility import sees_mail_of
from maestro_schemas.names import plain_name
from maestro_schemas.replies import PresenceReply, SessionPresence

from . import session_pages

if TYPE_CHECKING:
    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.mailbox import Mailbox
    from maestro_broker.core.model.reads import Reads
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.requests import PresenceGet

# Mailboxes that one page reads from disk for the time of their oldest mail; each is a wait.
_READS_MAX = 16
# An upper bound of the bytes of one session: names and details have at most four bytes a character.
_LINE_BYTES = 1_024


def presence_of_sessions(state: State, request: PresenceGet, context: RequestContext) -> Reads[PresenceReply]:
    """Return what is known of the named session, or of a page of the active ones."""
    asking = authorization.authenticate(state, request.who, context.now_ms)
    project = None if request.project_id is None else plain_name(request.project_id)
    chosen: list[SessionState] = []
    unread: set[str] = set()

    def may_count(found: SessionState) -> bool:
        return context.is_operator(asking) or (asking is not None and sees_mail_of(state, asking, found))

    def take(found: SessionState) -> int | None:
        if project is not None and found.session.project_id != project:
            return None
        chosen.append(found)
        mailbox = state.mailboxes.get(found.session.id)
        if mailbox is not None and not mailbox.knows_oldest and may_count(found):
            unread.add(found.session.id)
            # The page ends after the last mailbox that it may read.
            return state.limits.reply_bytes_max + 1 if len(unread) == _READS_MAX else _LINE_BYTES
        return _LINE_BYTES

    if request.session is not None:
        take(authorization.named_session(state, asking, request.session))
        following = None
    else:
        following = session_pages.page(state, request.limit, request.after, take, active=True)
    for session_id in unread:
        yield Read("pending", session_id, "")
    lines = [
        _line(state, context, found, state.mailboxes.get(found.session.id), counts=may_count(found))
        for found in chosen
    ]
    return PresenceReply(lines, following)


def _line(
    state: State, context: RequestContext, found: SessionState, mailbox: Mailbox | None, *, counts: bool
) -> SessionPresence:
    session, known = found.session, presence.of(context, found)
    return SessionPresence(
        session=session.id,
        name=session.name,
        role=session.role,
        project_id=session.project_id,
        agent=session.agent,
        state=known.state,
        since=known.since,
        by=known.by,
        detail=known.detail,
        wake=known.wake,
        unread=(mailbox.pending if mailbox is not None else 0) if counts else None,
        oldest_at=mailbox.oldest_pending_ms if counts and mailbox is not None else None,
        full=counts and mailbox is not None and mailbox.pending >= state.limits.pending_max,
    )
