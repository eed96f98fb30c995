"""Key authorisation: what a peer on another machine may request.

Rule: over TCP a peer is never the operator without an operator's key, which allows everything that a person on this
machine may do. Any other key allows the commands that the command table opens to keys, for the sessions that the key
speaks for; a session's own token is required as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from maestro_schemas.commands import BY_REQUEST
from maestro_schemas.errors import START_A_SESSION, MaestroError
from maestro_schemas.events import TOPIC_SEPARATOR
from maestro_schemas.names import OPERATOR
from maestro_schemas.requests import Request, SessionStart

if TYPE_CHECKING:
    from maestro_schemas.keys import Key

    from .model.session_registry import SessionState
    from .model.state import State

# The topic by which AsyncNotices learns that its subscriptions are in force; no session id begins with it.
_PROBE = "~"


def check(state: State, key: Key, request: Request) -> Request:
    """The request, with a new session put into the key's project.

    Raises MaestroError FORBIDDEN, ROLE_FORBIDDEN or NO_SESSION.
    """
    if key.operator:
        return request
    remote = BY_REQUEST[type(request)].remote
    if remote == "operator":
        raise MaestroError(
            "FORBIDDEN",
            f"the key {key.name!r} may not call a command that is the operator's",
            "Do it on the broker's machine, or with a key made with --operator.",
        )
    who = request.who.session
    if request.who.operator:
        raise MaestroError(
            "FORBIDDEN",
            f"the key {key.name!r} has not the rights of the operator",
            "Do it on the broker's machine, or with a key made with --operator.",
        )
    if who is not None:
        found = state.sessions.get(who)
        if found is not None and not speaks_for(key, found):
            raise _foreign(key, who)
    if isinstance(request, SessionStart):
        return _start(state, key, request)
    if who is None and remote == "session":
        raise MaestroError(
            "NO_SESSION",
            f"the key {key.name!r} is no operator's, and no session was named",
            START_A_SESSION,
        )
    return request


def speaks_for(key: Key, found: SessionState) -> bool:
    """Whether this key may speak for that session."""
    session = found.session
    if session.id == OPERATOR:
        return key.operator
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
    if request.parent_session_id is not None and request.who.session is None:
        # A parent may end its children, and writes to all of them: a key gives no child to a foreign session.
        parent = state.sessions.resolve(request.parent_session_id, None, "SESSION_NOT_FOUND")
        if not speaks_for(key, parent):
            raise _foreign(key, parent.session.id)
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
