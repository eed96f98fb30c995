"""People: the names and roles of the sessions that the messages of a reply mention.

Rule: they are for a reply that a person or an agent reads, so that the caller need not request each session. A
forgotten session is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.names import OPERATOR
from maestro_schemas.replies import Person

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_schemas.messages import Message

    from .model.state import State


def people(state: State, messages: Iterable[Message]) -> dict[str, Person]:
    """Name and role of each known sender, receiver and original receiver, by id."""
    return people_of(
        state,
        {
            session_id
            for message in messages
            for session_id in (message.sender, message.receiver, message.original_to)
            if session_id is not None
        },
    )


def people_of(state: State, ids: Iterable[str]) -> dict[str, Person]:
    """Name and role of each known session, by id."""
    known = {session_id: state.sessions.get(session_id) for session_id in ids}
    return {
        session_id: Person(role=OPERATOR if session_id == OPERATOR else found.session.role, name=found.session.name)
        for session_id, found in known.items()
        if found is not None
    }
