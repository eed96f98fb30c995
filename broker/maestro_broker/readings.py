"""Readings: the mailboxes that are being read, and the requests that wait for them.

Rule: a request that needs a mailbox which is not in memory waits, and nobody else does: each turn of the loop takes
one reading one step further, so many files. A few are read by turns, so that a small mailbox need not wait for a
large one, and no more, since what was read is in memory. Whoever waits when the broker stops gets no answer, and
asks again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .mailbox_reading import MailboxReading

if TYPE_CHECKING:
    from .spool import Spool
    from .state import Need, State
    from .transport import Arrival


_AT_ONCE_MAX = 4


class Readings:
    """At most one reading a mailbox."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        # By session, in the order of their next step; and those that have not begun, with whether all is wanted.
        self._readings: dict[str, MailboxReading] = {}
        self._queue: deque[str] = deque()
        self._whole: dict[str, bool] = {}
        self._waiting: dict[str, list[Arrival]] = {}

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._whole)

    def is_read(self, state: State, need: Need, now_ms: int) -> bool:
        """Begin to read what `need` names, unless that has begun; True when it is in memory now. Raises OSError."""
        session, whole = need.session, need.kind == "mailbox"
        begun = self._whole.get(session)
        if begun is None:
            self._whole[session] = whole
            if len(self._readings) >= _AT_ONCE_MAX:
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

    def wait(self, session: str, arrival: Arrival) -> None:
        """Keep a request until the mailbox was read."""
        self._waiting.setdefault(session, []).append(arrival)

    def advance(self, state: State, now_ms: int) -> list[Arrival]:
        """One step; the requests that need wait no longer. Raises OSError."""
        while self._queue and len(self._readings) < _AT_ONCE_MAX:
            self._open(state, self._queue.popleft())
        session = next(iter(self._readings), None)
        if session is None or not self._step(state, session, now_ms):
            return []
        return self._waiting.pop(session, [])

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
        self._readings[session] = MailboxReading(self._spool, session, mailbox.remembers, whole=whole)

    def _step(self, state: State, session: str, now_ms: int) -> bool:
        reading = self._readings.pop(session)
        if not reading.step():
            self._readings[session] = reading  # behind the others
            return False
        if not state.supply_mailbox(session, reading.messages(), now_ms, whole=reading.whole):
            # The modes do not tell what the counters say: somebody has copied the files, or changed them.
            self._whole[session] = True
            self._open(state, session)
            return False
        del self._whole[session]
        return True
