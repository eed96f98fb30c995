"""Export calls: conversations as one document.

Rule: the document is what `maestro export` writes, bounded in messages and characters, since it is in this process's
memory while it is sent. It is offered for saving. Where a browser shows it anyway, it has no script and no origin.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from maestro_clients.exports import collecting, writers
from maestro_gateway.api.messages import client_of, reader
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import EXPORT_MESSAGES, EXPORT_MESSAGES_MAX

if TYPE_CHECKING:
    from starlette.requests import Request

    from maestro_clients.exports.collecting import Collection, Export
    from maestro_clients.exports.writers import Format

    from .archive_queries import ExportQueryGiven

MEDIA_TYPES = tuple(kind.media_type.partition(";")[0] for kind in writers.FORMATS.values())
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


async def export(request: Request, *, query: ExportQueryGiven) -> Response:
    """A thread, a conversation, a session's mail, what a search finds, or all that the caller may see, as Markdown,
    JSON Lines or one HTML page. Attachments are named in it, and not contained."""
    caller = reader(request)
    _check(query)
    found = await _collected(
        request,
        collecting.Collection(
            collecting.ExportQuery(
                query.thread,
                query.peer,
                query.session,
                query.q,
                query.since,
                query.until,
                EXPORT_MESSAGES if query.limit is None else query.limit,
                bounded=True,
                receipts=query.kind == "jsonl",
            ),
            caller,
        ),
    )
    settings = writers.ExportSettings(caller.session, time.time_ns() // 1_000_000, query.text)
    kind = writers.FORMATS[query.kind]
    headers = {
        "Content-Disposition": f'attachment; filename="{_file_name(found, query.kind)}"',
        "Content-Security-Policy": f"sandbox; {writers.PAGE_POLICY}; frame-ancestors 'none'",
    }
    if request.method == "HEAD":
        return Response(headers=headers, media_type=kind.media_type)
    # In pieces, and made by another thread: a long page would hold the event loop up.
    return StreamingResponse(kind.write(found, settings), headers=headers, media_type=kind.media_type)


async def _collected(request: Request, collection: Collection) -> Export:
    client, steps = client_of(request), collection.steps()
    try:
        asked = next(steps)
        while True:
            try:
                outcome = await client.request(asked)
            except MaestroError as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(outcome)
    except StopIteration as end:
        found: Export = end.value
        return found


def _check(query: ExportQueryGiven) -> None:
    given = [name for name, value in (("thread", query.thread), ("with", query.peer), ("q", query.q)) if value]
    if query.thread and query.session:
        given.append("session")
    if len(given) > 1:
        raise MaestroError(
            "INVALID",
            f"the query: `{given[0]}` and `{given[1]}` exclude each other",
            "An export is of a thread, of a conversation, or of what a search finds. A search has operators for all.",
        )
    if query.limit is not None and not 0 < query.limit <= EXPORT_MESSAGES_MAX:
        raise MaestroError(
            "INVALID",
            f"the query: `limit` is {query.limit:,}, and must be from 1 to {EXPORT_MESSAGES_MAX:,}",
            "Make several exports, each with another `until`; or on the machine: maestro export",
            http_hint="Make several exports, each with another `until`.",
            limit=EXPORT_MESSAGES_MAX,
            actual=query.limit,
        )


def _file_name(found: Export, kind: Format) -> str:
    query = found.query
    words = [query.session, query.peer] if query.peer else [query.thread or query.session or query.query]
    name = _NO_NAME.sub("-", "-".join(word for word in words if word)).strip("-.")[:80]
    return f"maestro-{name or 'all'}.{kind}"
