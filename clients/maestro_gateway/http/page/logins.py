"""Logins: the tokens of the page, where the kernel does not vouch for its browser, or where the page may only show.

Rule: a token is a secret of 256 bits, in this process's memory alone and only as its digest. It ends after 12 hours,
and all end with the process, so `maestro down` ends every login. A token is the person; one of rights `view` is a
person who changes nothing. It begins with a word of its own, so that it is never taken for the token of a session.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from maestro_clients.processes import login_codes
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_clients.processes.login_codes import Rights

LIFE_S: Final = 12 * 3_600
# The oldest login ends where there would be more.
LOGINS_MAX: Final = 256
_TOKEN_BYTES: Final = 32
_PREFIX: Final = "ui_"


class Login(NamedTuple):
    """One login."""

    token: str
    rights: Rights
    # ms since the epoch.
    expires_at: int


class Logins:
    """The logins of one gateway."""

    def __init__(self, data: str) -> None:
        self._data = data
        # The digest of a token -> what it allows, and until when by the clock that no person sets.
        self._known: dict[bytes, tuple[Rights, float]] = {}

    def log_in(self, code: str) -> Login:
        """Trade a code for a token. Raises MaestroError LOGIN_REFUSED."""
        now_ms = time.time_ns() // 1_000_000
        rights = login_codes.claim(self._data, code, now_ms)
        if rights is None:
            raise MaestroError(
                "LOGIN_REFUSED",
                "this code does not open the page: it was used before, is older than a minute, or was never made",
                "Run `maestro ui` on the gateway's machine for a new one.",
                http_hint="Open the page from the gateway's machine once more: that makes a new code.",
            )
        while len(self._known) >= LOGINS_MAX:
            del self._known[next(iter(self._known))]
        token = _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        self._known[_digest(token)] = (rights, time.monotonic() + LIFE_S)
        return Login(token, rights, now_ms + LIFE_S * 1_000)

    def rights_of(self, token: str | None) -> Rights | None:
        """What a token allows; None for a text that is none of the page's. Raises MaestroError LOGIN_REQUIRED for one
        of the page's that is good no longer."""
        if token is None or not token.startswith(_PREFIX):
            return None
        rights, ends_s = self._known.get(_digest(token), ("view", 0.0))
        if time.monotonic() >= ends_s:
            self._known.pop(_digest(token), None)
            raise login_required("this login has ended")
        return rights


def login_required(why: str) -> MaestroError:
    """The error for a page whose browser nothing vouches for."""
    return MaestroError(
        "LOGIN_REQUIRED",
        f"{why}, so the page needs a login",
        "Run `maestro ui` on the gateway's machine: it opens the page with a code.",
        http_hint="Open the page from the gateway's machine: that makes a code for it.",
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
