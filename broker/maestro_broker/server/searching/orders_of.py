"""Orders of requests: a request of the archive as an order for the index.

Rule: the caller, its rights and all names are settled here, in the broker, which knows the sessions; the process of
the index gets ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core import authorization
from maestro_broker.core.sending import audiences
from maestro_broker.index.orders import IndexOrder, Part, Scope
from maestro_schemas.bodies.archive import Analytics, IndexRebuild, Search, Threads
from maestro_schemas.errors import OPERATOR_MAY, MaestroError
from maestro_schemas.limits import SEARCH_HITS, SEARCH_HITS_MAX, check_number
from maestro_schemas.names import AUDIENCE_SIGIL, OPERATOR, SYSTEM_SENDER
from maestro_schemas.texts import search_query

if TYPE_CHECKING:
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.texts.search_query import Condition

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# Longer times have a bar for each day.
_HOURS_UP_TO_MS = 3 * _DAY_MS
_OFFSET_MINUTES_MAX = 1_440
# Of an operator's value, the caller itself.
_ME = "me"
_OF_SESSIONS = ("from", "to", "with")


def order_of(
    state: State, request: Search | Threads | Analytics | IndexRebuild, *, head: int, now_ms: int
) -> IndexOrder:
    """The order. Raises MaestroError as `authorization.authenticate`, and INVALID_QUERY, INVALID, SESSION_NOT_FOUND,
    AMBIGUOUS_NAME, GROUP_NOT_FOUND, FORBIDDEN."""
    asking = authorization.authenticate(state, request.who, now_ms)
    if isinstance(request, IndexRebuild):
        return IndexOrder("rebuild", head)
    scope = _scope(state, asking, request)
    bytes_max = state.limits.reply_bytes_max
    if isinstance(request, Analytics):
        return _analytics(request, scope, head, now_ms)
    limit = _limit(request.limit)
    check_number("before", request.before, 1)
    if isinstance(request, Threads):
        return IndexOrder("threads", head, scope, before=request.before, limit=limit, bytes_max=bytes_max)
    query = search_query.parse(request.query, now_ms=now_ms, utc_offset_minutes=_offset(request.utc_offset_minutes))
    parts = tuple(_part(state, asking, each) for each in query.conditions)
    return IndexOrder(
        "search", head, scope, query.terms, parts, before=request.before, limit=limit, bytes_max=bytes_max
    )


def _scope(state: State, asking: SessionState | None, request: Search | Threads | Analytics) -> Scope:
    owner = None
    if request.session is not None:
        found = state.sessions.resolve(request.session, authorization.session_of(asking), "SESSION_NOT_FOUND")
        owner = found.session.id
        if asking is not None and found is not asking and asking.session.role != "orchestrator":
            raise MaestroError(
                "FORBIDDEN",
                f"{asking.session.id} may not see the mail of {owner}",
                "A session finds what it sent and got, an orchestrator also what was sent within its project. "
                + OPERATOR_MAY,
            )
    party_of = None if request.project_id is None else _sessions_of(state, request.project_id)
    if asking is None:
        return Scope(owner=owner, party_of=party_of)
    session = asking.session
    leads = session.role == "orchestrator"
    project = _sessions_of(state, session.project_id) if leads else ()
    return Scope(session.id, project, owner, party_of)


def _sessions_of(state: State, project: str) -> tuple[str, ...]:
    return tuple(each.session.id for each in state.sessions if each.session.project_id == project)


def _part(state: State, asking: SessionState | None, condition: Condition) -> Part:
    operator, value = condition.operator, condition.value
    values: tuple[str, ...] = (value,)
    if operator == "group" or (operator == "to" and value.startswith(AUDIENCE_SIGIL)):
        name = value.removeprefix(AUDIENCE_SIGIL)
        if not audiences.is_word(AUDIENCE_SIGIL + name) and state.groups.get(name) is None:
            raise audiences.no_group(AUDIENCE_SIGIL + name, state.groups)
    elif operator in _OF_SESSIONS:
        values = _named(state, asking, value)
    elif operator == "project":
        values = _sessions_of(state, value)
    return Part(operator, values, condition.is_excluded, condition.at_ms)


def _named(state: State, asking: SessionState | None, value: str) -> tuple[str, ...]:
    """The sessions that an id or a name means, also ended ones: mail outlives its sender."""
    if value == _ME:
        return (OPERATOR if asking is None else asking.session.id,)
    if value == SYSTEM_SENDER:
        return (value,)
    resolved = state.sessions.resolve(value, authorization.session_of(asking), "SESSION_NOT_FOUND").session
    if resolved.name is None or resolved.id == value:
        return (resolved.id,)
    return tuple(each.session.id for each in state.sessions if each.session.name == resolved.name)


def _analytics(request: Analytics, scope: Scope, head: int, now_ms: int) -> IndexOrder:
    # With this millisecond: what has just been answered counts.
    until = now_ms + 1 if request.until is None else request.until
    since = max(0, until - _DAY_MS) if request.since is None else request.since
    check_number("since", since, 0)
    if since >= until:
        raise MaestroError(
            "INVALID", f"since ({since}) is not before until ({until})", "Give the earlier time as `since`."
        )
    bucket = request.bucket or ("hour" if until - since <= _HOURS_UP_TO_MS else "day")
    return IndexOrder(
        "analytics",
        head,
        scope,
        since=since,
        until=until,
        bucket_ms=_HOUR_MS if bucket == "hour" else _DAY_MS,
        utc_offset_minutes=_offset(request.utc_offset_minutes),
    )


def _limit(limit: int | None) -> int:
    check_number("limit", limit, 1)
    return SEARCH_HITS if limit is None else min(limit, SEARCH_HITS_MAX)


def _offset(minutes: int) -> int:
    if abs(minutes) >= _OFFSET_MINUTES_MAX:
        raise MaestroError(
            "INVALID",
            f"utcOffsetMinutes can't be {minutes}",
            "It is less than a day, in either direction.",
            limit=_OFFSET_MINUTES_MAX - 1,
            actual=minutes,
        )
    return minutes
