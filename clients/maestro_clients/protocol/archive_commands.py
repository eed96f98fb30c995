"""Archive commands: `search`, `threads`, `analytics` and `index.rebuild`, as `commands` has the others.

Rule: it is imported where it is used, since a command that sends does not need it.
"""

from __future__ import annotations

from .reply_fields import given, whole

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from maestro_schemas.documents import AnalyticsDoc, IndexReplyDoc, SearchDoc, ThreadsDoc

    from .callers import Caller
    from .commands import Request


def search(
    query: str,
    *,
    session: str | None = None,
    project: str | None = None,
    before: int | None = None,
    limit: int | None = None,
    utc_offset_minutes: int = 0,
    caller: Caller | None = None,
) -> Request[SearchDoc]:
    """The messages that a query finds, the newest first. PROTOCOL.md, `search`, has the syntax.

    `session`: whose mail (default: all that the caller may see). `project`: only messages with a party of it.
    `before`: `before` of the page with newer hits. `utc_offset_minutes`: how far the caller's clock is ahead of UTC,
    for the days in a query. Raises MaestroError INVALID_QUERY, INDEX_UNAVAILABLE, SESSION_NOT_FOUND, AMBIGUOUS_NAME,
    GROUP_NOT_FOUND, FORBIDDEN or INVALID.
    """
    body = given(
        query=query,
        session=session,
        projectId=project,
        before=before,
        limit=limit,
        utcOffsetMinutes=utc_offset_minutes or None,
    )
    return "search", body, whole("search", "hits", list), caller


def threads(
    *,
    session: str | None = None,
    project: str | None = None,
    before: int | None = None,
    limit: int | None = None,
    caller: Caller | None = None,
) -> Request[ThreadsDoc]:
    """The threads with an answer, the one with the newest message first. The filters are those of `search`. Raises
    MaestroError as `search`."""
    body = given(session=session, projectId=project, before=before, limit=limit)
    return "threads", body, whole("threads", "threads", list), caller


def analytics(
    *,
    since: int | None = None,
    until: int | None = None,
    session: str | None = None,
    project: str | None = None,
    bucket: str | None = None,
    utc_offset_minutes: int = 0,
    caller: Caller | None = None,
) -> Request[AnalyticsDoc]:
    """Figures of the messages that were accepted from `since` to `until` (ms; default: the last day).

    `bucket`: `hour` or `day`, the length of an entry of `series`. `utc_offset_minutes`: how far the caller's clock is
    ahead of UTC, for the beginning of a day. Raises MaestroError as `search`.
    """
    body = given(
        since=since,
        until=until,
        session=session,
        projectId=project,
        bucket=bucket,
        utcOffsetMinutes=utc_offset_minutes or None,
    )
    return "analytics", body, whole("analytics", "volume", dict), caller


def rebuild_index(*, caller: Caller | None = None) -> Request[IndexReplyDoc]:
    """Have the search index removed and built again. The section `index` of `stats` says how far that is. For the
    operator. Raises MaestroError FORBIDDEN or INDEX_UNAVAILABLE."""
    return "index.rebuild", {}, whole("index.rebuild", "index", dict), caller
