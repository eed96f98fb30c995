"""Mailbox loader: loads and evicts mailboxes step by step, and keeps the requests that wait for a load.

Rule: only a request that needs the mailbox waits. The time that a turn of the loop spends on both is bounded, however
many mailboxes are requested or idle at once. A few are loaded in turns, so that a small one need not wait for a large
one; not more, because loaded mail takes memory. A request that waits when the broker stops gets no answer, and its
client repeats it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from maestro_broker.views import mailbox_scan
from maestro_broker.views.mailbox_scan import MailboxScan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_broker.core.model.reads import Read
    from maestro_broker.core.model.state import State
    from maestro_broker.transport.listener import IncomingRequest
    from maestro_broker.views.spool import Spool


_AT_ONCE_MAX = 4


class MailboxLoader:
    """At most one scan per mailbox."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        # Scans by session, in the order of their next step; the sessions whose scan has not begun; and for both,
        # whether all mail is wanted or only pending mail.
        self._scans: dict[str, MailboxScan] = {}
        self._queue: deque[str] = deque()
        self._whole: dict[str, bool] = {}
        self._waiting: dict[str, list[IncomingRequest]] = {}
        # How long this turn of the loop has loaded so far, and whether a mailbox was loaded completely.
        self._spent_s = 0.0
        self._has_grown = False
        self._evictions: Iterator[None] | None = None

    def evict(self, state: State, now_ms: int) -> None:
        """Evict what is idle or too much for a moment; `advance` continues."""
        if self._evictions is None:
            self._evictions = state.evictions(now_ms)
        began_s = time.perf_counter()
        for _ in self._evictions:
            if time.perf_counter() - began_s >= mailbox_scan.STEP_S:
                break
        else:
            self._evictions = None
        self._spent_s += time.perf_counter() - began_s

    @property
    def is_loading(self) -> bool:
        """Whether a mailbox is being loaded."""
        return bool(self._whole)

    @property
    def has_work(self) -> bool:
        """Whether `advance` has something to do: a load, or an eviction that is due or not at its end."""
        return self._has_grown or self._evictions is not None or bool(self._whole)

    def is_loaded(self, state: State, read: Read, now_ms: int) -> bool:
        """Begin to load the mailbox of a read, unless that has begun; True if it is in memory now. Raises OSError.

        A small mailbox is loaded at once, but not many of them in one turn: a thousand clients that reconnect
        together would otherwise block the broker for a second.
        """
        session, whole = read.session, read.kind == "mailbox"
        begun = self._whole.get(session)
        if begun is None:
            self._whole[session] = whole
            if len(self._scans) >= _AT_ONCE_MAX or self._spent_s > mailbox_scan.STEP_S:
                self._queue.append(session)
                return False
            self._open(state, session)
            return self._step(state, session, now_ms)
        if whole and not begun:
            self._whole[session] = True
            if (scan := self._scans.get(session)) is not None:
                scan.close()
                self._open(state, session)
        return False

    def wait(self, session: str, arrival: IncomingRequest) -> None:
        """Keep a request until the mailbox is loaded."""
        self._waiting.setdefault(session, []).append(arrival)

    def advance(self, state: State, now_ms: int) -> list[IncomingRequest]:
        """Once per turn: continue for a moment. Returns the requests that need not wait any longer.

        Raises OSError.
        """
        self._spent_s = 0.0
        if self._has_grown or self._evictions is not None:
            # Now, because the requests of the last turn are answered.
            self._has_grown = False
            self.evict(state, now_ms)
        ready: list[IncomingRequest] = []
        while self._whole:
            while self._queue and len(self._scans) < _AT_ONCE_MAX:
                self._open(state, self._queue.popleft())
            session = next(iter(self._scans))
            if self._step(state, session, now_ms):
                ready += self._waiting.pop(session, ())
            if self._spent_s >= mailbox_scan.STEP_S:
                break
        self._spent_s = 0.0
        return ready

    def close(self) -> None:
        """Stop."""
        for scan in self._scans.values():
            scan.close()
        self._scans.clear()
        self._queue.clear()
        self._whole.clear()
        self._waiting.clear()

    def _open(self, state: State, session: str) -> None:
        mailbox = state.mailbox(session)
        mailbox.being_read = True
        whole = self._whole[session]
        self._scans[session] = MailboxScan(self._spool, session, mailbox.remembers, whole=whole)

    def _step(self, state: State, session: str, now_ms: int) -> bool:
        began_s = time.perf_counter()
        try:
            return self._is_complete(state, session, now_ms)
        finally:
            self._spent_s += time.perf_counter() - began_s

    def _is_complete(self, state: State, session: str, now_ms: int) -> bool:
        scan = self._scans.pop(session)
        if not scan.step():
            self._scans[session] = scan  # last in the order
            return False
        if not state.load_mailbox(session, scan.messages(), now_ms, whole=scan.whole):
            # The files' modes contradict the counters: the files were copied or changed by hand.
            self._whole[session] = True
            self._open(state, session)
            return False
        del self._whole[session]
        self._has_grown = True
        return True
