"""Archive commands: provisional."""

from __future__ import annotations

from .reply_fields import given, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from .callers import Caller
    from .commands import Request


def search(query: str, *, session: str | None = None, project_id: str | None = None, before: int | None = None, limit: int | None = None, caller: Caller | None = None) -> Request[Any]:
    body = given(query=query, session=session, projectId=project_id, before=before, limit=limit)
    return "search", body, whole("search", "hits", list), caller
