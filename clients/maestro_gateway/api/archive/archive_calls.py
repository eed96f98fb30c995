"""Archive calls: search, threads and figures over HTTP.

Rule: each is one request to the broker, which judges the query and what the caller may see. Nothing is marked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_gateway.api.messages import client_of, reader
from maestro_gateway.http.responses import answer, next_page
from maestro_schemas.texts import search_query

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .archive_queries import SearchQueryGiven, StatsQuery, ThreadsQuery


async def search(request: Request, *, query: SearchQueryGiven) -> Response:
    """The messages that a query finds, the newest first; nothing is marked as read.

    A session finds what it sent and received, an orchestrator also what was said within its project, `operator` all.
    """
    page = await client_of(request).search(
        query.q,
        session=query.session,
        project=query.project,
        before=query.before,
        limit=query.limit,
        utc_offset_minutes=query.utc_offset_minutes,
        caller=reader(request),
    )
    return answer(page, headers=next_page(request, "before", page["before"] if page["hasMore"] else None))


async def operators(_request: Request) -> Response:
    """The operators that a search takes, for help and completion."""
    found = [{**operator._asdict(), "words": list(operator.words)} for operator in search_query.OPERATORS]
    return answer({"operators": found})


async def threads(request: Request, *, query: ThreadsQuery) -> Response:
    """The threads with an answer, the one with the newest message first."""
    page = await client_of(request).threads(
        session=query.session,
        project=query.project,
        before=query.before,
        limit=query.limit,
        caller=reader(request),
    )
    return answer(page, headers=next_page(request, "before", page["before"] if page["hasMore"] else None))


async def stats(request: Request, *, query: StatsQuery) -> Response:
    """Figures of what was sent in a time, and of what became of it: volume, delivery success rate, times, routes,
    pairs, refusals."""
    figures = await client_of(request).analytics(
        since=query.since,
        until=query.until,
        session=query.session,
        project=query.project,
        bucket=query.bucket,
        utc_offset_minutes=query.utc_offset_minutes,
        caller=reader(request),
    )
    return answer(figures)
