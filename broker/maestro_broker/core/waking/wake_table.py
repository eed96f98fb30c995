"""Wake table: the sessions whose agents can be woken, and when to look at which of them.

Rule: a session is looked at when something has changed for it, or when its policy said so, and never in turns. A post
office without such a session pays nothing. Pure: the server passes in what was committed and what hooks signed, and
makes the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core.model.deadlines import Deadlines
from maestro_broker.core.model.records import Accepted, Confirmed, Deleted, Expired
from maestro_schemas.names import OPERATOR

from .wakeable import Wakeable, WakeStep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_broker.core.model.signs import HookSign
    from maestro_broker.core.model.state import Change
    from maestro_schemas.limits import Limits
    from maestro_schemas.messages import Message
    from maestro_schemas.sessions import WakeState

_NOW_MS = 0


class WakeTable:
    """All wakeable sessions of a post office."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[str, Wakeable] = {}
        self._looks = Deadlines()
        self._counts = dict.fromkeys(("made", "answered", "void", "unanswered", "held", "failed"), 0)

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    @property
    def next_ms(self) -> int | None:
        """When the next session must be looked at."""
        return self._looks.next_ms()

    def put(self, session: str, by: str) -> bool:
        """Its agent can be woken, by this; whether that is new."""
        self.look(session)
        known = self._sessions.get(session)
        if known is not None:
            known.by = by
            return False
        self._sessions[session] = Wakeable(by)
        return True

    def drop(self, session: str) -> bool:
        """Its agent can't be woken any more; whether it could."""
        return self._sessions.pop(session, None) is not None

    def look(self, session: str) -> None:
        """Look at this session in the next turn."""
        self._looks.set(session, _NOW_MS)

    def due(self, now_ms: int, most: int) -> list[str]:
        """Up to `most` sessions to look at now."""
        return [session for session in self._looks.due(now_ms, most) if session in self._sessions]

    def committed(self, changes: Iterable[Change]) -> None:
        """These changes are durable."""
        for change in changes:
            record = change.record
            match record:
                case Accepted(message):
                    for delivery in (message, *change.more):
                        if delivery.receiver in self._sessions:
                            self._mail(delivery)
                case Confirmed() | Deleted() | Expired():
                    found = self._sessions.get(record.mailbox)
                    if found is None:
                        continue
                    if not isinstance(record, Confirmed):
                        found.gone(record.seq)
                    elif found.confirmed(record.seq):
                        self._counts["answered"] += 1
                    self.look(record.mailbox)

    def found(self, session: str, messages: Iterable[Message]) -> None:
        """Mail that no reader was offered, and that was there before its agent could be woken."""
        known = self._sessions[session]
        for message in messages:
            if message.wakes:
                known.mail(message.seq, message.created_at)
        self.look(session)

    def step(self, session: str, sign: HookSign | None, now_ms: int, *, watched: bool) -> WakeStep:
        """What must be done for a session with this sign; the next look at it is set."""
        known = self._sessions[session]
        known.signed(sign, now_ms)
        was_outstanding = known.is_outstanding
        step = known.step(self._limits, now_ms, watched=watched)
        if step.action == "remove":
            self._counts["unanswered"] += known.is_unanswered
            self.look(session)
        elif step.action is None and sign is not None and not was_outstanding:
            self._counts["held"] += known.holds_back(self._limits, now_ms)
        if step.next_ms is not None:
            self._looks.set(session, step.next_ms)
        return step

    def made(self, session: str, now_ms: int) -> str:
        """The session's file was made; returns what carries the wake out."""
        known = self._sessions[session]
        known.made(self._limits, now_ms)
        self._counts["made"] += 1
        self.look(session)
        return known.by

    def touched(self, session: str, now_ms: int, *, was_there: bool) -> None:
        """The session's file was touched; `was_there`: no program had taken it."""
        self._sessions[session].touched(now_ms, was_there=was_there)
        self.look(session)

    def withdrawn(self, session: str, *, was_there: bool) -> None:
        """The session's file was withdrawn; `was_there`: no program had taken it."""
        self._counts["void"] += self._sessions[session].withdrawn(was_there=was_there)
        self.look(session)

    def failed(self, session: str, reason: str, *, is_lasting: bool = False, again_ms: int | None = None) -> None:
        """A wake was not carried out. `is_lasting`: the next one would not be either. `again_ms`: when to try again,
        where its file could not be made."""
        known = self._sessions.get(session)
        if known is None:
            return
        known.failed(reason, is_lasting=is_lasting)
        self._counts["failed"] += 1
        if again_ms is not None:
            self._looks.set(session, again_ms)

    def state(self, session: str, now_ms: int) -> WakeState | None:
        """What senders and people see of it; None where its agent can't be woken."""
        known = self._sessions.get(session)
        return None if known is None else known.state(self._limits, now_ms)

    def stats(self) -> dict[str, int]:
        """For `maestro status`."""
        outstanding = sum(known.is_outstanding for known in self._sessions.values())
        return {"sessions": len(self._sessions), "outstanding": outstanding, **self._counts}

    def _mail(self, message: Message) -> None:
        found = self._sessions[message.receiver]
        if message.sender == OPERATOR:
            found.release()
        if message.wakes:
            found.mail(message.seq, message.created_at)
        self.look(message.receiver)
