"""Credentials: the check of every caller where other machines can reach the gateway.

Rule: on loopback the kernel tells the machine's users apart, and a session needs no token. Beyond loopback every call
names a session, that session has a token, and the call carries it; the broker checks both. Only calls that show no
mail are open to all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.requests import HTTPConnection

from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError

from .identity import caller_of
from .responses import error_answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from maestro_clients.async_client import AsyncClient

OPEN_PATHS: Final = frozenset({"/", "/health", "/health/live", "/docs", "/openapi.json"})
# Static files.
OPEN_PREFIX: Final = "/web/"


class Credentials:
    """Middleware that requires a token. It runs inside the application that holds the gateway's state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] == "http" and (scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_PREFIX))
        if scope["type"] in ("http", "websocket") and not is_open:
            connection = HTTPConnection(scope)
            broker = connection.app.state.gateway.broker
            try:
                await check(broker.client, caller_of(connection))
            except MaestroError as error:
                if error.kind == "unreachable":
                    broker.search()
                await error_answer(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def check(client: AsyncClient, caller: Caller) -> None:
    """Check that a caller from another machine is the session that it names. Raises MaestroError NO_SESSION,
    UNKNOWN_SESSION, TOKEN_REQUIRED or TOKEN_MISMATCH, and BROKER_UNREACHABLE or TIMEOUT."""
    if caller.session is None:
        raise MaestroError(
            "NO_SESSION",
            "this gateway can be reached from other machines, and no session was named",
            "Send X-Session-ID, and its token as `Authorization: Bearer`.",
        )
    if caller.token is None:
        raise _token_required("this gateway can be reached from other machines, and no token was given")
    # The broker accepts any token for a session without one. A request without a token shows whether it has one.
    try:
        await client.session(caller.session, caller=Caller(caller.session, None))
    except MaestroError as error:
        if error.code != "TOKEN_REQUIRED":
            raise
    else:
        raise _token_required("this gateway can be reached from other machines, and that session has no token")
    await client.session(caller.session, caller=caller)


def _token_required(why: str) -> MaestroError:
    return MaestroError(
        "TOKEN_REQUIRED",
        why,
        "`maestro session start` there gives a session with one; send it as `Authorization: Bearer`.",
    )
