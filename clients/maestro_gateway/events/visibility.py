"""Visibility: the principals that follow events, and the events that each of them may see.

Rule: `maestro_schemas.events.may_see` decides what a session sees, as in the broker: an event, and its message. A
client without a session sees every event. It reads a message as the other calls without a session do: with the rights
of the receiver, so only where that session has no token. The operator sees and reads all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from maestro_gateway.http.identity import check_operator
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Reader, may_see_event
from maestro_schemas.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_clients.protocol.callers import Caller
    from maestro_gateway.broker_link import BrokerLink
    from maestro_schemas.documents import SessionDoc
    from maestro_schemas.events import Event

_NOT_FOUND = frozenset({"SESSION_NOT_FOUND", "AMBIGUOUS_NAME"})


class Directory:
    """The sessions that events name. A session that an event has changed is asked for again.

    A known session is never removed, only replaced. Several tasks learn at the same time, and each relies on what it
    has learnt for an event until that event's frames are made.
    """

    def __init__(self, broker: BrokerLink) -> None:
        self._broker = broker
        self._known: dict[str, SessionDoc | None] = {}
        # Sessions to ask for again before they are used for another event.
        self._stale: set[str] = set()

    def get(self, session: str) -> SessionDoc | None:
        """A session by id, if it was learnt."""
        return self._known.get(session)

    def project_of(self, session: str) -> str | None:
        found = self._known.get(session)
        return found["projectId"] if found is not None else None

    def note(self, session: SessionDoc) -> None:
        """Keep a session that the broker has just returned."""
        self._known[session["id"]] = session
        self._stale.discard(session["id"])

    def mark_stale(self) -> None:
        """Ask for every session again when it is next needed."""
        self._stale.update(self._known)

    async def learn(self, events: Iterable[Event]) -> None:
        """Ask for the sessions that the events name. Raises MaestroError where the broker is unreachable."""
        wanted: dict[str, None] = {}
        for event in events:
            if event.group is not None:
                continue  # who may see it is in the event
            if event.session is not None:
                wanted[event.session] = None
            wanted.update(
                (party, None) for party in event.parties() if party not in self._known or party in self._stale
            )
        if wanted:
            await asyncio.gather(*map(self._learn_one, wanted))

    async def _learn_one(self, session: str) -> None:
        # Kept at once, and not when all the others are there too: a request that was sent later has a newer answer.
        self._known[session] = await self._ask(session)
        self._stale.discard(session)

    async def _ask(self, session: str) -> SessionDoc | None:
        try:
            found = await self._broker.client.session(session)
        except MaestroError as error:
            if error.code in _NOT_FOUND:
                return None
            raise
        # The broker takes a text that is no id for a name.
        return found if found["id"] == session else None


class Principal(NamedTuple):
    """The session, the operator, or the caller without a session that follows events."""

    # None for a caller that names no session; `operator` for the operator.
    session: str | None
    role: str
    project: str
    directory: Directory

    def sees(self, event: Event) -> bool:
        """Whether the principal may know of the event."""
        if self.session in (None, OPERATOR):
            return True
        now = self.directory.get(self.session)
        role, project = (now["role"], now["projectId"]) if now is not None else (self.role, self.project)
        return may_see_event(Reader(self.session, role, project), event, self.directory.project_of)

    def reads(self, event: Event) -> bool:
        """Whether the principal may read the event's message."""
        if self.session is not None:
            return self.sees(event)
        # A failed message reached no receiver, and is its sender's.
        named = event.receiver or event.sender
        owner = self.directory.get(named) if named is not None else None
        return owner is not None and not owner.get("hasToken", False)


async def authenticate(broker: BrokerLink, directory: Directory, caller: Caller, *, needs_token: bool) -> Principal:
    """The principal that the caller claims to be. Raises MaestroError UNKNOWN_SESSION, TOKEN_REQUIRED,
    TOKEN_MISMATCH; NO_SESSION where the caller needs a token and names no session; or that the broker is
    unreachable."""
    if caller.session is None:
        if needs_token:
            raise MaestroError(
                "NO_SESSION",
                "this caller may be on another machine, or of another user, and no session was named",
                "Name a session with X-Session-ID and its token with `Authorization: Bearer`.",
            )
        return Principal(None, "", "", directory)
    check_operator(caller, needs_token=needs_token)
    session = await broker.client.session(caller=caller)
    if needs_token and not session.get("hasToken", False):
        raise MaestroError(
            "TOKEN_REQUIRED",
            f"session {session['id']} has no token, and this caller may be on another machine, or of another user",
            "Start the session with a token.",
        )
    # The directory may know it from a time before the feed was read.
    directory.note(session)
    return Principal(session["id"], session["role"], session["projectId"], directory)
