"""Rights: who asks, and what they may see.

Rule: the operator (a peer of the broker's uid that names no session) sees all; a session its own mail, what it
sent, its own lines of the timeline; an orchestrator also the timeline of its project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas import events
from maestro_schemas.errors import MaestroError

from . import validation

if TYPE_CHECKING:
    from maestro_schemas.events import Event
    from maestro_schemas.messages import Message
    from maestro_schemas.requests import Identity
    from maestro_schemas.sessions import Session

    from .model.mailbox import Mailbox
    from .model.session_registry import SessionState
    from .model.state import State


def authenticate(state: State, who: Identity, now_ms: int) -> SessionState | None:
    """The session that asks, None for the operator. Raises UNKNOWN_SESSION, TOKEN_REQUIRED, TOKEN_MISMATCH."""
    if who.session is None:
        return None
    found = state.sessions.get(who.session)
    if found is None:
        raise MaestroError(
            "UNKNOWN_SESSION",
            f"there is no session {who.session[:80]!r} in this post office",
            'Start one: eval "$(maestro session start --export)". '
            "If it was started in another data directory, set MAESTRO_DATA_DIR to that one.",
        )
    validation.check_token(who.session, found.token_hash, who.token)
    found.last_activity_ms = now_ms
    return found


def check_operator(state: State, who: Identity, now_ms: int) -> None:
    """Raises as `authenticate`, and FORBIDDEN for a session."""
    asking = authenticate(state, who, now_ms)
    if asking is not None:
        raise MaestroError(
            "FORBIDDEN",
            f"{asking.session.id} may not do this: it is about everybody's mail",
            "A person may, without MAESTRO_SESSION_ID.",
        )


def receiver_with_token(state: State, mailbox: Mailbox | None, who: Identity, now_ms: int) -> SessionState | None:
    """The owner of `mailbox`, for whom a caller speaks that knows only a message's id (`as_receiver`), which the
    documented REST calls allow. Raises TOKEN_REQUIRED, TOKEN_MISMATCH."""
    owner = state.sessions.get(mailbox.session) if mailbox is not None else None
    if owner is not None:
        validation.check_token(owner.session.id, owner.token_hash, who.token)
        owner.last_activity_ms = now_ms
    return owner


def active_sender(state: State, who: Identity, now_ms: int) -> SessionState:
    """The session that sends. Raises as `authenticate`, and NO_SESSION or SESSION_ENDED."""
    sender = authenticate(state, who, now_ms)
    if sender is None:
        raise MaestroError(
            "NO_SESSION",
            "a message needs a sender, and no session was named",
            'Start one in this shell: eval "$(maestro session start --export)".',
        )
    if not sender.session.active:
        raise ended(sender.session)
    return sender


def own_mailbox(state: State, who: Identity, session: str | None, now_ms: int) -> Mailbox:
    """The mailbox a request is about. Raises as `authenticate`, and NO_SESSION, SESSION_NOT_FOUND, FORBIDDEN."""
    asking = authenticate(state, who, now_ms)
    name = session if session is not None else (asking.session.id if asking is not None else None)
    if name is None:
        raise MaestroError(
            "NO_SESSION",
            "no session was named whose mail this is about",
            'Start one in this shell: eval "$(maestro session start --export)", or name one.',
        )
    owner = state.sessions.resolve(name, session_of(asking), "SESSION_NOT_FOUND")
    if asking is not None and asking is not owner:
        raise MaestroError(
            "FORBIDDEN",
            f"{asking.session.id} may not read or change the mail of {owner.session.id}",
            "A mailbox is its owner's; a person reads any without MAESTRO_SESSION_ID.",
        )
    return state.mailbox(owner.session.id)


def named_session(state: State, asking: SessionState | None, name: str | None) -> SessionState:
    """The session a request names, else the one that asks. Raises SESSION_NOT_FOUND or NO_SESSION."""
    if name is not None:
        return state.sessions.resolve(name, session_of(asking), "SESSION_NOT_FOUND")
    if asking is None:
        raise MaestroError("NO_SESSION", "no session was named", "Name one, or set MAESTRO_SESSION_ID.")
    return asking


def find_message(state: State, asking: SessionState | None, message_id: str) -> Message | None:
    """A message that the asking session received or sent; any, for the operator."""
    if asking is None:
        holder = state.holder(message_id)
        entry = holder.get(message_id) if holder is not None else None
        return entry.message if entry is not None else None
    own = state.mailbox(asking.session.id).get(message_id)
    if own is not None:
        return own.message
    sent = state.sent_before(asking.session.id, message_id)
    return sent.message if sent is not None else None


def may_see(state: State, asking: SessionState | None, event: Event) -> bool:
    """Whether a line of the timeline is for this reader: as `maestro_schemas.events.may_see`."""
    if asking is None:
        return True
    reader = asking.session

    def project_of(session: str) -> str | None:
        found = state.sessions.get(session)
        return found.session.project_id if found is not None else None

    return events.may_see(event, reader.id, reader.role, reader.project_id, project_of)


def session_of(asking: SessionState | None) -> Session | None:
    """The session that asks; None for the operator."""
    return asking.session if asking is not None else None


def no_message(message_id: str) -> MaestroError:
    """The error for a message that is not there, or not for the one who asks: which, is not told."""
    return MaestroError(
        "MESSAGE_NOT_FOUND",
        f"there is no message {message_id!r} that you may see",
        "It may be deleted. `maestro inbox --unread` lists your mail, `maestro timeline` what happened to it.",
    )


def ended(session: Session) -> MaestroError:
    """The error for what only an active session may do."""
    return MaestroError(
        "SESSION_ENDED",
        f"session {session.id} has ended ({session.status})",
        'Start one: eval "$(maestro session start --export)"; the same id and token reopen the old one.',
    )
