"""Key rights: what a peer on another machine may ask.

Rule: over TCP nobody is the operator by being there. The key says for which sessions its peer may speak; a session's
own token is asked for all the same. A key that was made for the operator may what a person on this machine may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.events import TOPIC_SEPARATOR
from maestro_schemas.requests import Hello, Request, SessionGet, SessionList, SessionStart

if TYPE_CHECKING:
    from maestro_schemas.keys import Key

    from .model.session_registry import SessionState
    from .model.state import State

_OPERATORS_COMMANDS = frozenset({"Stats", "OutboxDrain", "Shutdown", "Prune"})
# What AsyncNotices subscribes to in order to see its own subscriptions in force; no session's id begins so.
_PROBE = "~"


def check(state: State, key: Key, request: Request) -> Request:
    """The request, a new session put into the key's project. Raises MaestroError FORBIDDEN or ROLE_FORBIDDEN."""
    if key.operator:
        return request
    command = type(request).__name__
    if command in _OPERATORS_COMMANDS:
        raise MaestroError(
            "FORBIDDEN",
            f"the key {key.name!r} may not ask for what is the operator's",
            "Do it on the broker's machine, or with a key made with --operator.",
        )
    who = request.who.session
    if who is not None:
        found = state.sessions.get(who)
        if found is not None and not speaks_for(key, found):
            raise _foreign(key, who)
    if isinstance(request, SessionStart):
        return _start(state, key, request)
    if who is None and not isinstance(request, Hello | SessionGet | SessionList):
        raise MaestroError(
            "NO_SESSION",
            f"the key {key.name!r} makes nobody the operator, and no session was named",
            'Start one in this shell: eval "$(maestro session start --export)".',
        )
    return request


def speaks_for(key: Key, found: SessionState) -> bool:
    """Whether this key may speak for that session."""
    session = found.session
    return (
        key.operator
        or key.any_session
        or session.id in key.sessions
        or (key.project is not None and session.project_id == key.project)
        or (key.own and found.key == key.name)
    )


def may_hear(state: State, key: Key, topic: str) -> bool:
    """Whether this key may have the notices of a topic."""
    if key.operator or topic.startswith(_PROBE):
        return True
    session, separator, _ = topic.partition(TOPIC_SEPARATOR)
    found = state.sessions.get(session)
    return bool(separator) and found is not None and speaks_for(key, found)


def _start(state: State, key: Key, request: SessionStart) -> SessionStart:
    if request.role == "orchestrator" and not key.orchestrator:
        raise MaestroError(
            "ROLE_FORBIDDEN",
            f"the key {key.name!r} may not start an orchestrator",
            "Start a worker (`--role worker`), or make the key with --orchestrator.",
        )
    old = state.sessions.get(request.id)
    if old is not None:
        if not speaks_for(key, old):
            raise _foreign(key, request.id)
        moved = request.project_id not in (None, old.session.project_id)
    else:
        moved = True
    if key.any_session or request.id in key.sessions:
        return request
    if key.project is not None and moved:
        if request.project_id not in (None, key.project):
            raise MaestroError(
                "FORBIDDEN",
                f"the key {key.name!r} is for project {key.project!r}, not {request.project_id!r}",
                "Leave --project off.",
            )
        return replace(request, project_id=key.project)
    if old is None and not key.own:
        raise _foreign(key, request.id)
    return request


def _foreign(key: Key, session: str) -> MaestroError:
    return MaestroError(
        "FORBIDDEN",
        f"the key {key.name!r} may not speak for session {session}; it speaks for {key.scope()}",
        "Use the session's own key, or one made with --session, --project or --any (`maestro keys new --help`).",
    )
