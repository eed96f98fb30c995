"""Sessions: the senders and receivers of messages.

Rule: a session is active (`spawning`, `idle`, `working`) or ended (`completed`, `failed`, `stopped`). Only an active
session sends. `last_activity` is soft state: kept in memory and never journaled alone.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from msgspec import Struct

from .vocabularies import ActiveStatus, Role, SessionStatus, WakeSetting

ACTIVE: frozenset[str] = frozenset(get_args(ActiveStatus))


class NeedsInput(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Whether a session waits for input from a person."""

    active: bool
    # What it waits for.
    message: str | None = None
    # Since when, ms.
    since: int | None = None


class SessionNote(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One entry of a session's own timeline (`POST /api/sessions/:id/timeline`)."""

    type: str
    message: str
    # When, ms.
    timestamp: int
    # The client's own id of the entry. A second entry with the id of a kept one is a repeat, and is not added.
    id: str | None = None
    # Any JSON object (limit NOTE_METADATA_BYTES_MAX).
    metadata: dict[str, Any] | None = None


PresenceState = Literal["waiting", "working", "idle", "watching", "gone", "unknown", "ended"]


class WakeState(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel"):
    """Whether the broker can start a turn of the session's idle agent, and what became of the last time it did."""

    # `ready`: mail wakes it. `woken`: it was, and no hook has taken the mail yet. `unanswered`: it was woken again,
    # without an answer, and is not woken until its next sign. `held`: a cap or the brake holds wakes back. `off`: its
    # setting, or its installation, wants none.
    state: Literal["ready", "woken", "unanswered", "held", "off"]
    # What wakes it: a name in `waking`.
    by: str | None = None
    # When it was woken last, ms.
    at: int | None = None
    # Why it is held, or what went wrong at the last wake.
    reason: str | None = None


class Presence(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel"):
    """What is known of a session at the moment of the reply, with its sign and the age of that sign."""

    state: PresenceState
    # When the sign was given, ms.
    since: int | None = None
    # What gave it: `hook`, `process`, `subscription`, `broker`.
    by: str | None = None
    # What it waits for.
    detail: str | None = None
    # Of an agent that can be woken from idle, and of one that could but must not be; absent for all others.
    wake: WakeState | None = None


class Session(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A session, as every client may see it."""

    id: str
    role: Role
    project_id: str
    status: SessionStatus
    # When it was started, ms; at a restart, when it was started again.
    started_at: int
    # When the broker last had a request of this session, ms.
    last_activity: int
    name: str | None = None
    # The session that started this one.
    parent_session_id: str | None = None
    task_ids: tuple[str, ...] = ()
    # When it ended, ms.
    completed_at: int | None = None
    needs_input: NeedsInput | None = None
    # Any JSON object (limit session_metadata_bytes_max).
    metadata: dict[str, Any] = {}
    timeline: tuple[SessionNote, ...] = ()
    # The kind of agent that runs in it, such as `claude-code`.
    agent: str | None = None
    # The id that the agent gives the conversation.
    agent_session_id: str | None = None
    # The process that the session belongs to: its agent, or the leader of the terminal's session.
    pid: int | None = None
    # Tells that process from a later one with the same pid: on Linux, the boot id and the start time in ticks.
    pid_start: str | None = None
    # The agent's working directory.
    cwd: str | None = None
    # Whether the broker may wake its agent from idle.
    wake: WakeSetting = "idle"
    # What can wake it: a name in `waking`, as the agent's hook reported it at its start. None: nothing can.
    wake_by: str | None = None
    # A request that speaks for this session needs its token.
    has_token: bool = False
    # A client is subscribed to its notices now. In replies only; never stored.
    watching: bool = False
    # What is known of it now. In replies only; never stored.
    presence: Presence | None = None

    @property
    def active(self) -> bool:
        """Whether it can send, and be sent to."""
        return self.status in ACTIVE


class StoredSession(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The file `sessions/<id>.json` (0600)."""

    session: Session
    # The SHA-256 of the token in hex; the token itself is not stored.
    token_hash: str | None = None
    # The name of the key that started the session from another machine.
    key: str | None = None
    # With which `mark_of(session, salt)` is its mark; 0 unless another session had that mark first.
    salt: int = 0
