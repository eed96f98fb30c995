"""Write-behind queue: the committed records that are not yet in the spool.

Rule: bounded in bytes, because it occupies memory and journal: with a limit in records, a hundred thousand long texts
could fill a machine. Well below the limit the spool writer gets every gap of the main loop; near it, all requests are
slowed to the spool writer's pace; at the limit, new sends are refused with BUSY.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_broker.core.model.state import Change, State

    from .spool_writer import SpoolWriter

# The memory of a delivery beside its record's bytes in the journal, at the most: 500 to 760 bytes, measured with
# 350,000 messages of 300 characters to 1,000 mailboxes. Each table that grows takes twice its room.
RECORD_BYTES = 768
# From this share of the limit on, the spool writer works in every gap, however short.
_BEHIND_FROM = 0.8
# From this share on, each batch waits for the spool writer, and for this time at most.
_SLOW_FROM = 0.9
_SLOW_S = 0.02
# How long the main loop is idle before the spool writer gets the gap.
_PATIENCE_S = 0.001


class WriteBehindQueue:
    """Belongs to the main loop."""

    def __init__(self, writer: SpoolWriter, bytes_max: int) -> None:
        self._writer = writer
        self._bytes_max = bytes_max
        self.unfiled: deque[Change] = deque()  # the records, oldest first
        self.total_bytes = 0
        # For each batch, its last LSN and its bytes.
        self._batches: deque[tuple[int, int]] = deque()

    def put(self, changes: list[Change], bodies_bytes: int) -> None:
        """Add a durable batch, with the length of its encoded records."""
        if not changes:
            return
        deliveries = len(changes) + sum([len(change.more) for change in changes if change.more])
        batch_bytes = bodies_bytes + RECORD_BYTES * deliveries
        self._batches.append((changes[-1].lsn, batch_bytes))
        self.total_bytes += batch_bytes
        self.unfiled.extend(changes)
        self._writer.put(changes)

    def take_filed(self, state: State) -> None:
        """Drop the records that the spool writer has written."""
        filed = self._writer.filed
        while filed:
            changes = filed.popleft()
            state.filed(changes)
            for _ in changes:
                self.unfiled.popleft()
            while self._batches and self._batches[0][0] <= changes[-1].lsn:
                self.total_bytes -= self._batches.popleft()[1]

    def patience_s(self) -> float:
        """How long the main loop must be idle before the spool writer may work; 0 once it is well behind."""
        if not self.unfiled or self.total_bytes >= self._bytes_max * _BEHIND_FROM:
            return 0.0
        return _PATIENCE_S

    def press_back(self) -> MaestroError | None:
        """Wait a little if the spool writer is far behind; at the limit, return the error for new sends.

        It waits first, because a refusal costs each client a retry, and a stream of retries starves the spool writer.
        """
        if self.total_bytes < self._bytes_max * _SLOW_FROM:
            return None
        if self._writer.waiting is None:
            self._writer.wait_for_progress(_SLOW_S)
        if self.total_bytes < self._bytes_max:
            return None
        return MaestroError(
            "BUSY",
            f"{self.total_bytes:,} bytes in {len(self.unfiled):,} records wait to be filed, and the limit is "
            f"{self._bytes_max:,}",
            self._writer.waiting or "The disk is behind: send again in a moment.",
            retry_after_s=0.25,
            limit=self._bytes_max,
            actual=self.total_bytes,
        )
