"""Session signs: reads the signs of a session's processes for the core, from `hooks/state` and the system.

Rule: it reads when it is asked, and keeps nothing for longer than a turn of the loop, in which a batch may have many
messages for one receiver. A session without an agent and without a process costs no system call. The system's clock
gives a sign its time. Where that was set back, a new sign would seem old, so its time is moved to the broker's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from maestro_broker.core.model.signs import NO_SIGNS, HookSign, Signs
from maestro_runtime import hook_state
from maestro_runtime.process_identity import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_broker.core.model.session_registry import SessionState
    from maestro_runtime.hook_state import HookState


class SignsRead(NamedTuple):
    """The signs of one session, and its processes."""

    signs: Signs
    # Those that run, each with its pid and its start.
    running: tuple[tuple[int, str], ...] = ()
    # The last sign of its hooks, without its time.
    last: HookState | None = None


# A smaller difference of the two clocks is no jump, and does not matter.
_JUMP_MS = 1_000

_NOTHING_READ = SignsRead(NO_SIGNS)


class SessionSigns:
    """The signs of the sessions of a data directory."""

    def __init__(self, data: str, ahead_ms: Callable[[], int] = lambda: 0) -> None:
        """`ahead_ms`: how far the broker's clock is ahead of the system's."""
        self._data = data
        self._ahead_ms = ahead_ms
        # What times are moved by. It changes at a jump alone, so that one sign keeps one time.
        self._moved_ms = 0
        self._read_ms = -1
        self._of_turn: dict[str, Signs] = {}

    def __call__(self, found: SessionState, now_ms: int) -> Signs:
        """The signs of one session, read once in a turn."""
        if now_ms != self._read_ms:
            self._read_ms = now_ms
            self._of_turn.clear()
        known = self._of_turn.get(found.session.id)
        if known is None:
            known = self.read(found).signs
            if known is not NO_SIGNS:
                self._of_turn[found.session.id] = known
        return known

    def read(self, found: SessionState) -> SignsRead:
        """The signs of one session at this moment. A session of another machine has its processes and its hooks
        there."""
        session = found.session
        if found.key is not None or (session.agent is None and session.pid is None):
            return _NOTHING_READ
        own = (session.pid or 0, session.pid_start)
        alive = is_alive(*own)
        sign = self.sign(session.id)
        if sign is None:
            return SignsRead(Signs(alive), _running((own, alive)))
        agent = (sign.pid, sign.pid_start)
        agent_alive = alive if agent == own else is_alive(*agent)
        hook = HookSign(sign.state, sign.at_ms + self._moved(), agent_alive, sign.detail, sign.event)
        return SignsRead(Signs(alive, hook), _running((own, alive), (agent, agent_alive)), sign._replace(at_ms=0))

    def sign(self, session_id: str) -> HookState | None:
        """The last sign of a session's hooks."""
        return hook_state.read(hook_state.path(self._data, session_id))

    def _moved(self) -> int:
        # A clock that was set forward gives times of the future; what compares them takes the present for these.
        ahead_ms = max(0, self._ahead_ms())
        if abs(ahead_ms - self._moved_ms) > _JUMP_MS:
            self._moved_ms = ahead_ms
        return self._moved_ms


def _running(*processes: tuple[tuple[int, str | None], bool | None]) -> tuple[tuple[int, str], ...]:
    found = {(pid, start): None for (pid, start), alive in processes if alive and start is not None}
    return tuple(found)
