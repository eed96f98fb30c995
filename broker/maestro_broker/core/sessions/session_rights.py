"""Session rights: who may start, change, take over and end sessions, and which fields a session may have.

Rule: nothing here changes the state. A role, a project and a parent decide what a session may read and whom it may
write to, so no session gives them to itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from maestro_broker.core import authorization, presence, validation
from maestro_schemas import limits
from maestro_schemas.errors import OPERATOR_MAY, MaestroError
from maestro_schemas.requests import SessionStart, SessionTouch
from maestro_schemas.texts.visible_text import one_line
from maestro_schemas.texts.waking import WAKERS

if TYPE_CHECKING:
    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.sessions import Session


def runs(context: RequestContext, found: SessionState) -> bool | None:
    """Whether the process that a session belongs to runs; None where that is not known."""
    if presence.is_gone(context, found):
        return False
    return True if context.signs(found, context.now_ms).alive else None


def may_end(context: RequestContext, asking: SessionState | None, found: SessionState) -> bool:
    """Whether the caller may end or rename this session: it is itself, its parent, or the operator."""
    if asking is None:
        return context.is_operator(asking)
    return asking is found or found.session.parent_session_id == asking.session.id


def may_change_rights(context: RequestContext, asking: SessionState | None, found: SessionState) -> bool:
    """Whether the caller may change a session's role or parent: the operator, or an orchestrator of its project."""
    if asking is None:
        return context.is_operator(asking)
    own = asking.session
    return own.active and own.role == "orchestrator" and own.project_id == found.session.project_id


def check_old(
    context: RequestContext,
    request: SessionStart,
    asking: SessionState | None,
    old: SessionState,
    *,
    process: bool | None,
) -> None:
    """Whether the caller may start this known session again, or change it. `process`: whether its process runs.

    Raises NAME_TAKEN for an active session without its token, TOKEN_REQUIRED or TOKEN_MISMATCH for an ended one,
    FORBIDDEN.
    """
    session = old.session
    swaps = request.takeover or (request.replace and (session.active or context.is_operator(asking)))
    if request.takeover and not context.is_operator(asking):
        raise MaestroError(
            "FORBIDDEN",
            f"only the operator may take over session {session.id}",
            "Run the command in a shell without MAESTRO_SESSION_ID.",
        )
    if validation.is_token(old.token_hash, request.token):
        return
    if old.token_hash is None and not swaps and _may_use(context, asking, old):
        # A token locks out the programs that use the session without one now.
        is_harmless = request.token is None or asking is old or not session.active
        if is_harmless:
            return
    if swaps:
        if not request.takeover and not may_end(context, asking, old):
            raise may_not_replace(asking, old)
        if request.token is None:
            raise MaestroError(
                "TOKEN_REQUIRED", f"session {session.id} must have a new token then", "Give `token` with the start."
            )
        return
    if session.active:
        raise taken(context, asking, session.id, old, process=process)
    if old.token_hash is None:
        raise MaestroError(
            "FORBIDDEN",
            f"session {session.id} exists, and {asking.session.id if asking else 'this key'} is not it",
            "Start a session under another id.",
        )
    validation.check_token(session.id, old.token_hash, request.token)


def check_rights(
    context: RequestContext,
    asking: SessionState | None,
    old: SessionState | None,
    session: Session,
    parent: Session | None,
) -> None:
    """Whether the caller may give a session the role, the project and the parent of `session`.

    Raises ROLE_FORBIDDEN or FORBIDDEN.
    """
    if context.is_operator(asking):
        return
    if old is not None:
        _check_changes(context, asking, old, session, parent)
        return
    if asking is None:
        return  # a key, whose rights `key_authorization` has checked
    own = asking.session
    if not own.active:
        raise authorization.ended(own)
    if own.role == "worker":
        if session.role != "worker":
            raise MaestroError(
                "ROLE_FORBIDDEN",
                f"worker {own.id} may not start an orchestrator",
                "Start a worker (`--role worker`), or ask the orchestrator.",
            )
        if session.project_id != own.project_id:
            raise MaestroError(
                "FORBIDDEN",
                f"worker {own.id} (project {own.project_id}) may not start a session in project {session.project_id}",
                "Leave --project off, or ask an orchestrator or the operator.",
            )
        if session.parent_session_id not in (own.id, own.parent_session_id):
            raise _foreign_parent(own, session)
        return
    if session.role != "worker" and session.project_id != own.project_id:
        raise MaestroError(
            "ROLE_FORBIDDEN",
            f"orchestrator {own.id} (project {own.project_id}) may not start an orchestrator in project "
            f"{session.project_id}",
            "An orchestrator reads its project's mail. Ask the operator.",
        )
    if parent is not None and parent.id != own.id and parent.project_id != own.project_id:
        raise _foreign_parent(own, session)


def _check_changes(
    context: RequestContext,
    asking: SessionState | None,
    old: SessionState,
    session: Session,
    parent: Session | None,
) -> None:
    before = old.session
    changed = [
        name
        for name, one, other in (
            ("role", before.role, session.role),
            ("project", before.project_id, session.project_id),
            ("parent", before.parent_session_id, session.parent_session_id),
        )
        if one != other
    ]
    if not changed:
        return
    of_both = before.project_id == session.project_id and (parent is None or parent.project_id == before.project_id)
    if of_both and may_change_rights(context, asking, old):
        return
    who = asking.session.id if asking is not None else "this key"
    raise MaestroError(
        "ROLE_FORBIDDEN" if changed == ["role"] else "FORBIDDEN",
        f"{who} may not change the {' and the '.join(changed)} of session {before.id}",
        "The operator may, or an orchestrator of the project that the session is in and stays in.",
    )


def _may_use(context: RequestContext, asking: SessionState | None, old: SessionState) -> bool:
    """Whether the caller may speak for a session without a token as if it were that session."""
    return asking is None or asking is old or may_change_rights(context, asking, old)


def _foreign_parent(own: Session, session: Session) -> MaestroError:
    return MaestroError(
        "FORBIDDEN",
        f"{own.role} {own.id} may not start a child of session {session.parent_session_id}",
        "A parent may end its children, and writes to all of them. Leave --parent off, or ask the operator.",
    )


# --- errors about names --------------------------------------------------------------------------------------


def taken(
    context: RequestContext,
    asking: SessionState | None,
    text: str,
    holder: SessionState,
    *,
    process: bool | None,
) -> MaestroError:
    """The error for an id or a name in use: the session that has it, since when, and the commands that help."""
    session = holder.session
    by_id = session.id == text
    named = f" named {session.name!r}" if session.name is not None and session.name != text else ""
    held = _age(context.now_ms - session.started_at)
    pid = f"its process {session.pid}" if session.pid is not None else "its process"
    state = {True: f"{pid} runs", False: f"{pid} has ended", None: "whether its process runs is not known"}
    what = f"the id {text!r}" if by_id else f"the name {text!r}"
    start = f"maestro session start --{'id' if by_id else 'name'} {text}"
    continued = f"maestro session start --id {session.id} --takeover"
    if context.is_operator(asking):
        hint = f"To end that session and take its place: `{start} --replace`. To continue it here: `{continued}`."
    else:
        hint = f"Choose another. The operator, in a shell without a session, can end it (`{start} --replace`), "
        hint += f"or continue it (`{continued}`)."
    return MaestroError(
        "NAME_TAKEN",
        f"{what} is in use: {session.role} {session.id}{named}, project {session.project_id}, has had it for {held}, "
        f"and {state[process]}",
        hint,
        details={
            "id": session.id,
            **({"name": session.name} if session.name is not None else {}),
            "since": session.started_at,
            "process": {True: "alive", False: "gone", None: "unknown"}[process],
        },
    )


def _age(age_ms: int) -> str:
    for unit, length_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if age_ms >= 2 * length_ms:
            return f"{age_ms // length_ms} {unit}"
    return f"{max(0, age_ms) // 1_000} s"


def may_not_replace(asking: SessionState | None, found: SessionState) -> MaestroError:
    """The error for a `replace` by a caller that may not end the other session."""
    return MaestroError(
        "FORBIDDEN",
        f"{asking.session.id if asking is not None else 'this key'} may not end session {found.session.id} to take "
        "its place",
        f"A session is ended by itself, or by its parent. {OPERATOR_MAY}",
    )


# --- fields ----------------------------------------------------------------------------------------------------


def checked_start(state: State, request: SessionStart) -> SessionStart:
    """The request with its texts in their stored form. Raises INVALID, DATA_TOO_LARGE or TOO_MANY."""
    if request.takeover and request.replace:
        raise MaestroError(
            "INVALID",
            "takeover and replace exclude each other",
            "`--takeover` continues a session under a new token, `--replace` ends it and starts another.",
        )
    if request.name is not None and request.name_base is not None:
        raise MaestroError("INVALID", "name and nameBase exclude each other", "Give one of them.")
    if request.token is not None:
        validation.check_label("the token", request.token, limits.TOKEN_CHARS_MAX)
    if request.metadata:
        validation.check_json("metadata", request.metadata, state.limits.session_metadata_bytes_max)
    name = None if request.name is None else validation.session_name(request.name)
    project = None if request.project_id is None else validation.project_id(request.project_id)
    checked = replace(request, name=name, project_id=project, cwd=_shown_directory(request.cwd))
    if request.name_base is not None:
        checked = replace(checked, name_base=validation.session_name(request.name_base, is_base=True))
    _check_fields(state, checked)
    return checked


def checked_touch(state: State, request: SessionTouch) -> SessionTouch:
    """The request with its texts cleaned. Raises INVALID, EMPTY_MESSAGE, TEXT_TOO_LONG or TOO_MANY."""
    question = request.needs_input
    if question is not None and question.message:
        most = limits.NEEDS_INPUT_CHARS_MAX
        message = validation.check_remark("needsInput.message", question.message, most)
        question = replace(question, message=message)
    checked = replace(request, needs_input=question, cwd=_shown_directory(request.cwd))
    _check_fields(state, checked)
    return checked


def _shown_directory(cwd: str | None) -> str | None:
    """The directory is only information: what can't be shown of its path refuses no session."""
    return None if cwd is None else one_line(cwd)


def _check_fields(state: State, request: SessionStart | SessionTouch) -> None:
    for name, text, most in (
        ("agent", request.agent, limits.AGENT_CHARS_MAX),
        ("agentSessionId", request.agent_session_id, limits.AGENT_SESSION_CHARS_MAX),
        ("pidStart", request.pid_start, limits.PID_START_CHARS_MAX),
        ("cwd", request.cwd, limits.CWD_CHARS_MAX),
        *(("a task id", task, limits.TASK_ID_CHARS_MAX) for task in request.task_ids or ()),
    ):
        if text is not None:
            validation.check_label(name, text, most)
    if request.pid is not None and not 0 < request.pid < 1 << 31:
        raise MaestroError("INVALID", f"pid can't be {request.pid}", "Give a process id, or leave it out.")
    if request.wake_by and request.wake_by not in WAKERS:
        raise MaestroError(
            "INVALID", f"wakeBy can't be {request.wake_by[:60]!r}", f"It is empty, or one of {', '.join(WAKERS)}."
        )
    validation.check_many(len(request.task_ids or ()), "task ids", state.limits.batch_messages_max)


# --- rates -----------------------------------------------------------------------------------------------------


def count_start(state: State, context: RequestContext, asking: SessionState | None) -> None:
    """Count a start that will be recorded. Raises RATE_LIMITED. The operator has no limit."""
    if context.is_operator(asking):
        return
    if asking is not None:
        window = asking.starts = asking.starts or validation.RateWindow()
    else:
        window = state.sessions.starts_by_key.setdefault(context.key or "", validation.RateWindow())
    who = asking.session.id if asking is not None else "this key"
    _count(window, context.now_ms, state.limits.start_limit, f"{who} has started {{}} sessions", "start_limit")


def count_change(state: State, context: RequestContext, found: SessionState) -> None:
    """Count a change of a session that will be recorded. Raises RATE_LIMITED."""
    window = found.changes = found.changes or validation.RateWindow()
    what = f"session {found.session.id} has changed {{}} times"
    _count(window, context.now_ms, state.limits.change_limit, what, "change_limit")


def _count(window: validation.RateWindow, now_ms: int, limit: int, what: str, setting: str) -> None:
    try:
        window.check(now_ms, limit)
    except MaestroError as error:
        wait_s = error.retry_after_s or 0.0
        raise MaestroError(
            "RATE_LIMITED",
            f"{what.format((error.actual or 1) - 1)} in the last minute, and the limit is {limit}",
            f"Try again in {max(1, round(wait_s + 0.5))} s. The limit is MAESTRO_{setting.upper()} of the broker.",
            retry_after_s=wait_s,
            limit=limit,
            actual=error.actual,
        ) from None
    window.append(now_ms)
