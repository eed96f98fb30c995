"""Session signs: reads the signs of a session's processes for the core, from `hooks/state` and the system.

Rule: it reads when it is asked, and keeps nothing for longer than a turn of the loop, in which a batch may have many
messages for one receiver. A session without an agent and without a process costs no system call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core.model.signs import NO_SIGNS, HookSign, Signs
from maestro_runtime import hook_state
from maestro_runtime.process_identity import is_alive

if TYPE_CHECKING:
    from maestro_broker.core.model.session_registry import SessionState


class SessionSigns:
    """The signs of the sessions of a data directory."""

    def __init__(self, data: str) -> None:
        self._data = data
        self._read_ms = -1
        self._of_turn: dict[str, Signs] = {}

    def __call__(self, found: SessionState, now_ms: int) -> Signs:
        """The signs of one session. A session of another machine has its processes and its hooks there."""
        session = found.session
        if found.key is not None or (session.agent is None and session.pid is None):
            return NO_SIGNS
        if now_ms != self._read_ms:
            self._read_ms = now_ms
            self._of_turn.clear()
        known = self._of_turn.get(session.id)
        if known is None:
            known = self._of_turn[session.id] = self._read(session.id, session.pid or 0, session.pid_start)
        return known

    def _read(self, session: str, pid: int, pid_start: str | None) -> Signs:
        alive = is_alive(pid, pid_start)
        sign = hook_state.read(hook_state.path(self._data, session))
        if sign is None:
            return Signs(alive)
        same = (sign.pid, sign.pid_start) == (pid, pid_start)
        agent_alive = alive if same else is_alive(sign.pid, sign.pid_start)
        return Signs(alive, HookSign(sign.state, sign.at_ms, agent_alive, sign.detail))
