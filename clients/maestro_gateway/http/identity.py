"""Identity: the session that makes an HTTP request.

Rule: `X-Session-ID` names the session and `Authorization: Bearer` carries its token. The documented calls on a
mailbox name no session. They count as its owner's, and the broker refuses them where the owner has a token that they
lack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_clients.protocol.callers import Caller

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

SESSION_HEADER = "x-session-id"
_BEARER = "bearer"


def caller_of(request: HTTPConnection) -> Caller:
    """The session of the headers; without `X-Session-ID` the operator."""
    session = request.headers.get(SESSION_HEADER) or None
    return Caller(session, token_of(request) if session is not None else None)


def owner_of(request: HTTPConnection, session: str) -> Caller:
    """The session of the headers, else `session`, the owner of the mailbox."""
    named = caller_of(request)
    return named if named.session is not None else Caller(session, token_of(request))


def token_of(request: HTTPConnection) -> str | None:
    """The bearer token (RFC 6750), if there is one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == _BEARER else None
