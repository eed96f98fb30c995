"""Identity: the session that makes an HTTP request.

Rule: `X-Session-ID` names the session and `Authorization: Bearer` carries its token. The documented calls on a
mailbox name no session. They count as its owner's, and the broker refuses them where the owner has a token that they
lack. `operator` as the session is the person of the gateway's user, on this machine, by the kernel's word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR, is_id

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

SESSION_HEADER = "x-session-id"
_BEARER = "bearer"


def caller_of(request: HTTPConnection) -> Caller:
    """The session of the headers; without `X-Session-ID` the operator."""
    session = request.headers.get(SESSION_HEADER) or None
    return Caller(session, token_of(request) if session is not None else None)


def check_session_header(request: HTTPConnection) -> None:
    """Raises MaestroError UNKNOWN_SESSION for an X-Session-ID that can't be an id, also where the call needs none: an
    answer as the operator would hide the mistake."""
    session = caller_of(request).session
    if session is not None and not is_id(session):
        raise MaestroError(
            "UNKNOWN_SESSION",
            f"X-Session-ID is {session[:80]!r}, which is no session id",
            "Give the id of a session, or leave it out. POST /api/sessions starts one.",
        )


def check_operator(caller: Caller, *, needs_token: bool) -> None:
    """Raises MaestroError FORBIDDEN for a caller that names the operator, and for which the kernel does not vouch."""
    if caller.session == OPERATOR and needs_token:
        raise MaestroError(
            "FORBIDDEN",
            "the operator is the person of this gateway's user, on this machine; the kernel does not say that this "
            "caller is a program of that user",
            "Name a session and its token; or on the gateway's machine: maestro send --as operator",
            http_hint="Name a session in X-Session-ID, and its token as `Authorization: Bearer`.",
        )


def owner_of(request: HTTPConnection, session: str) -> Caller:
    """The session of the headers, else `session`, the owner of the mailbox."""
    named = caller_of(request)
    return named if named.session is not None else Caller(session, token_of(request))


def token_of(request: HTTPConnection) -> str | None:
    """The bearer token (RFC 6750), if there is one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == _BEARER else None
