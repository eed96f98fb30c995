"""Journal: the commit log on the local disk.

Rule: `submit` returns when all of a batch is on disk, and nobody is told of it before. A failed write or fsync ends
the journal for good: the kernel drops what it could not write and the next fsync would report success. Room is
asked for before anything is written, so that a full disk is a refusal and never half a batch.

The main thread appends; the filer's thread prepares spare segments and releases old ones.
docs/decisions/0002-journal-format.md has the format and the reasons.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from maestro_broker.files import disk
from maestro_runtime import atomic_file
from maestro_schemas.errors import FatalError, MaestroError

from . import repair, segment
from .scanning import ASIDE, READY, RESERVE, SPARE, JournalRecovery, catalogue
from .segment import HEADER_BYTES, RECORD_BYTES, SEAL_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .repair import RepairedDirectory


def first_segment_lsn(directory: str) -> int | None:
    """The first LSN of the oldest segment; None where there is none, or no directory.

    Raises OSError, and MaestroError FORMAT_UNSUPPORTED.
    """
    if not os.path.isdir(directory):
        return None
    listed = catalogue(directory)
    return min((place.first_lsn for place in (*listed.places, *listed.misnamed)), default=None)


class Journal:
    """An open journal, ready to append. Made by `Journal.open`.

    Every method raises FatalError JOURNAL_FAILED after a failure, and after `close`.
    """

    def __init__(self, directory: str, ground: RepairedDirectory, *, segment_bytes: int, reserve_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._head_lsn = ground.head_lsn
        self._fd = -1
        self._offset = 0  # where the next record goes, in the active segment
        self._room_bytes = 0  # what records may still take there; the last seal's place is kept free
        self._sealed = True
        self._unsettled = False  # a write began and nobody knows how it ended
        self._failure: FatalError | None = None
        self._newly_committed: int | None = None  # for `committed`
        # Segments made ready for this thread, under names that nobody else takes.
        self._ready: list[str] = []
        self._ready_count = 0
        # The reserve was drawn on, and is what the active segment stands in: not for ordinary appends.
        self._strained = False
        self._active_is_reserve = False
        # Shared with the filer's thread: the files SPARE and RESERVE, and the list of segments.
        self._lock = threading.Lock()
        self._prepared = ground.prepared
        self._segments = ground.segments

    @classmethod
    def open(
        cls, directory: str, *, segment_bytes: int, reserve_bytes: int, after_lsn: int, attested_lsn: int = 0
    ) -> tuple[Journal, JournalRecovery]:
        """Recover the records above `after_lsn` (the checkpoint) and make ready for appending.

        `attested_lsn`: the newest record of which somebody else knows that it was durable, so that a journal that
        ends before it has lost its end, and no number is given twice.

        `segment_bytes`: the size of a new segment. `reserve_bytes`: the free space that ordinary batches leave.
        An interrupted call can be repeated. Raises MaestroError FORMAT_UNSUPPORTED, FatalError JOURNAL_FAILED, or
        STORAGE_FULL if the disk cannot even hold the journal's tail. With less space than one segment takes, the
        journal opens, and ordinary batches are refused until there is more.
        """
        try:
            recovery, ground = repair.repair_directory(
                directory, segment_bytes=segment_bytes, after_lsn=after_lsn, attested_lsn=attested_lsn
            )
            journal = cls(directory, ground, segment_bytes=segment_bytes, reserve_bytes=reserve_bytes)
            # First, for on a full disk their room is needed.
            journal.release(after_lsn)
            if ground.empty is not None:
                journal._use(os.open(ground.empty, os.O_RDWR | os.O_CLOEXEC), segment_bytes)
            elif journal._gather(1, (SPARE,), reserve_bytes):
                # A new segment at each start: of a recovered one it is not known what the disk holds in the place
                # of the zeros that the page cache shows.
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
        """What the segments take on the disk, with those that are prepared."""
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
        self._check()
        lsn, self._newly_committed = self._newly_committed, None
        return lsn

    def _append(self, bodies: Sequence[bytes], *, from_reserve: bool) -> None:
        self._check()
        if self._active_is_reserve and not from_reserve and not self._is_relieved():
            raise _storage_full(self._directory)
        need_bytes = sum(map(len, bodies)) + RECORD_BYTES * len(bodies)
        if need_bytes <= self._room_bytes:
            self._write(bodies)
            return
        pieces = segment.split(bodies, self._room_bytes, self._fresh_room_bytes)
        if not self._obtain(len(pieces) - 1, from_reserve=from_reserve):
            raise _storage_full(self._directory)
        for index, piece in enumerate(pieces):
            if index:
                try:
                    self._roll()
                except OSError as error:
                    raise self._fail(error) from error
            self._write(piece)

    def has_room(self, body_bytes: int, *, from_reserve: bool = False) -> bool:
        """Whether an append of this size will not be refused; a promise, for what it takes is set aside now.

        `body_bytes`: of all bodies of the next append together, and segment.RECORD_BYTES for each. Without
        `from_reserve` the answer is for ordinary appends.
        """
        if body_bytes <= self._room_bytes and not self._strained:
            return True
        self._check()
        if self._strained and not from_reserve and not self._is_relieved():
            return False
        if body_bytes <= self._room_bytes:
            return True
        # Two neighbours together hold more than one segment's room, or the second would not have been begun.
        fresh = self._fresh_room_bytes
        count = 1 if body_bytes <= fresh else 1 + 2 * body_bytes // fresh
        return self._obtain(count, from_reserve=from_reserve)

    def seal(self) -> None:
        """Attest that everything appended is durable, without a sync; for when nothing else is to be done.

        Makes a later bit flip in the last batch corruption rather than a torn write. Takes no LSN; the next append
        overwrites it. Does nothing where it was done.
        """
        self._check()
        if not self._sealed:
            self._unsettled = True
            try:
                segment.write_all(self._fd, segment.pack_seal(self._head_lsn), self._offset)
            except OSError as error:
                raise self._fail(error) from error
            self._unsettled = False
            self._sealed = True

    def release(self, upto_lsn: int) -> None:
        """Everything up to `upto_lsn` is filed and durable there: remove segments wholly below. From any thread.

        The last segment stays, so that a directory without any is a thing to report.
        """
        self._check_failure()
        with self._lock:
            keep = 0
            while keep + 1 < len(self._segments) and self._segments[keep + 1][0] <= upto_lsn + 1:
                keep += 1
            gone, self._segments = self._segments[:keep], self._segments[keep:]
        try:
            for _, path in gone:  # the oldest first, so that what an interruption leaves has no gap
                if os.path.exists(path):
                    os.unlink(path)
            if gone:
                atomic_file.sync_directory(self._directory)
        except OSError as error:
            raise self._fail(error) from error

    def prepare_spare(self) -> None:
        """Make the reserve and the next segment ahead of time, where they are missing and the disk has room; cheap
        where they are not. From any one other thread.
        """
        self._check_failure()
        for name in (RESERVE, SPARE):
            with self._lock:
                there = name in self._prepared
            if there:
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
        """Seal, and refuse every further call. Closing again does nothing."""
        try:
            if self._failure is None and not self._unsettled:
                self.seal()
        finally:
            if self._failure is None:
                self._failure = FatalError("JOURNAL_FAILED", "the journal is closed", "Start the broker again.")
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    # --- inside ------------------------------------------------------------------------------------------

    @property
    def _fresh_room_bytes(self) -> int:
        return self._segment_bytes - HEADER_BYTES - SEAL_BYTES

    def _check(self) -> None:
        if self._unsettled:
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
        """Into the active segment, which has the room."""
        if not bodies:
            return
        data = segment.pack_records(bodies, self._head_lsn)
        self._unsettled = True
        try:
            segment.write_all(self._fd, data, self._offset)
            segment.sync_data(self._fd)
        except OSError as error:
            raise self._fail(error) from error
        self._unsettled = False
        self._sealed = False
        self._offset += len(data)
        self._room_bytes -= len(data)
        self._head_lsn += len(bodies)

    def _roll(self) -> None:
        """Go on in a segment that was made ready; all before is durable, which its being in place attests.

        Raises OSError.
        """
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
            # A segment in which nothing was valid has the name of its follower, and was just replaced.
            if self._segments and self._segments[-1][1] == path:
                self._segments.pop()
            self._segments.append((self._head_lsn + 1, path))
        if self._fd >= 0:
            os.close(self._fd)
        self._active_is_reserve = self._strained
        self._use(fd, self._segment_bytes)

    def _use(self, fd: int, size: int) -> None:
        self._fd = fd
        self._offset = HEADER_BYTES
        self._room_bytes = size - HEADER_BYTES - SEAL_BYTES
        self._sealed = True  # by the header

    def _is_relieved(self) -> bool:
        """Whether the reserve is whole again; where there is room for it and nobody has made it yet, it is made here,
        for otherwise the next appends would take that room first."""
        free_bytes = self._free_bytes()
        with self._lock:
            whole = RESERVE in self._prepared
        if free_bytes - (0 if whole else self._segment_bytes) < self._reserve_bytes:
            return False
        if not whole and not self._make_reserve():
            return False
        self._strained = self._active_is_reserve = False
        return True

    def _make_reserve(self) -> bool:
        path = self._ready_path()
        try:
            segment.make_zeros(path, self._segment_bytes)
            with self._lock:
                if RESERVE in self._prepared:  # the other thread was quicker
                    self._ready.append(path)
                else:
                    os.rename(path, os.path.join(self._directory, RESERVE))
                    self._prepared.add(RESERVE)
        except OSError as error:
            if error.errno in disk.FULL:
                return False
            raise self._fail(error) from error
        return True

    def _obtain(self, count: int, *, from_reserve: bool) -> bool:
        """Have at least so many segments ready; False where the disk has no room for them."""
        try:
            if self._gather(count, (SPARE,), self._reserve_bytes):
                return True
            if from_reserve and self._gather(count, (SPARE, RESERVE), 0):
                self._strained = True
                return True
        except OSError as error:
            raise self._fail(error) from error
        return False

    def _gather(self, count: int, names: tuple[str, ...], floor_bytes: int) -> bool:
        """Take the prepared segments of these names, and make what is missing; at least `floor_bytes` stay free."""
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
        "Look at the disk (free space, the kernel's log), then start the broker again: what was accepted is safe.",
    )


def _storage_full(directory: str) -> MaestroError:
    return MaestroError(
        "STORAGE_FULL",
        f"the disk has no room for the journal in {directory}",
        "Free some space; it goes on by itself.",
        retry_after_s=2.0,
    )
