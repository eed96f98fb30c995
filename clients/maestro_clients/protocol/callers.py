"""Caller: the session that a request speaks for.

Rule: identity is in every body and never bound to a connection, so one connection may speak for many sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION_VARIABLE = "MAESTRO_SESSION_ID"
TOKEN_VARIABLE = "MAESTRO_SESSION_TOKEN"  # noqa: S105 - the name of a variable, not a token


class Caller(NamedTuple):
    """The identity in a request."""

    # None: the operator.
    session: str | None = None
    # Where the session has one.
    token: str | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Caller:
        """The session of a shell; an empty variable counts as absent."""
        return cls(environ.get(SESSION_VARIABLE) or None, environ.get(TOKEN_VARIABLE) or None)

    def as_body(self) -> dict[str, str]:
        """The `as` map of a request, without absent fields."""
        body = {}
        if self.session is not None:
            body["session"] = self.session
        if self.token is not None:
            body["token"] = self.token
        return body
