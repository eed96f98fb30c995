"""Sessions: who can send and receive.

Rule: a session is active (`spawning`, `idle`, `working`) or ended (`completed`, `failed`, `stopped`); only an
active one sends, and only to an active one. `last_activity` is soft: kept in memory, never journaled alone.
"""

from __future__ import annotations

from typing import Any, get_args

from msgspec import Struct

from .vocabularies import ActiveStatus, Role, SessionStatus

ACTIVE: frozenset[str] = frozenset(get_args(ActiveStatus))


class NeedsInput(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Whether the session waits for a person, since when (ms), and for what."""

    active: bool
    message: str | None = None
    since: int | None = None


class SessionNote(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One line of a session's own timeline (the documented `POST /api/sessions/:id/timeline`)."""

    type: str
    message: str
    timestamp: int


class Session(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A session as everybody may see it. `has_token`: whether speaking for it takes a token. `watching`: whether
    somebody hears at once of its mail, now; in answers only, never on disk."""

    id: str
    role: Role
    project_id: str
    status: SessionStatus
    started_at: int
    last_activity: int
    name: str | None = None
    parent_session_id: str | None = None
    task_ids: tuple[str, ...] = ()
    completed_at: int | None = None
    needs_input: NeedsInput | None = None
    metadata: dict[str, Any] = {}
    timeline: tuple[SessionNote, ...] = ()
    agent: str | None = None
    agent_session_id: str | None = None
    pid: int | None = None
    cwd: str | None = None
    has_token: bool = False
    watching: bool = False

    @property
    def active(self) -> bool:
        """Whether it can send and be sent to."""
        return self.status in ACTIVE


class StoredSession(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """`sessions/<id>.json` (0600): the session, and the SHA-256 of its token in hex, never the token. `key`: the
    name of the key with which it was started from another machine."""

    session: Session
    token_hash: str | None = None
    key: str | None = None
