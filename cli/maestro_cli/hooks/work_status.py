"""Hook status: whether an agent is at work, as far as a hook has seen, for those who write to it.

Rule: a session is `working` from the first hook of a turn that runs Python until the turn's end, and a small file for
each such session says so, by which the script knows that a turn's end is worth a Python. What somebody else made of
the status is left alone: only `idle` becomes `working`, and only `working` becomes `idle`.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from .session_links import top

if TYPE_CHECKING:
    from maestro_clients.client import Client

_IDLE = "idle"
_WORKING = "working"


def is_working(data: str, session: str) -> bool:
    """Whether a hook has said so in this turn."""
    return os.path.exists(_path(data, session))


def working(client: Client, data: str, session: str) -> None:
    """Say that a turn is on, once a turn. `client` speaks for the session. Raises MaestroError and OSError."""
    path = _path(data, session)
    if os.path.exists(path):
        return
    if client.session(session)["status"] == _IDLE:
        # Before the touch: what is said must be taken back, also where this process ends in between.
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "w", encoding="ascii"):
            pass
        client.touch_session(session, status=_WORKING)


def idle(client: Client, data: str, session: str) -> None:
    """Say that a turn is over. `client` speaks for the session. Raises MaestroError."""
    if client.session(session)["status"] == _WORKING:
        client.touch_session(session, status=_IDLE)
    forget(data, session)


def forget(data: str, session: str) -> None:
    """Let go of what was kept."""
    with contextlib.suppress(OSError):
        os.unlink(_path(data, session))


def _path(data: str, session: str) -> str:
    return os.path.join(top(data), "working", session)
