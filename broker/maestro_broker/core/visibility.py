"""Visibility: what a caller may see of this post office's mail and events.

Rule: `maestro_schemas.events.may_see` is the rule; here it gets the caller and the sessions. Each handler that shows
a message, or a line about one, asks here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.events import Reader, may_see, may_see_event, message_parties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from maestro_schemas.events import Event
    from maestro_schemas.messages import Message

    from .model.session_registry import SessionState
    from .model.state import State


def sees_event(state: State, asking: SessionState | None, event: Event) -> bool:
    """Whether the caller (None: the operator) may see an event."""
    return asking is None or may_see_event(_reader(asking), event, _projects(state))


def sees_message(state: State, asking: SessionState | None, message: Message) -> bool:
    """Whether the caller (None: the operator) may see a message, with its text."""
    return sees_parties(state, asking, message_parties(message.sender, message.receiver, message.status))


def sees_parties(state: State, asking: SessionState | None, parties: Iterable[str]) -> bool:
    """Whether the caller (None: the operator) may see what concerns these sessions."""
    return asking is None or may_see(_reader(asking), parties, _projects(state))


def seen(state: State, asking: SessionState | None, messages: Iterable[Message]) -> list[Message]:
    """The messages that the caller may see."""
    return [message for message in messages if sees_message(state, asking, message)]


def sees_mail_of(state: State, asking: SessionState, found: SessionState) -> bool:
    """Whether a session may know how much mail waits for another."""
    return may_see(_reader(asking), (found.session.id,), _projects(state))


def _projects(state: State) -> Callable[[str], str | None]:
    def project_of(session: str) -> str | None:
        found = state.sessions.get(session)
        return found.session.project_id if found is not None else None

    return project_of


def _reader(asking: SessionState) -> Reader:
    session = asking.session
    return Reader(session.id, session.role, session.project_id)
