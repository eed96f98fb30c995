"""Request context: what a handler must know beside the state and the request.

Rule: it is an argument. Nothing is set on the state around a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas.events import TOPIC_SEPARATOR
from maestro_schemas.names import ID_CHARS_MAX, is_id
from maestro_schemas.texts.visible_text import one_line

from .model.records import Refused
from .model.signs import no_signs

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from maestro_schemas.errors import MaestroError
    from maestro_schemas.sessions import WakeState

    from .model.session_registry import SessionState
    from .model.signs import Signs
    from .model.state import State

    # The state of a session's wakes at a time; None where its agent can't be woken.
    WakeStates = Callable[[SessionState, int], WakeState | None]


def no_wakes(_found: SessionState, _now_ms: int) -> WakeState | None:
    """The states where no server wakes agents."""
    return None


class RequestContext(NamedTuple):
    """The circumstances of one request, or of all requests of one turn of the loop."""

    now_ms: int
    # The topics that clients are subscribed to.
    topics: AbstractSet[str] = frozenset()
    # The error that new messages get at this moment (BUSY, STORAGE_FULL); None while they are accepted.
    back_pressure: MaestroError | None = None
    # The name of the key of the peer's machine; None for a peer on this machine.
    key: str | None = None
    # The signs of a session at a time, which the server reads when the core asks for them.
    signs: Callable[[SessionState, int], Signs] = no_signs
    # That key has not the rights of the operator.
    is_limited: bool = False
    # The state of a session's wakes.
    wakes: WakeStates = no_wakes

    def is_operator(self, asking: SessionState | None) -> bool:
        """Whether the caller is the operator; `asking`: the session that it named."""
        return asking is None and not self.is_limited

    def is_watched(self, session: str) -> bool:
        """Whether a client is notified of the session's mail at once."""
        return f"{session}{TOPIC_SEPARATOR}" in self.topics


def record_refusal(
    state: State, context: RequestContext, code: str, session: str | None, to: str | None, message_id: str | None
) -> None:
    """Put a refusal into the audit. Under back-pressure there is no space for it."""
    if context.back_pressure is not None:
        return
    claimed = session if session is not None and is_id(session) else None
    named = message_id if message_id is not None and is_id(message_id) else None
    address = one_line(to[:ID_CHARS_MAX]) if to is not None else None
    state.apply(Refused(context.now_ms, code, claimed, address, named), None)
