"""Follow: the records of the timeline after an LSN, as they are written.

Rule: it only reads, and yields whole records. The broker may cut off half a line, or lines of a record that it writes
again with the same bytes; a whole record is never taken back.
"""

from __future__ import annotations

import os
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from maestro_broker.views.timeline import Timeline, decode_line
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_schemas.events import Event

_CHUNK_BYTES = 1 << 18
_lsn_of = attrgetter("lsn")


class TimelineFollower:
    """Reads `<data>/timeline` forward."""

    def __init__(self, directory: str, after: int) -> None:
        self._directory = directory
        self._timeline = Timeline(directory, is_read_only=True)
        self._after = after
        self._name = ""
        self._fd = -1
        self._offset = 0
        # The events of a record that has more.
        self._begun: list[Event] = []

    def close(self) -> None:
        """Close the file that it reads."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def first_lsn(self) -> int | None:
        """The oldest record's LSN; None if there is none."""
        return self._timeline.first_lsn()

    def records(self) -> list[list[Event]]:
        """The next records, some hundreds at most, each as its events; none if there are no more yet."""
        while True:
            if self._fd < 0 and not self._open_first():
                return []
            lines = self._lines()
            if not lines:
                if not self._open_next():
                    return []
                continue
            found = self._whole(self._decoded(lines))
            if found:
                return found

    def unread_bytes(self) -> int:
        """The bytes of lines that were not read yet; as good as all of a day that has a successor."""
        if self._fd < 0:
            return 0
        left = os.fstat(self._fd).st_size - self._offset
        return left or (_CHUNK_BYTES if any(name > self._name for name in self._timeline.names()) else 0)

    def _decoded(self, lines: list[bytes]) -> Iterator[Event]:
        for line in lines:
            try:
                event = decode_line(line)
            except MaestroError:
                continue  # `maestro spool verify` reports it
            if event.lsn > self._after:
                yield event

    def _whole(self, events: Iterator[Event]) -> list[list[Event]]:
        found = [list(group) for _, group in groupby((*self._begun, *events), _lsn_of)]
        self._begun = []
        if found and found[-1][-1].index + 1 < found[-1][-1].of:
            self._begun = found.pop()
        if found:
            self._after = found[-1][0].lsn
        return found

    def _lines(self) -> list[bytes]:
        chunk = os.pread(self._fd, _CHUNK_BYTES, self._offset)
        end = chunk.rfind(b"\n") + 1
        self._offset += end
        return chunk[:end].splitlines()

    def _open_first(self) -> bool:
        place = self._timeline.place_after(self._after)
        if place is None:
            return False
        self._name, self._offset = place
        return self._open()

    def _open_next(self) -> bool:
        later = [name for name in self._timeline.names() if name > self._name]
        if not later:
            return False
        # A day that has a successor gets no more lines: what came since the last look is read first.
        if os.fstat(self._fd).st_size > self._offset and self._has_line():
            return True
        self.close()
        self._name, self._offset = later[0], 0
        return self._open()

    def _has_line(self) -> bool:
        return b"\n" in os.pread(self._fd, _CHUNK_BYTES, self._offset)

    def _open(self) -> bool:
        try:
            self._fd = places.open_file(os.path.join(self._directory, self._name), os.O_RDONLY)
        except FileNotFoundError:  # the sweep has removed it
            return False
        return True
