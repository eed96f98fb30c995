"""Journals: short ways to open, fill and damage journals in tests.

Rule: opens only through the public API, and damages only files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_broker.commit.local import segment
from maestro_broker.commit.local.journal import Journal
from maestro_broker.commit.local.scanning import JournalRecovery

if TYPE_CHECKING:
    from collections.abc import Sequence

SEGMENT_BYTES = 4096


def open_journal(
    directory: str, *, after_lsn: int = 0, segment_bytes: int = SEGMENT_BYTES, reserve_bytes: int = 0
) -> tuple[Journal, JournalRecovery]:
    """Small segments and no reserve of free space, unless asked for."""
    return Journal.open(directory, segment_bytes=segment_bytes, reserve_bytes=reserve_bytes, after_lsn=after_lsn)


def fill(directory: str, batches: Sequence[Sequence[bytes]], *, segment_bytes: int = SEGMENT_BYTES) -> None:
    """A journal with these batches, stopped in good order (and so sealed)."""
    journal, _ = open_journal(directory, segment_bytes=segment_bytes)
    for batch in batches:
        journal.submit(batch)
    journal.close()


def abandon(journal: Journal) -> None:
    """Release a journal as a killed process does: nothing more is written."""
    os.close(journal._fd)
    journal._fd = -1


def bodies(recovery: JournalRecovery) -> list[bytes]:
    """The recovered bodies, after a look at their LSNs."""
    lsns = [lsn for lsn, _ in recovery.records]
    assert lsns == sorted(set(lsns))
    return [body for _, body in recovery.records]


def numbered(count: int, start: int = 1) -> list[bytes]:
    """Different bodies of several lengths."""
    return [b"record %d " % number * (1 + number % 4) for number in range(start, start + count)]


def segments(directory: str) -> list[str]:
    """Paths of the segments, in order."""
    return [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if segment.named_lsn(name)]


def read(path: str) -> bytes:
    """A file's bytes."""
    with open(path, "rb") as file:
        return file.read()


def write(path: str, content: bytes) -> None:
    """Replace a file's bytes."""
    with open(path, "wb") as file:
        file.write(content)


def flip(path: str, offset: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    content = bytearray(read(path))
    content[offset] ^= 1 << bit
    write(path, bytes(content))


def entries(path: str) -> list[segment.SegmentRecord]:
    """The whole records and seals of a segment."""
    return list(segment.scan(read(path), 0))
