"""Sessions over HTTP, as the documented programs keep them.

Rule: an answer has every documented field, null or empty where the session has no value. The role comes from `role`,
else from the documented `metadata.mode`, else from `metadata.role`, as the first of these programs send it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.documented_words import ROLES
from maestro_clients.protocol.new_ids import new_event_id, new_session_id
from maestro_gateway.events.session_shape import message_lines, shown
from maestro_gateway.http.credentials import is_unregistered, needs_token
from maestro_gateway.http.identity import caller_of, owner_of
from maestro_gateway.http.responses import answer, next_page
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR
from maestro_schemas.sessions import ACTIVE

from .messages import client_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from maestro_clients.async_client import AsyncClient
    from maestro_schemas.documents import SessionDoc
    from maestro_schemas.sessions import SessionNote

    from .bodies import NoteBody, PresenceQuery, SessionBody, SessionPatch, SessionsQuery, SiblingsQuery

# As many messages as a session keeps lines of its own.
_TIMELINE_MESSAGES_MAX = 200


async def start(request: Request, *, body: SessionBody) -> Response:
    """201 and the Session. The same id again changes it, or restarts it when it had ended."""
    if body.status is not None and body.status not in ACTIVE:
        raise MaestroError(
            "INVALID", f"a session can't start as {body.status!r}", f"Start it as one of {', '.join(sorted(ACTIVE))}."
        )
    if body.token is None and needs_token(request):
        raise MaestroError(
            "TOKEN_REQUIRED",
            "only a program of this gateway's user may start a session without a token, and only on this machine",
            "Give `token` in the body, a secret that can't be guessed.",
        )
    caller = caller_of(request)
    try:
        session = await _started(request, body, caller)
    except MaestroError as error:
        # It registers itself, and its id is in the header already.
        is_itself = body.id == caller.session and caller.token in (None, body.token)
        if not is_itself or not is_unregistered(request, error):
            raise
        session = await _started(request, body, Caller())
    return answer(shown(session), 201, {"Location": f"/api/sessions/{session['id']}"})


async def listed(request: Request, *, query: SessionsQuery) -> Response:
    """A page of the sessions that match every filter, the newest last: a bare array, as documented."""
    page = await client_of(request).session_page(
        project_id=query.project_id or None,
        parent_session_id=query.parent_session_id or None,
        status=[word.strip() for word in query.status.split(",")] if query.status else None,
        active=query.active,
        limit=query.limit,
        after=query.after or None,
        caller=caller_of(request),
    )
    return answer(
        [shown(session) for session in page["sessions"]], headers=next_page(request, "after", page.get("next"))
    )


async def one(request: Request) -> Response:
    """One session, by id or by a name that is unique among the active."""
    session = await client_of(request).session(request.path_params["session"], caller=caller_of(request))
    return answer(shown(session))


async def presence(request: Request, *, query: PresenceQuery) -> Response:
    """A page of what is known of the sessions now: the active ones, or the one that is named."""
    page = await client_of(request).presence_page(
        project_id=query.project_id or None,
        session=query.session or None,
        limit=query.limit,
        after=query.after or None,
        caller=caller_of(request),
    )
    return answer({"presence": page["presence"]}, headers=next_page(request, "after", page.get("next")))


async def siblings(request: Request, *, query: SiblingsQuery) -> Response:
    """A page of the other sessions of the same parent; of one without a parent, none."""
    client, caller = client_of(request), caller_of(request)
    session = await client.session(request.path_params["session"], caller=caller)
    parent = session.get("parentSessionId")
    # The broker judges the query also where there is no parent.
    page = await client.session_page(
        parent_session_id=parent or session["id"], limit=query.limit, after=query.after or None, caller=caller
    )
    if parent is None:
        return answer([])
    others = [shown(other) for other in page["sessions"] if other["id"] != session["id"]]
    return answer(others, headers=next_page(request, "after", page.get("next")))


async def change(request: Request, *, body: SessionPatch) -> Response:
    """Change a session; an ended status, or `completedAt`, ends it. An active status starts an ended one again."""
    client = client_of(request)
    caller, session = await _self_or_operator(request)
    ends = body.status is not None and body.status not in ACTIVE
    if session["status"] not in ACTIVE and body.status in ACTIVE and body.completed_at is None:
        session = await _revived(client, session, body.status, caller)
    if session["status"] in ACTIVE:
        changes: dict[str, Any] = {}
        if body.status is not None and not ends:
            changes["status"] = body.status
        if body.needs_input is not None:
            changes["needsInput"] = msgspec.to_builtins(body.needs_input)
        if body.task_ids is not None:
            changes["taskIds"] = body.task_ids
        for note in body.timeline or ():
            if not _is_known(note, session):
                session = await client.touch_session(session["id"], note=msgspec.to_builtins(note), caller=caller)
        if body.name is not None:
            session = await client.rename_session(body.name, session["id"], caller=caller)
        session = await client.touch_session(session["id"], caller=caller, **changes)
    elif not ends and body.completed_at is None:
        raise MaestroError(
            "SESSION_ENDED",
            f"session {session['id']} has ended ({session['status']})",
            "POST /api/sessions with the same id starts it again.",
        )
    if ends or body.completed_at is not None:
        status = body.status if body.status is not None and ends else "completed"
        session = await client.end_session(session["id"], status=status, caller=caller)
    return answer(shown(session))


async def note(request: Request, *, body: NoteBody) -> Response:
    """Add a line to the session's own timeline; 201 and the Session."""
    caller, session = await _self_or_operator(request)
    # With an id, so that a client can tell the line from another.
    line = {"id": new_event_id(), "timestamp": 0, **msgspec.to_builtins(body)}
    return answer(shown(await client_of(request).touch_session(session["id"], note=line, caller=caller)), 201)


async def timeline(request: Request) -> Response:
    """The session's own lines and those of its newest 200 messages, the oldest first. A caller that may not see its
    mail gets its own lines alone."""
    client = client_of(request)
    session = await client.session(request.path_params["session"], caller=caller_of(request))
    lines: list[Any] = [*session.get("timeline", [])]
    try:
        page = await client.messages(
            session=session["id"], limit=_TIMELINE_MESSAGES_MAX, caller=owner_of(request, session["id"])
        )
    except MaestroError as error:
        if error.retryable or error.kind == "unreachable":
            raise
    else:
        for said in page["messages"]:
            lines += message_lines(said["message"], said.get("receivers", ()), session["id"])
    return answer(sorted(lines, key=lambda line: line["timestamp"]))


async def _started(request: Request, body: SessionBody, caller: Caller) -> SessionDoc:
    return await client_of(request).start_session(
        new_session_id() if body.id is None else body.id,
        token=body.token,
        name=body.name,
        name_base=body.name_base,
        role=body.role or _role_of(body.metadata or {}),
        project_id=body.project_id or None,
        parent_session_id=body.parent_session_id or None,
        task_ids=body.task_ids or (),
        metadata=body.metadata,
        agent=body.agent,
        agent_session_id=body.agent_session_id,
        pid=body.pid,
        cwd=body.cwd,
        status=body.status or "idle",
        takeover=body.takeover,
        replace=body.replace,
        caller=caller,
    )


async def _revived(client: AsyncClient, session: SessionDoc, status: str, caller: Caller) -> SessionDoc:
    """An ended session, started again by itself or by the operator: with its token, where it has one."""
    if caller.session not in (session["id"], OPERATOR):
        raise MaestroError(
            "FORBIDDEN", f"{caller.session} may not start {session['id']} again", "Only the session itself may."
        )
    return await client.start_session(session["id"], token=caller.token, status=status, caller=caller)


def _role_of(metadata: dict[str, Any]) -> str | None:
    """None: what the session was before, or a worker."""
    named = metadata.get("mode", metadata.get("role"))
    return ROLES.get(named, "worker") if isinstance(named, str) else None


def _is_known(note: SessionNote, session: SessionDoc) -> bool:
    """Whether the session's timeline has this line, as the client knows it."""
    line: dict[str, Any] = msgspec.to_builtins(note)
    return any(line.items() <= dict(one).items() for one in session.get("timeline", []))


async def _self_or_operator(request: Request) -> tuple[Caller, SessionDoc]:
    """The caller that changes a session, and the session: the caller is the session of the headers, else the session
    itself. The broker refuses a caller that may not change it."""
    client = client_of(request)
    named = request.path_params["session"]
    session = await client.session(named, caller=caller_of(request))
    return owner_of(request, session["id"]), session
