"""Lateness: where the time of a late send went, from when it was due until its `accepted` was in hand.

Rule: the sums are exact. A send's time is cut at three clock readings: the client has written it, the broker's
loop has sent the reply, the client has it. What lies between the first two is cut further by what the loop did then
(`traced_broker`), for this send or for those before it. Each piece is also split by what the kernel counted: the time
in which the loop was ready to run and had no core. Work that was neither on a core nor without one waited for the
interpreter's lock, which the spool writer holds.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.traced_broker import GARBAGE, PRESSURE, SEGMENT, STAGES, SYNC, WAIT, WORK

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.paced import Timed

GENERATOR, READING = "the generator: written after it was due", "the generator: the reply is sent, and not yet read"
_NO_CORE, _NO_LOCK = "the scheduler: the loop has no core", "the interpreter's lock: the spool writer has it"
# What the loop does, and the row of the table.
_ROWS = {
    WAIT: "the loop sleeps or wakes up",
    WORK: "the loop works",
    SYNC: "the disk: fdatasync of this commit or the one before",
    SEGMENT: "the disk: the loop makes or changes a segment",
    PRESSURE: "back-pressure: the loop waits for the spool writer",
    GARBAGE: "garbage collection in the loop",
}
_LOOP_ROWS = (*_ROWS.values(), _NO_LOCK, _NO_CORE)
ROWS = [GENERATOR, *_LOOP_ROWS, READING]


class Split(NamedTuple):
    """Of some sends: the mean time of one in ms, and in which rows it was."""

    sends: int
    mean_ms: float
    rows_ms: dict[str, float]

    def share(self, row: str) -> float:
        """Of the whole time."""
        return self.rows_ms[row] / self.mean_ms if self.mean_ms else 0.0


class Trace:
    """What a traced broker recorded."""

    def __init__(self, found: dict[str, Any]) -> None:
        flat = found["spans"]
        self._from, self._until = flat[1::5], flat[2::5]
        # For each row, what was spent in it by the beginning of each span.
        rows: dict[str, list[float]] = {row: [] for row in _LOOP_ROWS}
        for stage, begin, end, cpu, delay in zip(
            flat[::5], self._from, self._until, flat[3::5], flat[4::5], strict=True
        ):
            name, wall = STAGES[stage], end - begin
            spent = dict.fromkeys(rows, 0.0)
            spent[_NO_CORE] = min(delay, wall)
            if name in (WORK, GARBAGE):
                spent[_NO_LOCK] = max(0, wall - cpu - spent[_NO_CORE])
            spent[_ROWS[name]] = wall - spent[_NO_CORE] - spent[_NO_LOCK]
            for row, times in rows.items():
                times.append(spent[row])
        self._each = rows
        self._sums = {row: [0.0, *itertools.accumulate(times)] for row, times in rows.items()}
        self._answered: dict[str, int] = {}
        ids = iter(found["ids"])
        for answered, messages in zip(found["turns"][2::4], found["turns"][3::4], strict=True):
            self._answered |= dict.fromkeys(itertools.islice(ids, messages), answered)

    def split(self, sends: Iterable[Timed]) -> Split:
        """The mean of these sends, those left out whose answer came from another turn than was recorded."""
        total = dict.fromkeys(ROWS, 0.0)
        count = 0
        for send in sends:
            answered = self._answered.get(send.id)
            if answered is None:
                continue
            count += 1
            written = int(send.written_s * 1e9)
            # The loop notes its end after it has sent the reply, so the client may have read it by then.
            answered = min(answered, int(send.accepted_s * 1e9))
            total[GENERATOR] += send.written_s - send.due_s
            total[READING] += send.accepted_s - max(answered, written) / 1e9
            for row in self._sums:
                total[row] += max(0.0, self._spent(row, answered) - self._spent(row, written)) / 1e9
        rows_ms = {row: seconds * 1000 / count if count else 0.0 for row, seconds in total.items()}
        return Split(count, sum(rows_ms.values()), rows_ms)

    def _spent(self, row: str, at: int) -> float:
        """Until then, in ns; a part of a span counts as the span's."""
        place = bisect_right(self._from, at) - 1
        if place < 0:
            return 0.0
        begin, end = self._from[place], self._until[place]
        part = min(1.0, (at - begin) / (end - begin)) if end > begin else 1.0
        return self._sums[row][place] + self._each[row][place] * part


def slowest(sends: Sequence[Timed], share: float) -> list[Timed]:
    """The slowest `share` of them, at least one."""
    return sorted(sends, key=lambda send: -send.ms)[: max(1, int(len(sends) * share))]
