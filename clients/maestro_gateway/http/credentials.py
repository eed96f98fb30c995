"""Credentials: the check of every caller that the kernel does not vouch for.

Rule: on loopback the kernel tells the machine's users apart, and a program of the gateway's own user needs no token.
Every other caller names a session, that session has a token, and the call carries it; the broker checks both. Only
calls that show no mail are open to all. A login of the page stands for the kernel's word, and one that may only show
changes nothing. All this is judged before a body is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.requests import HTTPConnection

from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR, is_id

from .identity import SESSION_HEADER, caller_of, check_operator, token_of
from .refusals import refuse
from .responses import CONNECTION

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from maestro_clients.async_client import AsyncClient
    from maestro_clients.processes.login_codes import Rights
    from maestro_gateway.options import GatewayOptions

    from .server import ConnectionGuard

_OPEN_PATHS: Final = frozenset({"/", "/health", "/health/live", "/docs", "/openapi.json", "/ui"})
# Static files, and the page, which is one of them.
_OPEN_PREFIXES: Final = ("/web/", "/ui/")
# The one open call with a body, and the one that says whether a login is needed.
LOGIN_PATH: Final = "/ui/login"
SESSION_PATH: Final = "/ui/session"
_SHOWING: Final = frozenset({"GET", "HEAD"})
# Where the scope has what a login of the page allows.
_RIGHTS: Final = "maestro.rights"
_WHY: Final = "this caller may be on another machine, or of another user"


class Credentials:
    """Middleware that requires a token of a caller that needs one. It runs inside the application that holds the
    gateway's state."""

    def __init__(self, app: ASGIApp, options: GatewayOptions, changing: Sequence[re.Pattern[str]]) -> None:
        """`changing`: the paths on which a GET changes something too."""
        self._app = app
        self._options = options
        self._changing = changing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (not is_open(scope) or scope["path"] == SESSION_PATH):
            connection = HTTPConnection(scope)
            broker = connection.app.state.gateway.broker
            try:
                connection = self._logged_in(connection)
                if needs_token(connection) and not is_open(scope) and not _says_it_later(connection):
                    await check(broker.client, caller_of(connection))
            except MaestroError as error:
                broker.search_after(error)
                await refuse(error, self._options.limits, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _logged_in(self, connection: HTTPConnection) -> HTTPConnection:
        """The connection; if it has a token of the page, with the rights of it in place of the token. Raises
        MaestroError LOGIN_REQUIRED, VIEW_ONLY."""
        scope = connection.scope
        rights = connection.app.state.gateway.logins.rights_of(token_of(connection))
        if rights is None:
            return connection
        changes = scope["type"] == "http" and (
            scope["method"] not in _SHOWING or any(path.match(scope["path"]) for path in self._changing)
        )
        if rights == "view" and changes:
            raise MaestroError(
                "VIEW_ONLY",
                "this login may only show, and the call would change something",
                "`maestro ui` opens the page with all rights.",
                http_hint="Open the page from the gateway's machine, with all rights.",
            )
        # In place: the middleware around this one reads what the router leaves there. No session has that token.
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"authorization"]
        scope[_RIGHTS] = rights
        return HTTPConnection(scope)


def login_of(connection: HTTPConnection) -> Rights | None:
    """What the caller's login of the page allows; None for a caller without one."""
    rights: Rights | None = connection.scope.get(_RIGHTS)
    return rights


def _says_it_later(connection: HTTPConnection) -> bool:
    """Whether it is a page's WebSocket: a browser sends no header of the page's with the handshake, so the page says
    in its first frame who it is."""
    headers = connection.headers
    is_plain = "authorization" not in headers and SESSION_HEADER not in headers
    return connection.scope["type"] == "websocket" and "origin" in headers and is_plain


def is_open(scope: Scope) -> bool:
    """Whether a request is open to all callers: it shows no mail, and takes no body."""
    path = scope["path"]
    return scope["type"] == "http" and (path in _OPEN_PATHS or path.startswith(_OPEN_PREFIXES))


def needs_token(connection: HTTPConnection) -> bool:
    """Whether the caller must name a session that has a token, and give it: where other machines can reach the
    gateway, and wherever the kernel does not say that the caller is a program of this gateway's user."""
    if login_of(connection) is not None:
        return False
    guard: ConnectionGuard | None = connection.scope.get("state", {}).get(CONNECTION)
    is_own = guard is not None and guard.is_own
    return not (is_own and connection.app.state.gateway.options.is_loopback)


def check_person(request: HTTPConnection) -> None:
    """Raises MaestroError FORBIDDEN for a caller that is no program of the gateway's user on this machine."""
    if needs_token(request):
        raise MaestroError(
            "FORBIDDEN",
            "this is about the whole post office, and for the person alone",
            "Ask on the gateway's machine: maestro status",
            http_hint="Ask on the gateway's machine, as its user.",
        )


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
