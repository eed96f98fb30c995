"""Correspondents: the names behind the ids of senders.

Rule: a name is a kindness. It is asked for once a sender, and when it can't be had soon the id stands alone.
"""

from __future__ import annotations

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import SYSTEM_SENDER

from .render import correspondent

TYPE_CHECKING = False  # `typing` and `contextlib` cost more than a name
if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_clients.protocol.methods import CommandMethods
    from maestro_schemas.documents import MessageDoc, SessionDoc

_PATIENCE_S = 0.5
_KEPT_MAX = 1_000
# So many round trips cost less than a list of all sessions.
_ONE_BY_ONE_MAX = 4


class DisplayNames:
    """Labels of senders, remembered for the life of one command."""

    def __init__(self, client: CommandMethods) -> None:
        self._client = client
        self._labels: dict[str, str] = {}

    def meant(self, message: MessageDoc) -> str | None:
        """Whom a message was sent to, where it came to another."""
        return self.label(message["originalTo"]) if "originalTo" in message else None

    def labels(self, session_ids: Iterable[str]) -> dict[str, str]:
        """The label of each, in one round trip where they are many."""
        wanted = dict.fromkeys(session_ids)
        unknown = [one for one in wanted if one not in self._labels and one != SYSTEM_SENDER]
        if len(unknown) > _ONE_BY_ONE_MAX:
            self._learn(frozenset(unknown))
        return {one: self.label(one) for one in wanted}

    def _learn(self, session_ids: frozenset[str]) -> None:
        known: dict[str, SessionDoc] = {}
        try:
            listed = self._client.call("session.list", {}, timeout_s=_PATIENCE_S)["sessions"]
            known = {session["id"]: session for session in listed if session["id"] in session_ids}
        except MaestroError:
            pass
        # Who is not in the list, or the list itself, is not asked for again: that would take one patience each.
        for one in session_ids:
            if len(self._labels) < _KEPT_MAX:
                self._labels[one] = correspondent(one, known.get(one))

    def label(self, session_id: str) -> str:
        """`bob (worker, sess_1)`, or the id alone."""
        known = self._labels.get(session_id)
        if known is not None:
            return known
        if session_id == SYSTEM_SENDER:
            return "the post office itself"
        try:
            session: SessionDoc = self._client.call("session.get", {"id": session_id}, timeout_s=_PATIENCE_S)[
                "session"
            ]
        except MaestroError as error:
            if error.retryable:
                return correspondent(session_id, None)
            label = correspondent(session_id, None)
        else:
            label = correspondent(session_id, session)
        if len(self._labels) < _KEPT_MAX:
            self._labels[session_id] = label
        return label
