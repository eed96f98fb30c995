"""Readings: the mailboxes that are being read, and the requests that wait for them.

Rule: a request that needs a mailbox which is not in memory waits, and nobody else does: what a turn of the loop
reads is bounded in time, however many mailboxes are asked for at once. A few are read by turns, so that a small one
need not wait for a large one, and no more, since what was read is in memory; what was asked for longest ago leaves it
as others come in. Whoever waits when the broker stops gets no answer, and asks again.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from maestro_broker.views import mailbox_scan
from maestro_broker.views.mailbox_scan import MailboxScan

if TYPE_CHECKING:
    from maestro_broker.core.model.reads import Read
    from maestro_broker.core.model.state import State
    from maestro_broker.transport.listener import IncomingRequest
    from maestro_broker.views.spool import Spool


_AT_ONCE_MAX = 4


class MailboxLoader:
    """At most one reading a mailbox."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        # By session, in the order of their next step; and those that have not begun, with whether all is wanted.
        self._readings: dict[str, MailboxScan] = {}
        self._queue: deque[str] = deque()
        self._whole: dict[str, bool] = {}
        self._waiting: dict[str, list[IncomingRequest]] = {}
        # What this turn of the loop has read so far, in seconds; and whether a mailbox has come into memory.
        self._spent_s = 0.0
        self._has_grown = False

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._whole)

    def is_read(self, state: State, need: Read, now_ms: int) -> bool:
        """Begin to read what `need` names, unless that has begun; True when it is in memory now. Raises OSError.

        A small mailbox is read at once, but not many of them in one turn: a thousand clients that come back together
        would else hold up everybody for a second.
        """
        session, whole = need.session, need.kind == "mailbox"
        begun = self._whole.get(session)
        if begun is None:
            self._whole[session] = whole
            if len(self._readings) >= _AT_ONCE_MAX or self._spent_s > mailbox_scan.STEP_S:
                self._queue.append(session)
                return False
            self._open(state, session)
            return self._step(state, session, now_ms)
        if whole and not begun:
            self._whole[session] = True
            if (reading := self._readings.get(session)) is not None:
                reading.close()
                self._open(state, session)
        return False

    def wait(self, session: str, arrival: IncomingRequest) -> None:
        """Keep a request until the mailbox was read."""
        self._waiting.setdefault(session, []).append(arrival)

    def advance(self, state: State, now_ms: int) -> list[IncomingRequest]:
        """Once a turn: read on for a moment; the requests that need wait no longer. Raises OSError."""
        self._spent_s = 0.0
        if self._has_grown:
            # Now, for whoever asked in the last turn has been answered.
            self._has_grown = False
            state.evict(now_ms)
        ready: list[IncomingRequest] = []
        while self._whole:
            while self._queue and len(self._readings) < _AT_ONCE_MAX:
                self._open(state, self._queue.popleft())
            session = next(iter(self._readings))
            if self._step(state, session, now_ms):
                ready += self._waiting.pop(session, ())
            if self._spent_s >= mailbox_scan.STEP_S:
                break
        self._spent_s = 0.0
        return ready

    def close(self) -> None:
        """Give up what is not read yet."""
        for reading in self._readings.values():
            reading.close()
        self._readings.clear()
        self._queue.clear()
        self._whole.clear()
        self._waiting.clear()

    def _open(self, state: State, session: str) -> None:
        mailbox = state.mailbox(session)
        mailbox.being_read = True
        whole = self._whole[session]
        self._readings[session] = MailboxScan(self._spool, session, mailbox.remembers, whole=whole)

    def _step(self, state: State, session: str, now_ms: int) -> bool:
        began_s = time.perf_counter()
        try:
            return self._has_come(state, session, now_ms)
        finally:
            self._spent_s += time.perf_counter() - began_s

    def _has_come(self, state: State, session: str, now_ms: int) -> bool:
        reading = self._readings.pop(session)
        if not reading.step():
            self._readings[session] = reading  # behind the others
            return False
        if not state.load_mailbox(session, reading.messages(), now_ms, whole=reading.whole):
            # The modes do not tell what the counters say: somebody has copied the files, or changed them.
            self._whole[session] = True
            self._open(state, session)
            return False
        del self._whole[session]
        self._has_grown = True
        return True
