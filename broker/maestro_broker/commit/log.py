"""Commit log: the interface through which the broker makes batches of records durable.

Rule: a batch is handed over first and reported durable later, in order. Nothing depends on how much later: the local
journal answers at once, and a replicated log answers when a majority has the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class CommitLog(Protocol):
    """An open commit log.

    The main thread calls all methods, but for `release` and `prepare_spare`, which the spool writer's thread calls.
    After a failure, and after `close`, every method raises FatalError.
    """

    @property
    def head_lsn(self) -> int:
        """The last durable LSN; 0 in a new log."""

    @property
    def held_bytes(self) -> int:
        """The space that the log takes on this machine's disk, prepared files included."""

    def submit(self, records: Sequence[bytes], *, from_reserve: bool) -> int:
        """Give each record the next LSN and start making the batch durable; return its last LSN.

        `from_reserve`: the batch may use the reserve (confirmations, deletions, changes of sessions). Raises
        MaestroError STORAGE_FULL, DATA_TOO_LARGE (a record exceeds the limit of one record) or INVALID (a record
        contains the log's own mark) before anything is written. Raises FatalError later: what is durable is then not
        known.
        """

    def committed(self) -> int | None:
        """The highest LSN that became durable since the last call; None if none did. Never waits.

        Raises FatalError.
        """

    def has_room(self, record_bytes: int, *, from_reserve: bool = False) -> bool:
        """Whether the log will accept a batch of this size. True is a promise: the space is set aside now.

        `record_bytes`: the bytes of all records not yet submitted, headers included. Raises FatalError.
        """

    def seal(self) -> None:
        """Mark the last batch as complete, when the broker is idle, so that later damage to it is recognised."""

    def release(self, upto_lsn: int) -> None:
        """The files of all records up to `upto_lsn` are durable: the log may delete these records."""

    def prepare_spare(self) -> None:
        """Allocate space ahead of time, so that `submit` need not."""

    def close(self) -> None:
        """Seal the log and refuse every further call. A second call does nothing."""
