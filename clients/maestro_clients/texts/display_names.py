"""Display names: what is shown for a session in place of its id.

Rule: the names come with the reply that names the sessions (`people`). A session that the broker has forgotten is
shown by its id alone.
"""

from __future__ import annotations

from maestro_schemas.names import OPERATOR, SYSTEM_SENDER
from maestro_schemas.texts.visible_text import is_token

from .fence import named

TYPE_CHECKING = False  # `typing` costs more than a name
if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_schemas.documents import MessageDoc, PersonDoc, SessionDoc


class DisplayNames:
    """Labels of sessions, from the `people` of a reply."""

    def __init__(self, people: Mapping[str, PersonDoc]) -> None:
        self._people = people

    def sender(self, session_id: str) -> str:
        """As `label`; of the operator also what is known of who writes as it. It is no reason to obey."""
        if session_id == OPERATOR:
            return f"{OPERATOR} (your user's shell or screen; any program of that user can write as it)"
        return self.label(session_id)

    def label(self, session_id: str) -> str:
        """`bob (worker, sess_1)`, or the id alone."""
        if session_id == SYSTEM_SENDER:
            return "the post office itself"
        if session_id == OPERATOR:
            return OPERATOR
        return correspondent(session_id, self._people.get(session_id))

    def unfit_name(self, session_id: str) -> str | None:
        """A name that is no token, so that no label has it; None where there is no such name."""
        person = self._people.get(session_id)
        name = None if person is None else person.get("name")
        return name if name and not is_token(name) else None

    def original_receiver(self, message: MessageDoc) -> str | None:
        """The label of the session that a message was sent to, where it was redirected to another one."""
        return self.label(message["originalTo"]) if "originalTo" in message else None


def correspondent(session_id: str, session: SessionDoc | PersonDoc | None) -> str:
    """`bob (worker, sess_1)` where the session is known and its name is a token, else its id."""
    if session is None:
        return named(session_id)
    name = session.get("name")
    if name and is_token(name):
        return f"{name} ({session['role']}, {session_id})"
    return f"{session_id} ({session['role']})"
