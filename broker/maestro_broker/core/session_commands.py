"""Session commands: start, end, find and touch sessions.

Rule: the client makes the id and the token, so that a start can be repeated. Starting an ended session again reopens
its mailbox and needs its token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from maestro_schemas import limits
from maestro_schemas.errors import OPERATOR_MAY, MaestroError
from maestro_schemas.names import DEFAULT_PROJECT, OPERATOR
from maestro_schemas.replies import SessionReply, SessionsReply
from maestro_schemas.requests import SessionStart
from maestro_schemas.sessions import Session, SessionNote, StoredSession
from maestro_schemas.texts.visible_text import one_line

from . import authorization, presence, validation
from .model.records import SessionChanged

if TYPE_CHECKING:
    from maestro_schemas.requests import SessionEnd, SessionGet, SessionList, SessionTouch
    from maestro_schemas.sessions import NeedsInput

    from .context import RequestContext
    from .model.session_registry import SessionState
    from .model.state import State

_TIMELINE_MAX = 200


def start(state: State, request: SessionStart, context: RequestContext) -> SessionReply:
    """Start a session, start an ended one again, or change an active one with the same id."""
    now_ms = context.now_ms
    asking = authorization.authenticate(state, request.who, now_ms)
    validation.check_new_session_id(request.id)
    _check_fields(state, request)
    if asking is not None and asking.session.role == "worker" and request.role != "worker":
        raise MaestroError(
            "ROLE_FORBIDDEN",
            f"worker {asking.session.id} may not start an orchestrator",
            "Start a worker (`--role worker`), or ask the orchestrator.",
        )
    old = state.sessions.get(request.id)
    if old is not None:
        validation.check_token(request.id, old.token_hash, request.token)
        if old.token_hash is None and asking is not None and asking is not old:
            raise MaestroError(
                "FORBIDDEN",
                f"session {request.id} exists, and {asking.session.id} is not it",
                "Start a session under another id.",
            )
    if request.token is None and (old is None or old.token_hash is None) and state.limits.require_token:
        raise MaestroError(
            "TOKEN_REQUIRED", "this post office takes only sessions with a token", "Give `token` with the start."
        )
    if (old is None or not old.session.active) and state.sessions.active_count >= state.limits.sessions_max:
        raise MaestroError(
            "TOO_MANY",
            f"{state.sessions.active_count:,} sessions are active, and the limit is {state.limits.sessions_max:,}",
            "End some: `maestro session list`, `maestro session end ID`.",
            limit=state.limits.sessions_max,
            actual=state.sessions.active_count + 1,
        )
    stored = _started(state, request, context, asking, old)
    if old is None or stored.session != old.session or stored.token_hash != old.token_hash:
        change: Literal["started", "changed"] = "changed" if old is not None and old.session.active else "started"
        state.apply(SessionChanged(now_ms, change, stored), None)
    return SessionReply(state.sessions.resolve(request.id, None, "SESSION_NOT_FOUND").public())


def end(state: State, request: SessionEnd, context: RequestContext) -> SessionReply:
    """End a session; ending an ended one changes nothing."""
    now_ms = context.now_ms
    asking = authorization.authenticate(state, request.who, now_ms)
    found = authorization.named_session(state, asking, request.id)
    session = found.session
    may = asking is None or asking is found or session.parent_session_id == asking.session.id
    if not may:
        raise MaestroError(
            "FORBIDDEN",
            f"{asking.session.id if asking else OPERATOR} may not end session {session.id}",
            f"A session is ended by itself, or by its parent. {OPERATOR_MAY}",
        )
    if session.active:
        ended = replace(session, status=request.status, completed_at=now_ms, last_activity=now_ms)
        state.apply(SessionChanged(now_ms, "ended", found.stored(ended)), None)
    return SessionReply(found.public())


def get(state: State, request: SessionGet, context: RequestContext) -> SessionReply:
    """Return one session."""
    asking = authorization.authenticate(state, request.who, context.now_ms)
    return SessionReply(presence.shown(context, authorization.named_session(state, asking, request.id)))


def list_sessions(state: State, request: SessionList, context: RequestContext) -> SessionsReply:
    """Return the sessions that match the request, ordered by their start."""
    authorization.authenticate(state, request.who, context.now_ms)
    matching = [
        found
        for found in state.sessions
        if (request.project_id is None or found.session.project_id == request.project_id)
        and (request.parent_session_id is None or found.session.parent_session_id == request.parent_session_id)
        and (request.active is None or found.session.active == request.active)
    ]
    matching.sort(key=lambda found: (found.session.started_at, found.session.id))
    listed = [presence.shown(context, found) for found in matching]
    return SessionsReply([one for one in listed if request.status is None or one.status in request.status])


def touch(state: State, request: SessionTouch, context: RequestContext) -> SessionReply:
    """Note that a session is alive. Changed fields are recorded; the sign of life alone is not."""
    now_ms = context.now_ms
    asking = authorization.authenticate(state, request.who, now_ms)
    found = authorization.named_session(state, asking, request.id)
    if asking is not None and asking is not found:
        raise MaestroError(
            "FORBIDDEN", f"{asking.session.id} may not change {found.session.id}", "Only the session itself may."
        )
    _check_fields(state, request)
    if not found.session.active:
        raise authorization.ended(found.session)
    session = found.session
    pid, pid_start = _process(request, context, session)
    changed = replace(
        session,
        status=request.status or session.status,
        needs_input=session.needs_input if request.needs_input is None else _checked_question(request.needs_input),
        task_ids=session.task_ids if request.task_ids is None else tuple(request.task_ids),
        timeline=session.timeline
        if request.note is None
        else (*session.timeline, _checked_note(request.note, now_ms))[-_TIMELINE_MAX:],
        agent=request.agent or session.agent,
        agent_session_id=request.agent_session_id or session.agent_session_id,
        pid=pid,
        pid_start=pid_start,
        cwd=_shown_directory(request.cwd) or session.cwd,
    )
    found.last_activity_ms = now_ms
    if changed != session:
        active = replace(changed, last_activity=now_ms)
        state.apply(SessionChanged(now_ms, "changed", found.stored(active)), None)
    return SessionReply(found.public())


def _started(
    state: State,
    request: SessionStart,
    context: RequestContext,
    asking: SessionState | None,
    old: SessionState | None,
) -> StoredSession:
    now_ms = context.now_ms
    parent_id = request.parent_session_id
    if parent_id is None and asking is not None and asking is not old:
        parent_id = asking.session.id
    parent = None
    if parent_id is not None:
        parent = state.sessions.resolve(parent_id, authorization.session_of(asking), "SESSION_NOT_FOUND").session
    before = old.session if old is not None else None
    restarted = before is None or not before.active
    project = request.project_id or (before.project_id if before else None)
    project = project or (parent.project_id if parent else DEFAULT_PROJECT)
    # The process of a session that has ended is not that of the one that starts.
    pid, pid_start = _process(request, context, None if restarted else before)
    token_hash = validation.token_hash(request.token) if request.token is not None else None
    token_hash = token_hash or (old.token_hash if old is not None else None)
    session = Session(
        id=request.id,
        role=request.role,
        project_id=project,
        status=request.status if before is None or restarted else before.status,
        started_at=now_ms if before is None or restarted else before.started_at,
        last_activity=now_ms if before is None or restarted else before.last_activity,
        name=request.name or (before.name if before else None),
        parent_session_id=parent.id if parent else (before.parent_session_id if before else None),
        task_ids=tuple(request.task_ids) or (before.task_ids if before else ()),
        metadata=request.metadata or (before.metadata if before else {}),
        timeline=before.timeline if before else (),
        agent=request.agent or (before.agent if before else None),
        agent_session_id=request.agent_session_id or (before.agent_session_id if before else None),
        pid=pid,
        pid_start=pid_start,
        cwd=_shown_directory(request.cwd) or (before.cwd if before else None),
        has_token=token_hash is not None,
    )
    # A session keeps the key that first started it: a key that may speak for any session takes over none.
    key, salt = (old.key, old.salt) if old is not None else (context.key, state.sessions.free_salt(request.id))
    return StoredSession(session=session, token_hash=token_hash, key=key, salt=salt)


def _process(
    request: SessionStart | SessionTouch, context: RequestContext, before: Session | None
) -> tuple[int | None, str | None]:
    """The pid and start of the session's process. A pid of another machine says nothing here."""
    if request.pid is not None and context.key is None:
        return request.pid, request.pid_start
    return (before.pid, before.pid_start) if before is not None else (None, None)


def _check_fields(state: State, request: SessionStart | SessionTouch) -> None:
    if isinstance(request, SessionStart):
        if request.name is not None:
            validation.check_session_name(request.name)
        if request.project_id is not None:
            validation.check_label("projectId", request.project_id, limits.PROJECT_CHARS_MAX)
        if request.token is not None:
            validation.check_label("the token", request.token, limits.TOKEN_CHARS_MAX)
        if request.metadata:
            validation.check_json("metadata", request.metadata, state.limits.session_metadata_bytes_max)
    for name, text, most in (
        ("agent", request.agent, limits.AGENT_CHARS_MAX),
        ("agentSessionId", request.agent_session_id, limits.AGENT_SESSION_CHARS_MAX),
        ("cwd", _shown_directory(request.cwd), limits.CWD_CHARS_MAX),
        ("pidStart", request.pid_start, limits.PID_START_CHARS_MAX),
        *(("a task id", task, limits.TASK_ID_CHARS_MAX) for task in request.task_ids or ()),
    ):
        if text is not None:
            validation.check_label(name, text, most)
    validation.check_many(len(request.task_ids or ()), "task ids", state.limits.batch_messages_max)


def _checked_note(note: SessionNote, now_ms: int) -> SessionNote:
    validation.check_label("note.type", note.type, limits.NOTE_TYPE_CHARS_MAX)
    return replace(
        note,
        message=validation.check_remark("note.message", note.message, limits.NOTE_CHARS_MAX),
        timestamp=note.timestamp or now_ms,
    )


def _checked_question(question: NeedsInput) -> NeedsInput:
    if not question.message:
        return question
    most = limits.NEEDS_INPUT_CHARS_MAX
    return replace(question, message=validation.check_remark("needsInput.message", question.message, most))


def _shown_directory(cwd: str | None) -> str | None:
    """The directory is only information: what can't be shown of its path refuses no session."""
    return None if cwd is None else one_line(cwd)
