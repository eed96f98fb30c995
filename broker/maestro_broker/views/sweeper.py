"""Sweeper: the rounds of the sweep, their pace, and their report.

Rule: the walk runs in the spool writer's thread, in slices of a few milliseconds, because each unlink is work for the
file system's own journal, on which commits wait. The main loop asks for rounds, reads reports, and takes the
findings. What both threads change (round numbers, the task, counters) is changed under one lock, held for
microseconds.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

from maestro_schemas.replies import PruneReply, Swept

from .retention_view import RetentionView
from .sweep_walk import Findings, Round, SweepWalk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_broker.clock import Clock
    from maestro_broker.core.model.state import State
    from maestro_broker.core.retention import RetentionPolicy

    from .spool import Spool
    from .timeline import Timeline

_log = logging.getLogger(__name__)

# Work, then rest. While a round only looks, it works a fifth of the time, and a tenth beside a main loop that is
# never idle. While it removes files, it works half of the time, because files must be removed as fast as they are
# made. Measured with 500 messages a second on a busy machine: a tenth of the time removes 250 of them. A send waits
# for one slice at most.
SLICE_S = 0.002
REST_S = 0.008
_BUSY_REST_S = 0.018
_LONG_SLICE_S = 0.005
_SHORT_REST_S = 0.005
# Until the first round, and between two. A day's retention is met to the half hour.
_FIRST_MS = 60_000
_PAUSE_MS = 30 * 60_000
# A short retention shortens the pause to this share of it.
_SHARE = 8
_PAUSE_MIN_MS = 250
# The walk waits while the main loop has this many findings to take.
_FINDINGS_MAX = 1_024


class Sweeper:
    """The present or last round."""

    def __init__(
        self,
        data: str,
        *,
        spool: Spool,
        timelines: tuple[Timeline, ...],
        state: State,
        policy: RetentionPolicy,
        clock: Clock,
    ) -> None:
        self._data = data
        self._spool = spool
        self._timelines = timelines
        self._retention = RetentionView(state, policy)
        self._clock = clock
        # For the main loop to take from, on the left.
        self.overdue: deque[tuple[str, str]] = deque()
        self.idle: deque[str] = deque()
        self.gone: deque[tuple[str, str]] = deque()
        self.groups: deque[str] = deque()
        # Why the last round ended early.
        self.failure: str | None = None
        # What messages' files took on the disk in the last whole round.
        self.mail_bytes: int | None = None
        # Of the spool writer's thread alone: the walk, and whether its last slice removed files.
        self._steps: Iterator[None] | None = None
        self._removes = False
        # Changed by both threads, under the lock.
        self._lock = Lock()
        self._last_number = 0
        self._requested: Round | None = None  # by a person, and not yet begun
        self._requested_number = -1  # of the last requested round
        self._task = Round(0, dry_run=False, older_than_ms=None)
        self._walk = self._new_walk(self._task)
        self._is_running = False
        self._swept: dict[str, int] = {}
        self._started_ms = self._ended_ms = 0
        self._next_ms = clock.now_ms() + min(_FIRST_MS, self._pause_ms())

    # --- the main loop's side ------------------------------------------------------------------------------

    def ask(self, *, dry_run: bool, older_than_ms: int | None) -> int | None:
        """Request a round now, in place of an ordinary one; return its number. None while a requested one runs."""
        with self._lock:
            if self._requested is not None or (self._is_running and self._task.number == self._requested_number):
                return None
            self._last_number += 1
            self._requested_number = self._last_number
            self._requested = Round(self._last_number, dry_run, older_than_ms)
            return self._last_number

    def report(self, number: int) -> PruneReply | None:
        """The progress or result of a round; None if another has replaced it."""
        with self._lock:
            requested = self._requested
            if requested is not None and requested.number == number:
                return PruneReply(
                    round=number, done=False, dry_run=requested.dry_run, started_at=self._clock.now_ms(), took_ms=0,
                    looked_at=0, swept=Swept(),
                )  # fmt: skip
            return self._report() if self._task.number == number else None

    def stats(self) -> dict[str, object]:
        """For `maestro status`: the present or last round, and when the next is due."""
        with self._lock:
            found: dict[str, object] = {"nextAt": self._next_ms, "running": self._is_running}
            if self._task.number:
                report = self._report()
                found |= {"startedAt": report.started_at, "tookMs": report.took_ms, "lookedAt": report.looked_at}
                counts = zip(Swept.__struct_encode_fields__, Swept.__struct_fields__, strict=True)
                found |= {"dryRun": report.dry_run, **{shown: self._swept.get(name, 0) for shown, name in counts}}
            return found

    def count(self, kind: str, number: int = 1) -> None:
        """Add to a counter of the present round. Both threads call it."""
        with self._lock:
            self._swept[kind] = self._swept.get(kind, 0) + number

    # --- the spool writer's side ---------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether a round runs, was requested, or is due."""
        return self._steps is not None or self._requested is not None or self._clock.now_ms() >= self._next_ms

    def work(self) -> None:
        """One slice. An error ends the round, and never the broker."""
        if not self.is_due:
            return
        if self._steps is None or self._is_to_be_replaced():
            self._begin()
        steps, walk = self._steps, self._walk
        removed_before = walk.removed
        until_s = time.monotonic() + (_LONG_SLICE_S if self._removes else SLICE_S)
        try:
            while steps is not None and time.monotonic() < until_s:
                if len(self.overdue) + len(self.idle) + len(self.gone) > _FINDINGS_MAX:
                    return
                if next(steps, self) is self:
                    self._end(None)
                    return
        except OSError as error:
            self._end(f"the sweep of old files broke off: {error}")
        finally:
            self._removes = walk.removed > removed_before

    def rest_s(self, *, is_idle: bool) -> float:
        """How long to rest after a slice. `is_idle`: whether the main loop has no work."""
        if self._removes:
            return _SHORT_REST_S
        return REST_S if is_idle else _BUSY_REST_S

    def _is_to_be_replaced(self) -> bool:
        """Whether the present round is an ordinary one, and a requested one waits."""
        with self._lock:
            return self._requested is not None and self._task.number != self._requested_number

    def _begin(self) -> None:
        with self._lock:
            task, self._requested = self._requested, None
            if task is None:
                self._last_number += 1
                task = Round(self._last_number, dry_run=False, older_than_ms=None)
            self._task = task
            self._walk = self._new_walk(task)
            self._swept = {}
            self._started_ms = self._ended_ms = self._clock.now_ms()
            self._is_running = True
        self._steps = self._walk.steps()

    def _end(self, failure: str | None) -> None:
        self._steps = None
        with self._lock:
            self._is_running = False
            self._ended_ms = self._clock.now_ms()
            self._next_ms = self._ended_ms + self._pause_ms()
            if failure is None:
                self.mail_bytes = self._walk.mail_bytes
            is_news = failure is not None and self.failure is None
            self.failure = failure
        if is_news:
            _log.warning("%s", failure)

    def _new_walk(self, task: Round) -> SweepWalk:
        return SweepWalk(
            self._data,
            spool=self._spool,
            timelines=self._timelines,
            retention_view=self._retention,
            now_ms=self._now_ms,
            count=self.count,
            findings=Findings(self.overdue, self.idle, self.gone, self.groups),
            task=task,
        )

    def _report(self) -> PruneReply:
        done = not self._is_running
        return PruneReply(
            round=self._task.number,
            done=done and not (self.overdue or self.idle or self.groups),
            dry_run=self._task.dry_run,
            started_at=self._started_ms,
            took_ms=(self._ended_ms if done else self._clock.now_ms()) - self._started_ms,
            looked_at=self._walk.looked_at,
            swept=Swept(**self._swept),
            failure=self.failure if done else None,
        )

    def _pause_ms(self) -> int:
        return max(_PAUSE_MIN_MS, min(_PAUSE_MS, self._retention.shortest_ms() // _SHARE))

    def _now_ms(self) -> int:
        """The earlier of two clocks: the broker's may have begun with a wall clock that was corrected since."""
        return min(self._clock.now_ms(), time.time_ns() // 1_000_000)
