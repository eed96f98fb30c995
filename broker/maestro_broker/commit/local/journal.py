"""Journal: the commit log on the local disk.

Rule: `submit` returns when the whole batch is on disk, and nothing is reported before. A failed write or fsync ends
the journal for good: the kernel drops the data that it could not write, and the next fsync would report success.
Space is checked before anything is written, so that a full disk causes a refusal and never half a batch.

The main thread submits; the spool writer's thread prepares spare segments and releases old ones.
docs/decisions/0002-journal-format.md has the format and the reasons.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

from maestro_broker.files import disk
from maestro_runtime import atomic_file
from maestro_schemas.errors import FatalError, MaestroError

from . import repair, segment
from .scanning import ASIDE, READY, RESERVE, SERVED_VERSIONS, SPARE, JournalRecovery, catalogue
from .segment import HEADER_BYTES, RECORD_BYTES, SEAL_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .repair import RepairedDirectory


def first_segment_lsn(directory: str, versions: Collection[int] = SERVED_VERSIONS) -> int | None:
    """The first LSN of the oldest segment; None if there is no segment, or no directory.

    Raises OSError, and MaestroError FORMAT_UNSUPPORTED.
    """
    if not os.path.isdir(directory):
        return None
    listed = catalogue(directory, versions)
    return min((file.first_lsn for file in (*listed.segments, *listed.misnamed)), default=None)


class Journal:
    """An open journal, made by `Journal.open`.

    Every method raises FatalError JOURNAL_FAILED after a failure, and after `close`.
    """

    def __init__(
        self, directory: str, repaired: RepairedDirectory, *, segment_bytes: int, reserve_bytes: int
    ) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._head_lsn = repaired.head_lsn
        self._fd = -1
        self._offset = 0  # of the next record in the active segment
        self._room_bytes = 0  # left for records there; the space of the last seal is kept free
        self._sealed = True
        self._write_is_pending = False  # still true after a write: it was interrupted, and its result is unknown
        self._failure: FatalError | None = None
        self._newly_committed: int | None = None  # for `committed`
        # Prepared segments of the main thread, under names that only it uses.
        self._ready: list[str] = []
        self._ready_count = 0
        # Whether the reserve was used, and whether the active segment is part of it: ordinary batches are then
        # refused.
        self._reserve_is_used = False
        self._active_is_reserve = False
        # Shared with the spool writer's thread: the files SPARE and RESERVE, and the list of segments.
        self._lock = threading.Lock()
        self._prepared = repaired.prepared
        self._segments = repaired.segments

    @classmethod
    def open(
        cls, directory: str, *, segment_bytes: int, reserve_bytes: int, after_lsn: int, attested_lsn: int = 0
    ) -> tuple[Journal, JournalRecovery]:
        """Recover the records above `after_lsn` (the checkpoint), and prepare for writing.

        `attested_lsn`: the newest LSN that another file proves to have been durable. A journal that ends before it
        has lost its end; its LSNs are not given again.

        `segment_bytes`: the size of a new segment. `reserve_bytes`: the free space that ordinary batches leave.
        An interrupted call can be repeated. Raises MaestroError FORMAT_UNSUPPORTED, FatalError JOURNAL_FAILED, or
        STORAGE_FULL if the disk cannot even hold the journal's tail. With less space than one segment takes, the
        journal opens, and ordinary batches are refused until there is more.
        """
        try:
            recovery, repaired = repair.repair_directory(
                directory, segment_bytes=segment_bytes, after_lsn=after_lsn, attested_lsn=attested_lsn
            )
            journal = cls(directory, repaired, segment_bytes=segment_bytes, reserve_bytes=reserve_bytes)
            # First, because on a full disk their space is needed.
            journal.release(after_lsn)
            if repaired.empty is not None:
                journal._use(os.open(repaired.empty, os.O_RDWR | os.O_CLOEXEC), segment_bytes)
            elif journal._take_segments(1, (SPARE,), reserve_bytes):
                # A new segment at each start: where the page cache shows zeros at the end of a recovered one, the
                # disk may hold other bytes.
                journal._roll()
                journal.release(after_lsn)
        except OSError as error:
            if error.errno in disk.FULL:
                raise _storage_full(directory) from error
            raise _failed(directory, error) from error
        return journal, recovery

    @property
    def head_lsn(self) -> int:
        """The last durable LSN; 0 in a new journal."""
        return self._head_lsn

    @property
    def held_bytes(self) -> int:
        """The space of all segments on the disk, prepared ones included."""
        return disk.held_bytes(self._directory)

    def submit(self, records: Sequence[bytes], *, from_reserve: bool = False) -> int:
        """Give each record the next LSN, make the batch durable, and return its last LSN.

        One write and one fdatasync; more only for a batch that takes more than one segment. Raises MaestroError
        STORAGE_FULL, DATA_TOO_LARGE (a record does not fit into a segment) or INVALID (a record contains the mark of
        a record header) before anything is written, and FatalError JOURNAL_FAILED afterwards.
        """
        if not records:
            self._check()
            return self._head_lsn
        self._append(records, from_reserve=from_reserve)
        self._newly_committed = self._head_lsn
        return self._head_lsn

    def committed(self) -> int | None:
        """The last LSN of the batches submitted since the last call; None if there was none."""
        if self._write_is_pending or self._failure is not None:
            self._check()
        lsn, self._newly_committed = self._newly_committed, None
        # What was written into a segment that has no name any more is lost when this process ends.
        if lsn is not None and not os.fstat(self._fd).st_nlink:
            raise self._fail(FileNotFoundError(errno.ENOENT, "the segment was removed", self._directory))
        return lsn

    def has_room(self, record_bytes: int, *, from_reserve: bool = False) -> bool:
        """Whether a batch of this size will be accepted. True is a promise: the segments are prepared now.

        `record_bytes`: of all records of the next batch, and segment.RECORD_BYTES for each.
        """
        if record_bytes <= self._room_bytes and not self._reserve_is_used:
            return True
        self._check()
        if self._reserve_is_used and not from_reserve and not self._reserve_is_restored():
            return False
        if record_bytes <= self._room_bytes:
            return True
        # Two neighbouring segments hold more than one segment's bytes, or the second would not have been begun.
        new = self._new_segment_bytes
        count = 1 if record_bytes <= new else 1 + 2 * record_bytes // new
        return self._reserve_segments(count, from_reserve=from_reserve)

    def seal(self) -> None:
        """Record that everything submitted is durable, without a sync; for an idle moment.

        A later bit flip in the last batch is then recognised as corruption, not taken for a torn write. The seal
        takes no LSN, and the next batch overwrites it. Does nothing if the last batch is sealed.
        """
        self._check()
        if not self._sealed:
            self._write_is_pending = True
            try:
                segment.write_all(self._fd, segment.pack_seal(self._head_lsn), self._offset)
            except OSError as error:
                raise self._fail(error) from error
            self._write_is_pending = False
            self._sealed = True

    def release(self, upto_lsn: int) -> None:
        """Remove the segments whose records all have an LSN up to `upto_lsn`: they are durable in the spool. From any
        thread.

        The last segment is kept: an empty directory is then always an error to report.
        """
        self._check_failure()
        with self._lock:
            keep = 0
            while keep + 1 < len(self._segments) and self._segments[keep + 1][0] <= upto_lsn + 1:
                keep += 1
            released, self._segments = self._segments[:keep], self._segments[keep:]
        try:
            for _, path in released:  # the oldest first, so that an interruption leaves no gap
                if os.path.exists(path):
                    os.unlink(path)
            if released:
                atomic_file.sync_directory(self._directory)
        except OSError as error:
            raise self._fail(error) from error

    def prepare_spare(self) -> None:
        """Make the reserve and the next segment ahead of time, if they are missing and the disk has space. From one
        other thread.
        """
        self._check_failure()
        for name in (RESERVE, SPARE):
            with self._lock:
                is_prepared = name in self._prepared
            if is_prepared:
                continue
            aside = os.path.join(self._directory, name + ASIDE)
            try:
                if disk.free_bytes(self._directory) - self._segment_bytes < self._reserve_bytes:
                    return
                segment.make_zeros(aside, self._segment_bytes)
                with self._lock:
                    os.rename(aside, os.path.join(self._directory, name))
                    self._prepared.add(name)
            except OSError as error:
                if error.errno in disk.FULL:
                    return
                raise self._fail(error) from error

    def close(self) -> None:
        """Seal, and refuse every further call. A second call does nothing."""
        try:
            if self._failure is None and not self._write_is_pending:
                self.seal()
        finally:
            if self._failure is None:
                self._failure = FatalError("JOURNAL_FAILED", "the journal is closed", "Start the broker again.")
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    # --- inside ------------------------------------------------------------------------------------------

    def _append(self, bodies: Sequence[bytes], *, from_reserve: bool) -> None:
        if self._write_is_pending or self._failure is not None:
            self._check()
        if self._active_is_reserve and not from_reserve and not self._reserve_is_restored():
            raise _storage_full(self._directory)
        need_bytes = sum(map(len, bodies)) + RECORD_BYTES * len(bodies)
        if need_bytes <= self._room_bytes:
            self._write(bodies)
            return
        pieces = segment.split(bodies, self._room_bytes, self._new_segment_bytes)
        if not self._reserve_segments(len(pieces) - 1, from_reserve=from_reserve):
            raise _storage_full(self._directory)
        for index, piece in enumerate(pieces):
            if index:
                try:
                    self._roll()
                except OSError as error:
                    raise self._fail(error) from error
            self._write(piece)

    @property
    def _new_segment_bytes(self) -> int:
        return self._segment_bytes - HEADER_BYTES - SEAL_BYTES

    def _check(self) -> None:
        if self._write_is_pending:
            self._failure = self._failure or _failed(self._directory, "a write was interrupted")
        self._check_failure()

    def _check_failure(self) -> None:
        failure = self._failure
        if failure is not None:
            raise FatalError(failure.code, failure.message, failure.hint) from failure

    def _fail(self, error: OSError) -> FatalError:
        self._failure = _failed(self._directory, error)
        return self._failure

    def _write(self, bodies: Sequence[bytes]) -> None:
        """Write into the active segment, which has the space."""
        if not bodies:
            return
        data = segment.pack_records(bodies, self._head_lsn)
        self._write_is_pending = True
        try:
            segment.write_all(self._fd, data, self._offset)
            segment.sync_data(self._fd)
        except OSError as error:
            raise self._fail(error) from error
        self._write_is_pending = False
        self._sealed = False
        self._offset += len(data)
        self._room_bytes -= len(data)
        self._head_lsn += len(bodies)

    def _roll(self) -> None:
        """Continue in a prepared segment. Everything before it is durable, and its existence proves that. Raises
        OSError."""
        ready = self._ready.pop()
        path = os.path.join(self._directory, segment.file_name(self._head_lsn + 1))
        fd = os.open(ready, os.O_RDWR | os.O_CLOEXEC)
        try:
            segment.write_all(fd, segment.pack_header(self._head_lsn + 1, self._segment_bytes), 0)
            segment.sync_data(fd)
            atomic_file.move(ready, path)
        except OSError:
            os.close(fd)
            raise
        with self._lock:
            # A segment without any valid record has the same name, and was just replaced.
            if self._segments and self._segments[-1][1] == path:
                self._segments.pop()
            self._segments.append((self._head_lsn + 1, path))
        if self._fd >= 0:
            os.close(self._fd)
        self._active_is_reserve = self._reserve_is_used
        self._use(fd, self._segment_bytes)

    def _use(self, fd: int, size: int) -> None:
        self._fd = fd
        self._offset = HEADER_BYTES
        self._room_bytes = size - HEADER_BYTES - SEAL_BYTES
        self._sealed = True  # by the header

    def _reserve_is_restored(self) -> bool:
        """Whether the reserve is whole again. If the disk has space for it, it is made here: otherwise the next
        batches would use that space first."""
        free_bytes = self._free_bytes()
        with self._lock:
            is_whole = RESERVE in self._prepared
        if free_bytes - (0 if is_whole else self._segment_bytes) < self._reserve_bytes:
            return False
        if not is_whole and not self._make_reserve():
            return False
        self._reserve_is_used = self._active_is_reserve = False
        return True

    def _make_reserve(self) -> bool:
        path = self._ready_path()
        try:
            segment.make_zeros(path, self._segment_bytes)
            with self._lock:
                if RESERVE in self._prepared:  # the other thread has made it meanwhile
                    self._ready.append(path)
                else:
                    os.rename(path, os.path.join(self._directory, RESERVE))
                    self._prepared.add(RESERVE)
        except OSError as error:
            if error.errno in disk.FULL:
                return False
            raise self._fail(error) from error
        return True

    def _reserve_segments(self, count: int, *, from_reserve: bool) -> bool:
        """Have at least `count` prepared segments; false if the disk has no space for them."""
        try:
            if self._take_segments(count, (SPARE,), self._reserve_bytes):
                return True
            if from_reserve and self._take_segments(count, (SPARE, RESERVE), 0):
                self._reserve_is_used = True
                return True
        except OSError as error:
            raise self._fail(error) from error
        return False

    def _take_segments(self, count: int, names: tuple[str, ...], floor_bytes: int) -> bool:
        """Take the prepared segments of these names, and make the missing ones; at least `floor_bytes` stay free."""
        if len(self._ready) >= count:
            return True
        with self._lock:
            takable = [name for name in names if name in self._prepared]
        make = max(0, count - len(self._ready) - len(takable))
        if self._free_bytes() - make * self._segment_bytes < floor_bytes:
            return False
        try:
            for _ in range(make):
                path = self._ready_path()
                segment.make_zeros(path, self._segment_bytes)
                self._ready.append(path)
        except OSError as error:
            if error.errno in disk.FULL:
                return False
            raise
        for name in takable[: count - len(self._ready)]:
            path = self._ready_path()
            with self._lock:
                os.rename(os.path.join(self._directory, name), path)
                self._prepared.discard(name)
            self._ready.append(path)
        return True

    def _ready_path(self) -> str:
        self._ready_count += 1
        return os.path.join(self._directory, f"{READY}{self._ready_count}")

    def _free_bytes(self) -> int:
        try:
            return disk.free_bytes(self._directory)
        except OSError as error:
            raise self._fail(error) from error


def _failed(directory: str, why: OSError | str) -> FatalError:
    return FatalError(
        "JOURNAL_FAILED",
        f"the journal in {directory} can't be used any more: {why}",
        "Look at the disk (free space, the kernel's log), then start the broker again: accepted messages are safe.",
    )


def _storage_full(directory: str) -> MaestroError:
    return MaestroError(
        "STORAGE_FULL",
        f"the disk has no room for the journal in {directory}",
        "Free some space; the broker continues by itself.",
        retry_after_s=2.0,
    )
