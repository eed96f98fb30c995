"""Audience: who looks on, and what each of them may see.

Rule: that an event happened is told by `maestro_schemas.events.may_see`, as the broker does. The text of a message is
for its sender and its receiver; the operator, who is anybody without a session, reads it where the receiver needs no
token.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas.errors import MaestroError
from maestro_schemas.events import may_see

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_clients.protocol.callers import Caller
    from maestro_gateway.broker_link import BrokerLink
    from maestro_gateway.options import GatewayOptions
    from maestro_schemas.documents import SessionDoc
    from maestro_schemas.events import Event

_NOBODY = frozenset({"SESSION_NOT_FOUND", "AMBIGUOUS_NAME"})


class Directory:
    """The sessions as the events of the moment need them. What an event says has changed is asked for again.

    What is known is never taken away, only replaced: several learn at a time, and whoever has learnt what an event
    needs may count on it until the event is cut.
    """

    def __init__(self, broker: BrokerLink) -> None:
        self._broker = broker
        self._known: dict[str, SessionDoc | None] = {}
        # To be asked for again before it is used for another event.
        self._stale: set[str] = set()

    def get(self, session: str) -> SessionDoc | None:
        """A session by id, out of what was learnt."""
        return self._known.get(session)

    def project_of(self, session: str) -> str | None:
        """Its project."""
        found = self._known.get(session)
        return found["projectId"] if found is not None else None

    def note(self, session: SessionDoc) -> None:
        """A session as the broker has just told it."""
        self._known[session["id"]] = session
        self._stale.discard(session["id"])

    def doubt(self) -> None:
        """Everything: no event told what changed meanwhile."""
        self._stale.update(self._known)

    async def learn(self, events: Iterable[Event]) -> None:
        """Whoever the events name. Raises MaestroError where the broker is away."""
        wanted: dict[str, None] = {}
        for event in events:
            if event.session is not None:
                wanted[event.session] = None
            wanted.update(
                (party, None) for party in event.parties() if party not in self._known or party in self._stale
            )
        if wanted:
            await asyncio.gather(*map(self._learn_one, wanted))

    async def _learn_one(self, session: str) -> None:
        # Noted at once, not when all the others are there too: an answer that was asked for later is a newer one.
        self._known[session] = await self._ask(session)
        self._stale.discard(session)

    async def _ask(self, session: str) -> SessionDoc | None:
        try:
            found = await self._broker.client.session(session)
        except MaestroError as error:
            if error.code in _NOBODY:
                return None
            raise
        # What is no id is looked for as a name.
        return found if found["id"] == session else None


class Principal(NamedTuple):
    """Who looks on. `session`: None for the operator."""

    session: str | None
    role: str
    project: str
    directory: Directory

    def sees(self, event: Event) -> bool:
        """Whether it may know that the event happened."""
        if self.session is None:
            return True
        now = self.directory.get(self.session)
        role, project = (now["role"], now["projectId"]) if now is not None else (self.role, self.project)
        return may_see(event, self.session, role, project, self.directory.project_of)

    def reads(self, event: Event) -> bool:
        """Whether it may read the event's message."""
        if self.session is not None:
            return self.session in (event.sender, event.receiver)
        receiver = self.directory.get(event.receiver) if event.receiver is not None else None
        return receiver is not None and not receiver.get("hasToken", False)


async def authenticate(
    broker: BrokerLink, options: GatewayOptions, directory: Directory, caller: Caller
) -> Principal:
    """Who speaks, if it is true. Raises MaestroError UNKNOWN_SESSION, TOKEN_REQUIRED, TOKEN_MISMATCH; NO_SESSION
    where more than this machine can connect and none is named; or that the broker is away."""
    if caller.session is None:
        if not options.is_loopback:
            raise MaestroError(
                "NO_SESSION",
                "this gateway can be reached from other machines, so it shows nothing to whom it does not know",
                "Name a session with X-Session-ID and its token with `Authorization: Bearer`.",
            )
        return Principal(None, "", "", directory)
    session = await broker.client.session(caller=caller)
    if not options.is_loopback and not session.get("hasToken", False):
        raise MaestroError(
            "TOKEN_REQUIRED",
            f"session {session['id']} has no token, and this gateway can be reached from other machines",
            "Start the session with a token.",
        )
    # What was known of it may be from a time before anybody read the events.
    directory.note(session)
    return Principal(session["id"], session["role"], session["projectId"], directory)
