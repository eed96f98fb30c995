"""Timeline: the audit log, one JSON line for each event, one file for each day. `dead_letters` has a second one.

Rule: lines are in the order of (LSN, index), and each occurs once. The newest line says how far the timeline is, so
that a replay after a crash adds what is missing and nothing twice, also within one record. It never contains message
text.
"""

from __future__ import annotations

import os
import re
import time
from bisect import bisect_left, bisect_right
from collections import deque
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from maestro_runtime import places
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SUFFIX = ".jsonl"
_NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\.jsonl")
_TAIL_BYTES = 1 << 16
# No line is longer; and how near a search by bisection comes to its line.
_LINE_BYTES_MAX = 1 << 13
_CHUNK_BYTES = 1 << 14
# Kept in memory: a reader of the newest events asks for a few lines at a time, a hundred times a second.
_RECENT = 2_048

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Event)
_lsn_of = attrgetter("lsn")
_at_of = attrgetter("at")


class Timeline:
    """`<data>/timeline/YYYY-MM-DD.jsonl` (UTC). Written by the spool writer's thread, read by the main loop, and with
    `is_read_only` by the process of the search index."""

    def __init__(self, directory: str, *, is_read_only: bool = False) -> None:
        self._directory = directory
        self._fd = -1
        self._day = ""
        self._midnight_ms = 0
        self._recent: deque[Event] = deque(maxlen=_RECENT)
        if is_read_only:
            return
        os.makedirs(directory, mode=0o700, exist_ok=True)
        # Of the newest line; 0 if there is none.
        self.last_lsn, self._last_index = self._cut_torn_line()

    def append(self, events: Iterable[Event]) -> None:
        """Write the events that the timeline does not have yet. Raises OSError; the call can be repeated."""
        new: list[Event] = []
        last = (self.last_lsn, self._last_index)
        for event in events:
            if (event.lsn, event.index) <= last:
                continue
            if event.at >= self._midnight_ms:
                self._write(new)
                new = []
                self._open(event.at)
            new.append(event)
            last = (event.lsn, event.index)
        self._write(new)

    def close(self) -> None:
        """Close the day's file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._midnight_ms = 0

    def begins_after(self, lsn: int) -> int | None:
        """The oldest line's LSN, if a line above `lsn` may have been removed; None if none was."""
        if lsn >= self.last_lsn:
            return None
        try:
            if _is_after(self._recent[0], lsn):
                return None
        except IndexError:
            pass
        first = self.first_lsn()
        return first if first is not None and lsn < first - 1 else None

    def first_lsn(self) -> int | None:
        """The oldest line's LSN; None if there is none."""
        for name in self.names():
            first = self._first_of(name)
            if first is not None:
                return first
        return None

    def place_after(self, lsn: int) -> tuple[str, int] | None:
        """A day's file name and the offset of a line at or before the first one above `lsn`; None without files."""
        start = None
        for name in self.names():
            first = self._first_of(name)
            if start is None or (first is not None and first <= lsn + 1):
                start = name
        if start is None:
            return None
        with _opened(os.path.join(self._directory, start)) as file:
            return start, self._offset_before(file.fileno(), lambda event: event.lsn <= lsn)

    def names(self) -> list[str]:
        """The names of the days' files, the oldest first."""
        # Only the timeline's own files: a foreign file must not be read, nor its last line cut off.
        return sorted(name for name in os.listdir(self._directory) if _NAME.fullmatch(name))

    def last_before(self, at_ms: int) -> int:
        """An LSN near the last one before `at_ms`, with all earlier ones before `at_ms` too; 0 if there is none.

        The records' clock never runs backwards, so `at` has the same order as the LSN.
        """
        recent = list(self._recent)  # one atomic copy, because the spool writer's thread appends to it
        if recent and recent[0].at < at_ms:
            return recent[bisect_left(recent, at_ms, key=_at_of) - 1].lsn
        oldest = 1
        for name in reversed(self.names()):
            first = self._first_line(name)
            if first is not None and first.at < at_ms:
                with _opened(os.path.join(self._directory, name)) as file:
                    file.seek(self._offset_before(file.fileno(), lambda event: event.at < at_ms))
                    line = file.readline()
                return decode_line(line).lsn - 1 if line.endswith(b"\n") else first.lsn
            oldest = first.lsn if first is not None else oldest
        # If older files were removed, nothing in them is wanted.
        return oldest - 1

    def read(self, after: int) -> Iterator[Event]:
        """Yield the events with an LSN above `after`, oldest first. Raises MaestroError CORRUPT, CURSOR_EXPIRED."""
        if after >= self.last_lsn:
            return
        recent = list(self._recent)  # one atomic copy, because the spool writer's thread appends to it
        if recent and _is_after(recent[0], after):
            yield from islice(recent, bisect_right(recent, after, key=_lsn_of), None)
            return
        names = self.names()
        start = 0
        for index, name in enumerate(names):
            first = self._first_of(name)
            if first is not None and first <= after + 1:
                start = index
        # The spool writer may be writing the lines of a record: of these, none or all.
        last_lsn = self.last_lsn
        for name in names[start:]:
            for event in self._read_file(name, after):
                if event.lsn > last_lsn:
                    return
                if event.lsn > after:
                    yield event

    def read_back(self, before: int | None = None) -> Iterator[Event]:
        """Yield all events, or those with an LSN below `before`, newest first. Raises MaestroError CORRUPT,
        CURSOR_EXPIRED."""
        for lines in self.lines_back(before):
            yield from map(decode_line, lines)

    def lines_back(self, before: int | None = None, until_ms: int | None = None) -> Iterator[list[bytes]]:
        """Yield the lines, or those with an LSN below `before` and a time before `until_ms`, newest first, some
        hundreds at a time: to decode a line takes longer than to see whether it is wanted. Raises as `read_back`."""
        is_below = None if before is None and until_ms is None else partial(_is_below, before, until_ms)
        for name in reversed(self.names()):
            first = self._first_line(name)
            if first is None or (is_below is not None and not is_below(first)):
                continue
            with _opened(os.path.join(self._directory, name)) as file:
                size = os.fstat(file.fileno()).st_size
                if is_below is not None:
                    # The first line that is not wanted begins within a chunk after the offset.
                    size = min(size, self._offset_before(file.fileno(), is_below) + _CHUNK_BYTES + _LINE_BYTES_MAX)
                for lines in _blocks_back(file.fileno(), size):
                    if is_below is None:
                        yield lines
                    elif is_below(decode_line(lines[-1])):
                        yield lines[bisect_left(lines, 1, key=_of_line(is_below)) :]
                        is_below = None

    def files_before(self, at_ms: int) -> list[str]:
        """The paths of the days that were over by then. Without the newest file, which says how far the timeline
        is."""
        day = time.strftime("%Y-%m-%d", time.gmtime(max(0, at_ms) / 1000))
        return [os.path.join(self._directory, name) for name in self.names()[:-1] if name < day + _SUFFIX]

    def _read_file(self, name: str, after: int) -> Iterator[Event]:
        with _opened(os.path.join(self._directory, name)) as file:
            file.seek(self._offset_before(file.fileno(), lambda event: event.lsn <= after))
            for line in file:
                if line.endswith(b"\n"):  # the spool writer may be writing the last line
                    yield decode_line(line)

    def _offset_before(self, fd: int, is_before: Callable[[Event], bool]) -> int:
        """The offset of a line at or before the first one for which `is_before` is false: bisection over bytes."""
        low, high = 0, os.fstat(fd).st_size
        while high - low > _CHUNK_BYTES:
            middle = (low + high) // 2
            chunk = os.pread(fd, 2 * _LINE_BYTES_MAX, middle)
            start = chunk.find(b"\n") + 1
            end = chunk.find(b"\n", start)
            if start == 0 or end < 0:
                return low
            if is_before(decode_line(chunk[start:end])):
                low = middle + start
            else:
                high = middle
        return low

    def _first_of(self, name: str) -> int | None:
        first = self._first_line(name)
        return first.lsn if first is not None else None

    def _first_line(self, name: str) -> Event | None:
        try:
            with open(places.open_file(os.path.join(self._directory, name), os.O_RDONLY), "rb") as file:
                line = file.readline()
        except FileNotFoundError:  # the sweep has removed it
            return None
        return decode_line(line) if line.endswith(b"\n") else None

    def _cut_torn_line(self) -> tuple[int, int]:
        """Cut off a last line that a crash left half written; return the newest LSN and index."""
        for name in reversed(self.names()):
            path = os.path.join(self._directory, name)
            with open(places.open_file(path, os.O_RDWR), "r+b") as file:
                size = file.seek(0, os.SEEK_END)
                for line, end in _lines_back_with_ends(file.fileno(), size):
                    try:
                        event = decode_line(line)
                    except MaestroError:
                        continue
                    file.truncate(end)
                    return event.lsn, event.index
                file.truncate(0)
        return 0, 0

    def _open(self, at_ms: int) -> None:
        self.close()
        day = time.strftime("%Y-%m-%d", time.gmtime(at_ms / 1000))
        path = os.path.join(self._directory, day + _SUFFIX)
        self._fd = places.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._midnight_ms = (at_ms // 86_400_000 + 1) * 86_400_000

    def _write(self, events: list[Event]) -> None:
        if not events:
            return
        before = os.fstat(self._fd).st_size
        data = memoryview(b"\n".join([*map(_encode, events), b""]))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            # A full disk takes only a part. No line may follow half a line.
            os.ftruncate(self._fd, before)
            raise
        # In this order: a reader that sees the new `last_lsn` finds the events.
        self._recent.extend(events)
        self._last_index = events[-1].index
        self.last_lsn = events[-1].lsn


def _is_after(first: Event, lsn: int) -> bool:
    """Whether lines from `first` on have every event above `lsn`. The oldest one kept may be in a record's middle."""
    return first.lsn <= lsn or (first.lsn == lsn + 1 and not first.index)


def _is_below(lsn: int | None, at_ms: int | None, event: Event) -> bool:
    return (lsn is None or event.lsn < lsn) and (at_ms is None or event.at < at_ms)


def _of_line(is_below: Callable[[Event], bool]) -> Callable[[bytes], bool]:
    return lambda line: is_below(decode_line(line))


def decode_line(line: bytes) -> Event:
    """The event of a line. Raises MaestroError CORRUPT."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MaestroError("CORRUPT", f"a line of the timeline can't be read: {error}") from None


def _opened(path: str) -> BinaryIO:
    """Open a day's file. Raises MaestroError CURSOR_EXPIRED if the sweep has removed it since it was listed."""
    try:
        return open(places.open_file(path, os.O_RDONLY), "rb")
    except FileNotFoundError:
        raise MaestroError(
            "CURSOR_EXPIRED",
            f"{path} was older than the retention, and was removed",
            "Ask again, from a later cursor.",
        ) from None


def _blocks_back(fd: int, size: int) -> Iterator[list[bytes]]:
    """Yield whole lines from the last to the first, in lists of what one read finds. What follows the last newline is
    no line."""
    rest: bytes | None = None
    while size > 0:
        start = max(0, size - _TAIL_BYTES)
        chunk = os.pread(fd, size - start, start)
        size = start
        if rest is None:
            chunk = chunk[: chunk.rfind(b"\n") + 1]
            if not chunk:
                continue
            chunk = chunk[:-1]
        lines = (chunk + (rest or b"")).split(b"\n")
        # Where the read began, a line may have begun before.
        rest = lines.pop(0) if start else b""
        if lines:
            yield lines[::-1]


def _lines_back_with_ends(fd: int, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines from the last to the first, each with the offset after its newline."""
    position, buffer = size, b""

    def more() -> None:
        nonlocal position, buffer
        start = max(0, position - _TAIL_BYTES)
        buffer = os.pread(fd, position - start, start) + buffer
        position = start

    while b"\n" not in buffer and position > 0:
        more()
    buffer = buffer[: buffer.rfind(b"\n") + 1]  # bytes after the last newline are no line
    while True:
        cut = buffer.rfind(b"\n", 0, max(0, len(buffer) - 1))
        if cut < 0 and position > 0:
            more()
        elif not buffer:
            return
        else:
            yield buffer[cut + 1 : -1], position + len(buffer)
            buffer = buffer[: cut + 1]
