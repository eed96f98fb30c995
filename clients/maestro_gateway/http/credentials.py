"""Credentials: what a caller from anywhere must show where others than this machine can reach the gateway.

Rule: on loopback the machine's users are told apart by the kernel, and a session may do without a token. Beyond it
every call names a session, that session has a token, and the call carries it; the broker judges both. Open to all
are only the calls that tell nothing of anybody's mail.
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

OPEN_PATHS: Final = frozenset({"/", "/health", "/health/live", "/docs", "/docs.css", "/openapi.json"})


class Credentials:
    """The application `app`, for callers with a token; goes inside the application that holds the gateway's state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        is_open = scope["type"] == "http" and scope["path"] in OPEN_PATHS
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
    """Whether a caller from elsewhere is who it says. Raises MaestroError NO_SESSION, UNKNOWN_SESSION,
    TOKEN_REQUIRED or TOKEN_MISMATCH, and what a broker that is away raises."""
    if caller.session is None:
        raise MaestroError(
            "NO_SESSION",
            "this gateway can be reached from other machines, and no session was named",
            "Send X-Session-ID, and its token as `Authorization: Bearer`.",
        )
    if caller.token is None:
        raise _token_required("this gateway can be reached from other machines, and no token was given")
    # The broker takes any token for a session that has none, so first: does it have one?
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
