"""Health: the index, and whether the gateway is alive and ready.

Rule: alive is about this process alone; ready asks the broker, now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_gateway.http.responses import answer
from maestro_gateway.http.routing import API_VERSION
from maestro_schemas import __version__
from maestro_schemas.errors import MaestroError

from .messages import client_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


_LINKS = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "sessions": "/api/sessions",
    "health": "/health",
    "metrics": "/metrics",
}


async def index(_request: Request) -> Response:
    """Index of the service: name, versions, links."""
    return answer({"name": "maestro-messaging", "version": __version__, "apiVersion": API_VERSION, "links": _LINKS})


async def live(_request: Request) -> Response:
    """200 as long as this process answers."""
    return answer({"status": "ok", "version": __version__})


async def health(request: Request) -> Response:
    """200 when the broker answers, else 503; with the gateway's limits."""
    limits = request.app.state.gateway.options.limits._asdict()
    try:
        hello = await client_of(request).hello()
    except MaestroError as error:
        request.app.state.gateway.broker.search()
        body = {"status": "unavailable", "live": True, "ready": False, "version": __version__}
        body |= {"code": error.code, "limits": limits}
        return answer(body, 503, {"Retry-After": "1"})
    return answer(
        {
            "status": "ok",
            "live": True,
            "ready": True,
            "version": __version__,
            "broker": {"version": hello["version"], "pid": hello["pid"], "headLsn": hello["headLsn"]},
            "limits": limits,
        }
    )
