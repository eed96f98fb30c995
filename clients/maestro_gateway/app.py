"""App: the gateway as an ASGI application.

Rule: its routes come from the table of calls, and every error that leaves it has the documented shape.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from maestro_schemas.errors import MaestroError

from .absent_paths import absent
from .api.blobs import UPLOADS_MAX
from .api.websocket import websocket_routes
from .broker_link import BrokerLink
from .context import GatewayContext
from .docs import openapi
from .events.feed import Feed
from .events.mail_waits import MailWaits
from .events.tool_calls import ToolCalls
from .http.credentials import Credentials
from .http.page.logins import Logins
from .http.page.web_files import web_routes
from .http.responses import answer, error_answer, plain_error
from .http.routing import changing_paths, routes, upload_paths
from .http.unconfirmed_sends import UnconfirmedSends
from .http.whole_body import WholeBody
from .metrics import GatewayMetrics, MeasuringMiddleware
from .routes import CALLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from .options import GatewayOptions

_log = logging.getLogger(__name__)

_NOT_SERVED = {
    404: ("NOT_FOUND", "there is no such path", "/docs lists every call."),
    405: ("METHOD_NOT_ALLOWED", "this path does not take that method", "The header Allow says which it takes."),
}


def make(options: GatewayOptions) -> Starlette:
    """The application. It connects to the broker when it starts."""
    metrics = GatewayMetrics()
    contract = openapi.document(CALLS)
    table = routes(CALLS)
    files = web_routes()
    paths = {route.endpoint: route.path for route in (*table, *files)}

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        broker = BrokerLink(options.data, options.environ)
        feed = Feed(broker)
        waits = MailWaits(options.limits.mail_waits_max, metrics.mail_waits)
        app.state.gateway = GatewayContext(
            options,
            broker,
            metrics,
            contract,
            UnconfirmedSends(),
            feed,
            waits,
            ToolCalls(),
            asyncio.Semaphore(UPLOADS_MAX),
            Logins(options.data),
            time.time_ns() // 1_000_000,
        )
        try:
            yield
        finally:
            feed.stop()
            await broker.aclose()

    app = Starlette(
        routes=[*table, *websocket_routes(), *files],
        lifespan=lifespan,
        exception_handlers={
            MaestroError: _on_refusal,  # type: ignore[dict-item]  # Starlette's type knows no narrower handler
            HTTPException: _on_framework,  # type: ignore[dict-item]
            Exception: _on_fault,
        },
        middleware=[
            Middleware(MeasuringMiddleware, metrics, paths),
            Middleware(Credentials, options, changing_paths(CALLS)),
            Middleware(WholeBody, options.limits, upload_paths(CALLS)),
        ],
    )
    # A path with one slash too many does not exist; Starlette's redirect would not have the shape of an error.
    app.router.redirect_slashes = False
    return app


async def _on_refusal(request: Request, error: MaestroError) -> Response:
    request.app.state.gateway.broker.search_after(error)
    # A word of another server's path may have been taken for a session's id.
    if error.code == "SESSION_NOT_FOUND" and (body := absent(request.url.path)) is not None:
        return answer(body, 404)
    return error_answer(error)


async def _on_framework(request: Request, error: HTTPException) -> Response:
    if error.status_code in _NOT_SERVED and (body := absent(request.url.path)) is not None:
        return answer(body, 404)
    code, message, hint = _NOT_SERVED.get(error.status_code, ("BAD_REQUEST", error.detail, ""))
    return answer(plain_error(error.status_code, code, message, hint), error.status_code, error.headers)


async def _on_fault(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_answer(MaestroError("INTERNAL", "a fault of ours"))
