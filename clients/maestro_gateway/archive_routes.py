"""Archive routes: the rows of the calls about the mail of before.

Rule: as in `routes`, whose table has them.
"""

from __future__ import annotations

from maestro_schemas.bodies import archive

from .api.archive import archive_calls, archive_queries, export_calls
from .http.routing import Endpoint
from .route_codes import ARCHIVE_CODES

ARCHIVE_CALLS = (
    Endpoint(
        "GET",
        "/search",
        archive_calls.search,
        "The messages that a query finds, the newest first; marks nothing.",
        {200: archive.SearchReply},
        (*ARCHIVE_CODES, "INVALID_QUERY", "GROUP_NOT_FOUND"),
        query=archive_queries.SearchQueryGiven,
        headers=("X-Session-ID",),
        is_paged=True,
        tag="archive",
    ),
    Endpoint(
        "GET",
        "/search/operators",
        archive_calls.operators,
        "The operators that a search takes.",
        {200: archive_queries.SearchOperators},
        tag="archive",
    ),
    Endpoint(
        "GET",
        "/threads",
        archive_calls.threads,
        "The threads with an answer, the one with the newest message first.",
        {200: archive.ThreadsReply},
        ARCHIVE_CODES,
        query=archive_queries.ThreadsQuery,
        headers=("X-Session-ID",),
        is_paged=True,
        tag="archive",
    ),
    Endpoint(
        "GET",
        "/stats",
        archive_calls.stats,
        "Figures of what was sent in a time, and of what became of it.",
        {200: archive.AnalyticsReply},
        ARCHIVE_CODES,
        query=archive_queries.StatsQuery,
        headers=("X-Session-ID",),
        tag="archive",
    ),
    Endpoint(
        "GET",
        "/export",
        export_calls.export,
        "A conversation as a document to keep.",
        {200: export_calls.MEDIA_TYPES},
        (*ARCHIVE_CODES, "INVALID_QUERY", "GROUP_NOT_FOUND", "MESSAGE_NOT_FOUND", "CURSOR_EXPIRED"),
        query=archive_queries.ExportQueryGiven,
        headers=("X-Session-ID",),
        tag="archive",
    ),
)
