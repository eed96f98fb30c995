"""Work status: reports to the broker whether an agent works on a turn, so that senders see it.

Rule: the first hook of a turn that runs Python reports `working`, and the hook at the turn's end reports `idle`. A
status that another program has set stays: only `idle` becomes `working`, and only `working` becomes `idle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import state_files

if TYPE_CHECKING:
    from maestro_clients.one_shot_client import AnyClient
    from maestro_clients.protocol.callers import Caller

_IDLE = "idle"
_WORKING = "working"


def report_working(client: AnyClient, data: str, session: str) -> None:
    """Report once a turn that the session works. `client` speaks for the session. Raises MaestroError and OSError."""
    if state_files.is_working(data, session):
        return
    if client.session(session)["status"] == _IDLE:
        # The file comes first: if this process dies in between, the turn's end still reports `idle`.
        state_files.mark_working(data, session)
        client.touch_session(session, status=_WORKING)


def report_idle(client: AnyClient, data: str, session: str, *, caller: Caller | None = None) -> None:
    """Report that the turn is over. `client` or `caller` speaks for the session. Raises MaestroError."""
    if client.session(session, caller=caller)["status"] == _WORKING:
        client.touch_session(session, status=_IDLE, caller=caller)
    state_files.clear_working(data, session)
