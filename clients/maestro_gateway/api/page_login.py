"""Page login: what the page may do, and how it gets the right to.

Rule: no cookie, since a cookie of this host would go to every other port of it. The page keeps its token in the
memory of one tab, and sends it in a header.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from maestro_clients.processes.login_codes import Rights
from maestro_gateway.http.credentials import login_of, needs_token
from maestro_gateway.http.page.logins import login_required
from maestro_gateway.http.responses import answer
from maestro_schemas import __version__

from .bodies import described

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


class LoginBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The code of the address that `maestro ui` has opened."""

    code: Annotated[str, described("It works once, for a minute.", "AbCdEfGhIjKlMnOpQrStUv")]


class LoginDone(Struct, frozen=True, rename="camel", kw_only=True):
    """A login. It ends at its time, and with the gateway."""

    # For `Authorization: Bearer`, and for the first frame of a WebSocket: `{"type": "auth", "token"}`.
    token: str
    # ms.
    expires_at: int
    # `view`: every call that changes something is VIEW_ONLY.
    rights: Rights


class PageSession(Struct, frozen=True, rename="camel", kw_only=True):
    """What the page may do, and whose post office it is."""

    rights: Rights
    # Whether a token gave these rights. Else the kernel vouches for the browser.
    login: bool
    version: str
    # The data directory.
    data_dir: str
    # The user of the gateway's process.
    user: str


async def log_in(request: Request, *, body: LoginBody) -> Response:
    """Trade a code for a token."""
    login = request.app.state.gateway.logins.log_in(body.code)
    return answer(LoginDone(token=login.token, expires_at=login.expires_at, rights=login.rights))


async def session(request: Request) -> Response:
    """What this page may do; 401 if it needs a login."""
    rights = login_of(request)
    if rights is None and needs_token(request):
        raise login_required("nothing tells the gateway that this browser is its user's")
    return answer(
        PageSession(
            rights=rights or "full",
            login=rights is not None,
            version=__version__,
            data_dir=request.app.state.gateway.options.data,
            user=_user(),
        )
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
