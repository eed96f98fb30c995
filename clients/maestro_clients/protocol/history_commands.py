"""History commands: `messages`, as `commands` has the others.

Rule: it is imported where it is used, since a command that sends does not need it.
"""

from __future__ import annotations

from .reply_fields import given, whole

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from maestro_schemas.documents import MessagesDoc

    from .callers import Caller
    from .commands import Request


def messages(
    with_: str | None = None,
    *,
    session: str | None = None,
    project_id: str | None = None,
    box: str | None = None,
    before: int | None = None,
    after: int | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int | None = None,
    counts: bool = False,
    id_prefix: str | None = None,
    caller: Caller | None = None,
) -> Request[MessagesDoc]:
    """What was said: a page of messages with their texts, one entry a message, the oldest first. Changes nothing.

    `with_`: only what was exchanged with this session, or sent to this group (`@name`). `session`: whose mail it is
    (default: the caller's; for the operator all), where the caller may see that. `project_id`: only what a session of
    that project sent or got. `box`: only what it got (`in`) or sent (`out`). `since`, `until`: ms. Without a cursor
    it is the newest page; `before` and `after` (LSNs, of a page before) are the cursors for older and for newer
    pages. `counts`: of a message to several sessions, how many deliveries have each status. `id_prefix`: only
    messages whose id begins so, or the random part of it.

    A page may be short or empty although `hasMore` is true: continue from its `before`, or `upTo` where `after` was
    given. Raises MaestroError SESSION_NOT_FOUND, GROUP_NOT_FOUND, FORBIDDEN, CURSOR_EXPIRED, CURSOR_AHEAD or INVALID.
    """
    body = given(
        session=session,
        projectId=project_id,
        box=box,
        before=before,
        after=after,
        since=since,
        until=until,
        limit=limit,
        counts=counts or None,
        idPrefix=id_prefix,
    )
    if with_ is not None:
        body["with"] = with_
    return "messages", body, whole("messages", "messages", list), caller


def following_page(page: MessagesDoc, filters: Mapping[str, Any]) -> dict[str, Any] | None:
    """The filters for the page behind this one, in the direction of its cursor; None behind the last page."""
    if not page["hasMore"]:
        return None
    cursor = "before" if filters.get("after") is None else "after"
    return {**filters, cursor: page["before"] if cursor == "before" else page["upTo"]}
