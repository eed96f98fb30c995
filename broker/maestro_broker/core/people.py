"""People: what is shown of the sessions that a reply's messages name.

Rule: for a reply that a person or an agent reads, so that its caller need not ask for each session by itself. A
session that is forgotten is left out, and its id stands alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.replies import Person

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_schemas.messages import Message

    from .model.state import State


def people(state: State, messages: Iterable[Message]) -> dict[str, Person]:
    """Name and role, by id, of each sender, receiver and original receiver that the post office knows."""
    ids = {
        session_id
        for message in messages
        for session_id in (message.sender, message.receiver, message.original_to)
        if session_id is not None
    }
    known = {session_id: state.sessions.get(session_id) for session_id in ids}
    return {
        session_id: Person(role=found.session.role, name=found.session.name)
        for session_id, found in known.items()
        if found is not None
    }
