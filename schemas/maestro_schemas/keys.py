"""Keys: the public key of another machine, and the sessions that it may speak for.

Rule: only the public half is here. `maestro_runtime.key_files` reads and writes the key files and the secrets.
"""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """A key as the broker knows it."""

    name: str
    # The public key, in Z85.
    public: str
    # Milliseconds since the epoch.
    created_at: int
    # It speaks for these sessions.
    sessions: tuple[str, ...] = ()
    # It speaks for the sessions of this project.
    project: str | None = None
    # It speaks for the sessions that were started with it.
    own: bool = False
    # It speaks for every session.
    any_session: bool = False
    # It may start orchestrators.
    orchestrator: bool = False
    # It has the rights of the operator.
    operator: bool = False
    # Milliseconds since the epoch; None while the key is valid.
    revoked_at: int | None = None

    def scope(self) -> str:
        """The sessions that it may speak for, in words."""
        if self.operator:
            return "every session, as the operator"
        if self.any_session:
            return "any session"
        parts = [*(["the sessions it starts"] if self.own else []), *self.sessions]
        if self.project is not None:
            parts.append(f"project {self.project}")
        return ", ".join(parts)
