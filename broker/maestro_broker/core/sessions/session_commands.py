"""Session commands: start, end, rename, find and touch sessions.

Rule: the client makes the id and the token, so that a start can be repeated. Starting an ended session again reopens
its mailbox and needs its token, or the operator's `takeover`. A name that another active session has is refused,
unless the recorded process of that session is gone: then that session gets another name and a message that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

from maestro_broker.core import authorization, presence, validation
from maestro_broker.core.model.records import SessionChanged
from maestro_schemas import limits
from maestro_schemas.errors import OPERATOR_MAY, MaestroError
from maestro_schemas.names import DEFAULT_PROJECT, OPERATOR, is_id, plain_name
from maestro_schemas.replies import SessionReply, SessionsReply
from maestro_schemas.sessions import ACTIVE, Session, SessionNote, StoredSession
from maestro_schemas.texts import json_bytes

from . import session_names, session_pages, session_rights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.limits import Limits
    from maestro_schemas.requests import (
        SessionEnd,
        SessionGet,
        SessionList,
        SessionRename,
        SessionStart,
        SessionTouch,
    )
    from maestro_schemas.vocabularies import EndStatus

_TIMELINE_MAX = 200
# A note's field names and its time.
_NOTE_ENVELOPE_BYTES = 48


class _Rival(NamedTuple):
    """Another active session that has the wanted id or name."""

    found: SessionState
    # The text that it has.
    text: str
    # Whether its recorded process runs; None if that is not known.
    alive: bool | None


def start(state: State, request: SessionStart, context: RequestContext) -> SessionReply:
    """Start a session, start an ended one again, or change an active one with the same id."""
    now_ms = context.now_ms
    asking = authorization.authenticate(state, request.who, now_ms)
    request = session_rights.checked_start(state, request)
    old = state.sessions.get(request.id)
    if old is None or old is state.sessions.operator:
        _check_new(request)
    else:
        session_rights.check_old(context, request, asking, old, process=session_rights.runs(context, old))
    if request.token is None and (old is None or old.token_hash is None) and state.limits.require_token:
        raise MaestroError(
            "TOKEN_REQUIRED", "this post office takes only sessions with a token", "Give `token` with the start."
        )
    # With the session's own token it is the repeat of a start that has replaced already.
    replaces_itself = request.replace and old is not None and not validation.is_token(old.token_hash, request.token)
    begins = old is None or not old.session.active or replaces_itself
    stored, parent = _started(state, request, context, asking, old, begins=begins)
    session = stored.session
    session_rights.check_rights(context, asking, old, session, parent)
    changes = begins or old is None or session != old.session or stored.token_hash != old.token_hash
    if not changes:
        return SessionReply(_current(state, request.id))
    # A name that was not asked for is no reason to refuse: the session gets another one.
    wanted = [request.id] if begins else []
    if session.name is not None and (begins or old is None or session.name != old.session.name):
        wanted.append(session.name)
    rivals = _rivals(state, context, request.id, wanted)
    kept = [one for one in rivals if request.name is None and one.text != request.id and one.alive is not False]
    rivals = [one for one in rivals if one not in kept or request.replace]
    ending = _to_end(context, asking, rivals, may_end=request.replace)
    _check_count(state, len(ending), begins=begins and (old is None or not old.session.active))
    session_rights.count_start(state, context, asking)
    if old is not None and old.session.active and replaces_itself:
        ending = [old, *ending]
    _give_way(state, rivals, ending, request.id, now_ms, base=request.name_base)
    before = session.name
    if before is not None and state.sessions.holders(before, request.id):
        stored = _with_name(stored, session_names.instead(state, before, request.id))
    change: Literal["started", "changed"] = "started" if begins else "changed"
    was = old.session.status if old is not None else None
    state.apply(SessionChanged(now_ms, change, stored, was), None)
    if stored.session.name != before:
        session_names.tell_of_change(state, request.id, before, stored.session.name, now_ms)
    return SessionReply(_current(state, request.id))


def end(state: State, request: SessionEnd, context: RequestContext) -> SessionReply:
    """End a session; ending an ended one changes nothing."""
    now_ms = context.now_ms
    asking = authorization.authenticate(state, request.who, now_ms)
    found = authorization.recorded_session(state, asking, request.id)
    session = found.session
    if not (session_rights.may_end(context, asking, found) or _may_clear(context, asking, found)):
        raise MaestroError(
            "FORBIDDEN",
            f"{asking.session.id if asking else OPERATOR} may not end session {session.id}",
            "A session is ended by itself, by its parent, or by an orchestrator of its project once its process is "
            f"gone. {OPERATOR_MAY}",
        )
    if session.active:
        _end(state, found, request.status, now_ms)
    return SessionReply(found.public())


def _may_clear(context: RequestContext, asking: SessionState | None, found: SessionState) -> bool:
    """An orchestrator of the project clears away what a killed process has left."""
    return session_rights.may_change_rights(context, asking, found) and session_rights.runs(context, found) is False


def rename(state: State, request: SessionRename, context: RequestContext) -> SessionReply:
    """Give an active session another name."""
    now_ms = context.now_ms
    asking = authorization.authenticate(state, request.who, now_ms)
    found = authorization.recorded_session(state, asking, request.id)
    session = found.session
    if not session_rights.may_end(context, asking, found):
        raise MaestroError(
            "FORBIDDEN",
            f"{asking.session.id if asking else OPERATOR} may not rename session {session.id}",
            f"A session is renamed by itself, or by its parent. {OPERATOR_MAY}",
        )
    name = validation.session_name(request.name)
    if not session.active:
        raise authorization.ended(session)
    if name == session.name:
        return SessionReply(found.public())
    rivals = _rivals(state, context, session.id, [name])
    ending = _to_end(context, asking, rivals, may_end=request.replace)
    session_rights.count_change(state, context, found)
    _give_way(state, rivals, ending, session.id, now_ms)
    _change(state, found, replace(session, name=name, last_activity=now_ms), now_ms)
    return SessionReply(found.public())


def get(state: State, request: SessionGet, context: RequestContext) -> SessionReply:
    """Return one session."""
    asking = authorization.authenticate(state, request.who, context.now_ms)
    name = OPERATOR if request.who.operator and request.id is None else request.id
    return SessionReply(presence.shown(context, authorization.named_session(state, asking, name)))


def list_sessions(state: State, request: SessionList, context: RequestContext) -> SessionsReply:
    """Return a page of the sessions that match the request, ordered by their start."""
    authorization.authenticate(state, request.who, context.now_ms)
    active = request.active
    if active is None and request.status is not None and ACTIVE.issuperset(request.status):
        active = True
    project = None if request.project_id is None else plain_name(request.project_id)
    listed: list[Session] = []

    def take(found: SessionState) -> int | None:
        session = found.session
        if (project is not None and session.project_id != project) or (
            request.parent_session_id is not None and session.parent_session_id != request.parent_session_id
        ):
            return None
        one = presence.shown(context, found)
        if request.status is not None and one.status not in request.status:
            return None
        listed.append(one)
        return found.reply_bytes

    following = session_pages.page(state, request.limit, request.after, take, active=active)
    return SessionsReply(listed, following)


def touch(state: State, request: SessionTouch, context: RequestContext) -> SessionReply:
    """Note that a session is alive. Changed fields are recorded; the sign of life alone is not."""
    now_ms = context.now_ms
    asking = authorization.authenticate(state, request.who, now_ms)
    found = authorization.recorded_session(state, asking, request.id)
    if asking is not None and asking is not found:
        raise MaestroError(
            "FORBIDDEN", f"{asking.session.id} may not change {found.session.id}", "Only the session itself may."
        )
    request = session_rights.checked_touch(state, request)
    if not found.session.active:
        raise authorization.ended(found.session)
    session = found.session
    pid, pid_start = _process(request, context, session)
    changed = replace(
        session,
        status=request.status or session.status,
        needs_input=session.needs_input if request.needs_input is None else request.needs_input,
        task_ids=session.task_ids if request.task_ids is None else tuple(request.task_ids),
        timeline=session.timeline
        if request.note is None
        else _with_note(session.timeline, _checked_note(request.note, now_ms), state.limits),
        agent=request.agent or session.agent,
        agent_session_id=request.agent_session_id or session.agent_session_id,
        pid=pid,
        pid_start=pid_start,
        cwd=request.cwd or session.cwd,
        wake=request.wake or session.wake,
        wake_by=session.wake_by if request.wake_by is None else request.wake_by or None,
    )
    # A setting that the operator changes is no sign of the session's life.
    at_ms = found.last_activity_ms if asking is None and request.wake is not None else now_ms
    if changed != session:
        session_rights.count_change(state, context, found)
        found.last_activity_ms = at_ms
        _change(state, found, replace(changed, last_activity=at_ms), now_ms)
    found.last_activity_ms = at_ms
    return SessionReply(found.public())


# --- a start ---------------------------------------------------------------------------------------------------


def _check_new(request: SessionStart) -> None:
    validation.check_new_session_id(request.id)
    if request.takeover:
        raise MaestroError(
            "SESSION_NOT_FOUND",
            f"there is no session {request.id!r} to take over",
            "Start it without `--takeover`; `maestro session list --all` shows who is here.",
        )


def _check_count(state: State, ending: int, *, begins: bool) -> None:
    """Raises TOO_MANY."""
    active = state.sessions.active_count - ending
    if begins and active >= state.limits.sessions_max:
        raise MaestroError(
            "TOO_MANY",
            f"{active:,} sessions are active, and the limit is {state.limits.sessions_max:,}",
            "End some: `maestro session list`, `maestro session end ID`.",
            limit=state.limits.sessions_max,
            actual=active + 1,
        )


def _started(
    state: State,
    request: SessionStart,
    context: RequestContext,
    asking: SessionState | None,
    old: SessionState | None,
    *,
    begins: bool,
) -> tuple[StoredSession, Session | None]:
    """The session as it shall be, and the parent that the request gives it."""
    now_ms = context.now_ms
    before = old.session if old is not None else None
    parent_id = request.parent_session_id
    if parent_id is None and asking is not None and before is None:
        # A session that another one of its shell replaces hands its place on.
        replaced = request.replace and request.name is not None and request.name == asking.session.name
        parent_id = asking.session.parent_session_id if replaced else asking.session.id
    parent = None
    if parent_id is not None:
        parent = authorization.recorded_session(state, asking, parent_id).session
    project = request.project_id or (before.project_id if before else None)
    project = project or (parent.project_id if parent else DEFAULT_PROJECT)
    token_hash = validation.token_hash(request.token) if request.token is not None else None
    token_hash = token_hash or (old.token_hash if old is not None else None)
    base = request.name_base
    if base is not None and request.name is None and (before is None or before.name is None):
        base = session_names.based(state, context, base, request.id)
    # A process belongs to one start.
    pid, pid_start = _process(request, context, None if begins else before)
    session = Session(
        id=request.id,
        role=request.role or (before.role if before else "worker"),
        project_id=project,
        status=request.status if before is None or begins else before.status,
        started_at=now_ms if before is None or begins else before.started_at,
        last_activity=now_ms if before is None or begins else before.last_activity,
        name=request.name or (before.name if before else None) or base,
        parent_session_id=parent.id if parent else (before.parent_session_id if before else None),
        task_ids=tuple(request.task_ids) or (before.task_ids if before else ()),
        needs_input=None if before is None or begins else before.needs_input,
        metadata=request.metadata or (before.metadata if before else {}),
        timeline=before.timeline if before else (),
        agent=request.agent or (before.agent if before else None),
        agent_session_id=request.agent_session_id or (before.agent_session_id if before else None),
        pid=pid,
        pid_start=pid_start,
        cwd=request.cwd or (before.cwd if before else None),
        wake=request.wake or (before.wake if before else "idle"),
        wake_by=request.wake_by or (before.wake_by if before and request.wake_by is None else None),
        has_token=token_hash is not None,
    )
    # A session keeps the key that first started it: a key that may speak for any session takes over none.
    key, salt = (old.key, old.salt) if old is not None else (context.key, state.sessions.free_salt(request.id))
    return StoredSession(session=session, token_hash=token_hash, key=key, salt=salt), parent


def _process(
    request: SessionStart | SessionTouch, context: RequestContext, before: Session | None
) -> tuple[int | None, str | None]:
    """The pid and start of the session's process. A pid of another machine says nothing here."""
    if request.pid is not None and context.key is None:
        return request.pid, request.pid_start
    return (before.pid, before.pid_start) if before is not None else (None, None)


# --- names -----------------------------------------------------------------------------------------------------


def _rivals(state: State, context: RequestContext, session_id: str, texts: Iterable[str]) -> list[_Rival]:
    rivals: dict[str, _Rival] = {}
    for text in texts:
        for found in state.sessions.holders(text, session_id):
            if found.session.id not in rivals:
                alive = session_rights.runs(context, found)
                rivals[found.session.id] = _Rival(found, text, alive)
    return list(rivals.values())


def _to_end(
    context: RequestContext, asking: SessionState | None, rivals: list[_Rival], *, may_end: bool
) -> list[SessionState]:
    """The rivals that must end. Raises NAME_TAKEN, or FORBIDDEN where the caller may not end one."""
    for rival in rivals:
        if rival.alive is False:
            continue
        if not may_end:
            raise session_rights.taken(context, asking, rival.text, rival.found, process=rival.alive)
        if not session_rights.may_end(context, asking, rival.found):
            raise session_rights.may_not_replace(asking, rival.found)
    # A session whose process is gone keeps its id, but as another's name that would be two sessions' address.
    return [rival.found for rival in rivals if rival.alive is not False or rival.text == rival.found.session.id]


def _give_way(
    state: State,
    rivals: list[_Rival],
    ending: list[SessionState],
    session_id: str,
    now_ms: int,
    *,
    base: str | None = None,
) -> None:
    for found in ending:
        _end(state, found, "stopped", now_ms)
    for rival in rivals:
        session = rival.found.session
        if session.active and session.name is not None:
            name = session_names.instead(state, session.name, session_id, base)
            _change(state, rival.found, replace(session, name=name), now_ms)
            session_names.tell_of_change(state, session.id, session.name, name, now_ms)


def _with_name(stored: StoredSession, name: str) -> StoredSession:
    return replace(stored, session=replace(stored.session, name=name))


# --- records ---------------------------------------------------------------------------------------------------


def _end(state: State, found: SessionState, status: EndStatus, now_ms: int) -> None:
    ended = replace(found.session, status=status, completed_at=now_ms, last_activity=now_ms)
    state.apply(SessionChanged(now_ms, "ended", found.stored(ended), found.session.status), None)


def _change(state: State, found: SessionState, session: Session, now_ms: int) -> None:
    before = found.session
    needs = session.needs_input
    state.apply(
        SessionChanged(
            now_ms,
            "changed",
            found.stored(session),
            before.status,
            is_noted=session.timeline != before.timeline,
            is_waiting=needs is not None and needs.active and needs != before.needs_input,
        ),
        None,
    )


def _current(state: State, session_id: str) -> Session:
    return state.sessions.by_id(session_id).public()


def _with_note(timeline: tuple[SessionNote, ...], note: SessionNote, settings: Limits) -> tuple[SessionNote, ...]:
    """The timeline with one more note, without the oldest that have no space."""
    if note.id is not None and any(one.id == note.id for one in timeline):
        return timeline
    kept = [note]
    size = _note_bytes(note)
    for one in reversed(timeline):
        size += _note_bytes(one)
        if len(kept) == _TIMELINE_MAX or size > settings.session_timeline_bytes_max:
            break
        kept.append(one)
    return tuple(reversed(kept))


def _note_bytes(note: SessionNote) -> int:
    metadata = 0 if note.metadata is None else len(json_bytes.encode(note.metadata))
    return len(note.message.encode()) + len(note.type.encode()) + len(note.id or "") + metadata + _NOTE_ENVELOPE_BYTES


def _checked_note(note: SessionNote, now_ms: int) -> SessionNote:
    validation.check_label("note.type", note.type, limits.NOTE_TYPE_CHARS_MAX)
    if note.id is not None and not is_id(note.id):
        raise validation.invalid_id("note.id", note.id)
    if note.metadata is not None:
        validation.check_json("note.metadata", note.metadata, limits.NOTE_METADATA_BYTES_MAX)
    return replace(
        note,
        message=validation.check_remark("note.message", note.message, limits.NOTE_CHARS_MAX),
        timestamp=note.timestamp or now_ms,
    )
