"""Backlog: the committed records that are not yet files.

Rule: bounded in bytes, because memory and journal are what it takes: a limit in records would let a hundred thousand
long texts fill a machine. Well before the limit the filer gets every gap of the main loop, near it everybody is
slowed to the filer's pace, and at it new sends are refused with BUSY.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_broker.core.model.state import Change, State

    from .spool_writer import SpoolWriter

# What a record takes in memory beside its bytes in the journal. Measured over 80,000 texts of 512 bytes.
RECORD_BYTES = 512
# Share of the limit from which on the filer works in every gap, however short.
_BEHIND_FROM = 0.8
# Share from which on each batch waits for the filer, and how long at most.
_SLOW_FROM = 0.9
_SLOW_S = 0.02


class WriteBehindQueue:
    """`unfiled`: the records, oldest first. `total_bytes`: what they take."""

    def __init__(self, filer: SpoolWriter, bytes_max: int) -> None:
        self._filer = filer
        self._bytes_max = bytes_max
        self.unfiled: deque[Change] = deque()
        self.total_bytes = 0
        # Per batch: its last LSN and its bytes.
        self._batches: deque[tuple[int, int]] = deque()

    def put(self, changes: list[Change], bodies_bytes: int) -> None:
        """A batch that is durable, and the length of its records' bodies."""
        if not changes:
            return
        batch_bytes = bodies_bytes + RECORD_BYTES * len(changes)
        self._batches.append((changes[-1].lsn, batch_bytes))
        self.total_bytes += batch_bytes
        self.unfiled.extend(changes)
        self._filer.put(changes)

    def take_filed(self, state: State) -> None:
        """Let go of what has become files."""
        for changes in self._filer.take_filed():
            state.filed(changes)
            self._drop(changes)

    def _drop(self, changes: Sequence[Change]) -> None:
        for _ in changes:
            self.unfiled.popleft()
        while self._batches and self._batches[0][0] <= changes[-1].lsn:
            self.total_bytes -= self._batches.popleft()[1]

    def patience_ms(self) -> int:
        """How long the main loop is idle before the filer may work: not at all once it is well behind."""
        if not self.unfiled or self.total_bytes >= self._bytes_max * _BEHIND_FROM:
            return 0
        return 1

    def press_back(self) -> MaestroError | None:
        """Slow the main loop down where the filer is far behind; the error for new sends at the limit.

        Slowed first, because a refusal costs each client a retry, and a stream of them starves the filer.
        """
        if self.total_bytes < self._bytes_max * _SLOW_FROM:
            return None
        if self._filer.waiting is None:
            self._filer.wait_for_progress(_SLOW_S)
        if self.total_bytes < self._bytes_max:
            return None
        return MaestroError(
            "BUSY",
            f"{self.total_bytes:,} bytes in {len(self.unfiled):,} records wait to be filed, and the limit is "
            f"{self._bytes_max:,}",
            self._filer.waiting or "The disk is behind: send again in a moment.",
            retry_after_s=0.25,
            limit=self._bytes_max,
            actual=self.total_bytes,
        )
