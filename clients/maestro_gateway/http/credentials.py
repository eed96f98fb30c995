"""Credentials: the check of every caller that the kernel does not vouch for.

Rule: on loopback the kernel tells the machine's users apart, and a program of the gateway's own user needs no token.
Every other caller names a session, that session has a token, and the call carries it; the broker checks both. Only
calls that show no mail are open to all. All this is judged before a body is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.requests import HTTPConnection

from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR, is_id

from .identity import caller_of, check_operator
from .refusals import refuse
from .responses import CONNECTION

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from maestro_clients.async_client import AsyncClient
    from maestro_gateway.options import GatewayOptions

    from .server import ConnectionGuard

_OPEN_PATHS: Final = frozenset({"/", "/health", "/health/live", "/docs", "/openapi.json", "/ui"})
# Static files, and the page, which is one of them.
_OPEN_PREFIXES: Final = ("/web/", "/ui/")
_WHY: Final = "this caller may be on another machine, or of another user"


class Credentials:
    """Middleware that requires a token of a caller that needs one. It runs inside the application that holds the
    gateway's state."""

    def __init__(self, app: ASGIApp, options: GatewayOptions) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not is_open(scope):
            connection = HTTPConnection(scope)
            broker = connection.app.state.gateway.broker
            try:
                if needs_token(connection):
                    await check(broker.client, caller_of(connection))
            except MaestroError as error:
                broker.search_after(error)
                await refuse(error, self._options.limits, scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_open(scope: Scope) -> bool:
    """Whether a request is open to all callers: it shows no mail, and takes no body."""
    path = scope["path"]
    return scope["type"] == "http" and (path in _OPEN_PATHS or path.startswith(_OPEN_PREFIXES))


def needs_token(connection: HTTPConnection) -> bool:
    """Whether the caller must name a session that has a token, and give it: where other machines can reach the
    gateway, and wherever the kernel does not say that the caller is a program of this gateway's user."""
    guard: ConnectionGuard | None = connection.scope.get("state", {}).get(CONNECTION)
    is_own = guard is not None and guard.is_own
    return not (is_own and connection.app.state.gateway.options.is_loopback)


async def check(client: AsyncClient, caller: Caller) -> None:
    """Check that a caller is the session that it names. Raises MaestroError NO_SESSION,
    UNKNOWN_SESSION, TOKEN_REQUIRED or TOKEN_MISMATCH, FORBIDDEN for the operator, and BROKER_UNREACHABLE or
    TIMEOUT."""
    check_operator(caller, needs_token=True)
    if caller.session is None:
        raise MaestroError(
            "NO_SESSION",
            f"{_WHY}, and no session was named",
            "Send X-Session-ID, and its token as `Authorization: Bearer`.",
        )
    if caller.token is None:
        raise _token_required(f"{_WHY}, and no token was given")
    # The broker accepts any token for a session without one. A request without a token shows whether it has one.
    try:
        await client.session(caller.session, caller=Caller(caller.session, None))
    except MaestroError as error:
        if error.code != "TOKEN_REQUIRED":
            raise
    else:
        raise _token_required(f"{_WHY}, and that session has no token")
    await client.session(caller.session, caller=caller)


def is_unregistered(request: HTTPConnection, error: MaestroError) -> bool:
    """Whether a request was refused since it names a session that was never started, although it needs none: the
    kernel vouches for its caller, which may leave the name off. Maestro's own clients send their id before they
    register it."""
    name = caller_of(request).session
    # Text that could be no session's id is a mistake of the caller's.
    could_be = name is not None and name != OPERATOR and is_id(name)
    return error.code == "UNKNOWN_SESSION" and could_be and not needs_token(request)


def _token_required(why: str) -> MaestroError:
    return MaestroError(
        "TOKEN_REQUIRED",
        why,
        "Start the session with a token on the gateway's machine; send it as `Authorization: Bearer`.",
    )
