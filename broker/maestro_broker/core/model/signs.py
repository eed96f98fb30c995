"""Signs: what the server finds out about a session's processes for the core, which reads no file.

Rule: a sign says what was seen, and when. What could not be seen is None; the core decides what follows
(`core.presence`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from .session_registry import SessionState


class HookSign(NamedTuple):
    """The last sign that a hook of the session's agent gave."""

    state: Literal["working", "idle", "waiting", "left"]
    at_ms: int
    # Whether the agent's process still runs.
    alive: bool | None
    # What it waits for; `waking.WOKEN` in a turn that a wake began.
    detail: str | None = None
    # The agent's own name of the hook's event.
    event: str = ""


class Signs(NamedTuple):
    """All signs of one session."""

    # Whether the process that the session belongs to still runs.
    alive: bool | None = None
    hook: HookSign | None = None


NO_SIGNS = Signs()


def no_signs(_found: SessionState, _now_ms: int) -> Signs:
    """The signs where no server looks for any."""
    return NO_SIGNS
