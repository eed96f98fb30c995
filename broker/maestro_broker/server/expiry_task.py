"""Upkeep: what the main loop does for mail and sessions whose time is over.

Rule: a bounded piece a turn, and a record only where the journal has room for it, if need be out of its reserve;
what finds none waits. The sweeper walks, and only here is decided.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from maestro_broker.commit.disk_admission import RECORD_BYTES
from maestro_broker.core import retention
from maestro_broker.core.model.state import Read
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from maestro_schemas.replies import PruneReply

from . import recovery

if TYPE_CHECKING:
    from collections import deque

    from maestro_broker.commit.disk_admission import DiskAdmission
    from maestro_broker.core.model.state import State
    from maestro_broker.views.spool import Spool
    from maestro_broker.views.sweeper import Sweeper
    from maestro_schemas.messages import Message
    from maestro_schemas.requests import Prune

    from .mailbox_loader import MailboxLoader

T = TypeVar("T")

# Each is a file to read: about 2 ms together.
_OVERDUE_AT_ONCE = 32
_SESSIONS_AT_ONCE = 32
_MAILBOXES_AT_ONCE = 64
# A mail to each sender, with some twenty ids in it.
_TOLD_BYTES = 2_560
_WAIT_MS = 1_000
_SOON_MS = 20


class ExpiryTask:
    """One broker's. What it finds no room for waits, and so does what has to be read first."""

    def __init__(
        self, data: str, state: State, spool: Spool, readings: MailboxLoader, sweeper: Sweeper, room: DiskAdmission
    ) -> None:
        self._outbox = paths.outbox_dir(data)
        self._state = state
        self._spool = spool
        self._sweeper = sweeper
        self._readings = readings
        self._room = room
        self._next_ms = 0

    @property
    def next_ms(self) -> int:
        """When the next turn is due."""
        expiry_ms = self._state.deadlines.next_ms()
        return self._next_ms if expiry_ms is None else min(self._next_ms, expiry_ms)

    def turn(self, now_ms: int) -> None:
        """One piece of everything that waits."""
        state, sweeper = self._state, self._sweeper
        self._next_ms = now_ms + (_SOON_MS if sweeper.gone or sweeper.overdue or sweeper.idle else _WAIT_MS)
        for session, message_id in _taken(sweeper.gone, len(sweeper.gone)):
            mailbox = state.mailboxes.get(session)
            if mailbox is not None:
                mailbox.drop(message_id)
        overdue = self._overdue(now_ms)
        retention.expire(state, self._over(now_ms, len(overdue)) + overdue, now_ms)
        sweeper.count("expired", len(overdue))
        if sweeper.idle and self._room.reserve(self._state, RECORD_BYTES * _SESSIONS_AT_ONCE):
            for session in _taken(sweeper.idle, _SESSIONS_AT_ONCE):
                if not self._waits_in_outbox(session) and retention.forget(state, session, now_ms):
                    sweeper.count("sessions")

    def prune(self, request: Prune) -> PruneReply:
        """Raises MaestroError INVALID, BUSY."""
        number = request.round
        if number is None:
            if request.older_than_ms is not None and request.older_than_ms < 0:
                raise MaestroError("INVALID", "olderThanMs is 0 or more", "Leave it out for the retention.")
            number = self._sweeper.ask(dry_run=request.dry_run, older_than_ms=request.older_than_ms)
            if number is None:
                raise MaestroError(
                    "BUSY", "another prune is going on", "Wait until it is done: `maestro status`.", retry_after_s=1.0
                )
        report = self._sweeper.report(number)
        if report is None:
            raise MaestroError(
                "INVALID", f"round {number} of the sweep is over, and another has begun", "Start one without `round`."
            )
        return report

    def _over(self, now_ms: int, taken: int) -> list[Message]:
        """Mail past the life that its sender gave it."""
        state = self._state
        found: list[Message] = []
        for session in state.deadlines.due(now_ms, _MAILBOXES_AT_ONCE):
            left = retention.EXPIRIES_AT_ONCE - len(found) - taken
            if left <= 0:
                state.deadlines.set(session, now_ms)
                continue
            mailbox = state.mailboxes.get(session)
            if (
                mailbox is not None
                and mailbox.pending  # else there is nothing to look for, whatever its folder holds
                and not mailbox.loaded
                and not self._readings.is_read(state, Read("pending", session, ""), now_ms)
            ):
                continue  # once it was read, its deadline is set again
            over = retention.due(state, session, now_ms, left)
            if over and not self._has_room(over):
                state.deadlines.set(session, now_ms + _WAIT_MS)
                continue
            found += over
        return found

    def _overdue(self, now_ms: int) -> list[Message]:
        """Pending mail that is older than its retention."""
        state = self._state
        found: list[Message] = []
        waiting = self._sweeper.overdue
        if not waiting or not self._room.reserve(self._state, _TOLD_BYTES * _OVERDUE_AT_ONCE):
            return found
        # Rounds follow each other faster than this is asked, with a retention of seconds, and find the same again.
        for session, message_id in dict.fromkeys(_taken(waiting, _OVERDUE_AT_ONCE)):
            recovery.supply(state, self._spool, Read("file", session, message_id), now_ms)
            message = retention.overdue(state, session, message_id, now_ms)
            if message is not None:
                found.append(message)
        return found

    def _has_room(self, over: list[Message]) -> bool:
        senders = len({message.sender for message in over})
        return self._room.reserve(self._state, RECORD_BYTES * len(over) + _TOLD_BYTES * senders)

    def _waits_in_outbox(self, session: str) -> bool:
        try:
            return bool(os.listdir(os.path.join(self._outbox, session)))
        except FileNotFoundError:
            return False


def _taken(waiting: deque[T], most: int) -> list[T]:
    """Up to so many, the oldest first."""
    return [waiting.popleft() for _ in range(min(most, len(waiting)))]
