"""Caller: the session that a request speaks for.

Rule: identity is in every body and never bound to a connection, so one connection may speak for many sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import speaker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .speaker import Speaker

SESSION_VARIABLE = "MAESTRO_SESSION_ID"
TOKEN_VARIABLE = "MAESTRO_SESSION_TOKEN"  # noqa: S105 - the name of a variable, not a token


class Caller(NamedTuple):
    """The identity in a request."""

    # None: the operator, who only reads. `operator`: the operator, who also sends and has a mailbox.
    session: str | None = None
    # Where the session has one.
    token: str | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Caller:
        """The session of a shell; an empty variable counts as absent. Raises MaestroError NO_SESSION for `operator`,
        which no variable can be."""
        session = environ.get(SESSION_VARIABLE) or None
        speaker.check_variable(session)
        return cls(session, environ.get(TOKEN_VARIABLE) or None)

    def as_body(self) -> Speaker:
        """The `as` map of a request, without absent fields."""
        return speaker.speaker(self.session, self.token)
