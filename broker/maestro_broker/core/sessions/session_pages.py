"""Session pages: the sessions in the order of their start, page by page.

Rule: a page looks at a limited number of sessions, since a filter may leave nearly all of them out. So it may be
short or empty while there are more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import check_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State

_LOOKED_AT_MAX = 2_000
_CURSOR_DIGITS_MAX = 15


def page(
    state: State,
    limit: int | None,
    after: str | None,
    take: Callable[[SessionState], int | None],
    *,
    active: bool | None,
) -> str | None:
    """Give `take` one session after another until the page is full; the cursor of the next page, if there is one.

    `take`: the bytes that the session adds to the reply; None where it is not in the page. Raises MaestroError
    INVALID for a limit or a cursor that is none.
    """
    most = state.limits.sessions_reply_max
    limit = most if limit is None else limit
    check_number("limit", limit, 1, most)
    count = size = 0
    last: str | None = None
    begin = None if after is None else _position(after)
    for looked, found in enumerate(state.sessions.page(begin, active=active)):
        is_full = count == min(limit, most) or size > state.limits.reply_bytes_max
        if last is not None and (is_full or looked == _LOOKED_AT_MAX):
            return last
        last = f"{found.session.started_at}.{found.session.id}"
        taken = take(found)
        if taken is not None:
            count += 1
            size += taken
    return None


def _position(after: str) -> tuple[int, str]:
    started, separator, session_id = after.partition(".")
    if not (separator and started.isascii() and started.isdecimal() and len(started) <= _CURSOR_DIGITS_MAX):
        raise MaestroError("INVALID", f"after can't be {after[:80]!r}", "Give the `next` of the page before.")
    return int(started), session_id
