"""Keys: what the broker knows of the key of another machine, and for which sessions it may speak.

Rule: only the public half is here. The files that hold it, and the secrets, are `maestro_runtime.key_files`.
"""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """A key as the broker knows it. It speaks for `sessions`, for those of `project`, and, where `own`, for those
    that were started with it; `any_session`: for all. `operator`: as a person on the broker's machine. Only with
    `orchestrator` may it start one. `created_at`, `revoked_at`: milliseconds since the epoch."""

    name: str
    public: str
    created_at: int
    sessions: tuple[str, ...] = ()
    project: str | None = None
    own: bool = False
    any_session: bool = False
    orchestrator: bool = False
    operator: bool = False
    revoked_at: int | None = None

    def scope(self) -> str:
        """For whom it speaks, in words."""
        if self.operator:
            return "everybody, as the operator"
        if self.any_session:
            return "any session"
        parts = [*(["what it starts"] if self.own else []), *self.sessions]
        if self.project is not None:
            parts.append(f"project {self.project}")
        return ", ".join(parts)
