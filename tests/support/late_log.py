"""Late log: a commit log that reports a batch as durable only when a test says so, as a replicated one would.

Rule: it is a second implementation of `CommitLog` over the local journal, which keeps the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_broker.commit.log import CommitLog
    from maestro_schemas.errors import FatalError


class LateLog:
    """`until_lsn`: the newest LSN that it may report. `failure`: raised in place of the next report."""

    def __init__(self, log: CommitLog) -> None:
        self._log = log
        self._durable_lsn = self._reported_lsn = self.until_lsn = log.head_lsn
        self.failure: FatalError | None = None

    @property
    def head_lsn(self) -> int:
        return min(self._log.head_lsn, self.until_lsn)

    @property
    def held_bytes(self) -> int:
        return self._log.held_bytes

    def submit(self, records: Sequence[bytes], *, from_reserve: bool) -> int:
        return self._log.submit(records, from_reserve=from_reserve)

    def committed(self) -> int | None:
        if self.failure is not None:
            raise self.failure
        self._durable_lsn = self._log.committed() or self._durable_lsn
        lsn = min(self._durable_lsn, self.until_lsn)
        if lsn <= self._reported_lsn:
            return None
        self._reported_lsn = lsn
        return lsn

    def has_room(self, record_bytes: int, *, from_reserve: bool = False) -> bool:
        return self._log.has_room(record_bytes, from_reserve=from_reserve)

    def seal(self) -> None:
        self._log.seal()

    def release(self, upto_lsn: int) -> None:
        self._log.release(upto_lsn)

    def prepare_spare(self) -> None:
        self._log.prepare_spare()

    def close(self) -> None:
        self._log.close()
