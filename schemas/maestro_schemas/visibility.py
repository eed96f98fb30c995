"""Visibility: the one rule of who sees a message, an event of one, or a session's event.

Rule: a party sees it. An orchestrator also sees what was sent within its own project: all parties are in it. The
operator sees all. Every surface asks `may_see`: a message, a thread, a receipt, dead letters, the timeline and the
live events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .events import Event


class Reader(NamedTuple):
    """The session that wants to see something."""

    session: str
    role: str
    project: str


def may_see(reader: Reader | None, parties: Iterable[str], project_of: Callable[[str], str | None]) -> bool:
    """Whether `reader` (None: the operator) may see what concerns `parties`. `project_of` returns the project of a
    session by id, or None for an unknown session."""
    if reader is None:
        return True
    concerned = tuple(parties)
    if reader.session in concerned:
        return True
    return (
        reader.role == "orchestrator"
        and bool(concerned)
        and all(project_of(party) == reader.project for party in concerned)
    )


def may_see_event(reader: Reader | None, event: Event, project_of: Callable[[str], str | None]) -> bool:
    """As `may_see`, for an event. An event of a session has the project that the session was in."""
    if event.session is None or event.project_id is None:
        return may_see(reader, event.parties(), project_of)
    own: Mapping[str, str] = {event.session: event.project_id}
    return may_see(reader, event.parties(), own.get)


def message_parties(sender: str, receiver: str, status: str) -> tuple[str, ...]:
    """The sessions that a message concerns. A refused one (`failed`) concerns its sender alone: it reached no
    mailbox."""
    return (sender,) if status == "failed" else (sender, receiver)
