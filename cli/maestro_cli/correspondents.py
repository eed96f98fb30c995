"""Correspondents: the names behind the ids of senders.

Rule: a name is a kindness. It is asked for once a sender, and when it can't be had soon the id stands alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import SYSTEM_SENDER

from .render import correspondent

if TYPE_CHECKING:
    from maestro_clients.blocking import Client
    from maestro_schemas.documents import SessionDoc

_PATIENCE_S = 0.5
_KEPT_MAX = 1_000


class Correspondents:
    """Labels of senders, remembered for the life of one command."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._labels: dict[str, str] = {}

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
