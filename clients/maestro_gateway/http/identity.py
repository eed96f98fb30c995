"""Identity: who speaks in an HTTP request.

Rule: `X-Session-ID` names the session and `Authorization: Bearer` carries its token. The documented calls on a
mailbox name no session; they are taken as its owner's, and the broker refuses that where the session has a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_clients.protocol.callers import Caller

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

SESSION_HEADER = "x-session-id"
_BEARER = "bearer"


def caller_of(request: HTTPConnection) -> Caller:
    """Whom the headers name; without `X-Session-ID` the operator."""
    session = request.headers.get(SESSION_HEADER) or None
    return Caller(session, token_of(request) if session is not None else None)


def owner_of(request: HTTPConnection, session: str) -> Caller:
    """Whom the headers name, else the mailbox's owner."""
    named = caller_of(request)
    return named if named.session is not None else Caller(session, token_of(request))


def token_of(request: HTTPConnection) -> str | None:
    """The bearer token (RFC 6750), None where there is none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == _BEARER else None
