"""Corruption, exhaustively: a segment of 200 records cut at every byte, and every bit of it flipped.

It runs at the journal, without a broker, because it takes about 200,000 recoveries. Each recovery returns every whole
record and reports every lost one. The short form takes every 61st place.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

from maestro_broker.commit.local import segment
from support.journals import abandon, entries, open_journal, read, segments, write

if TYPE_CHECKING:
    from collections.abc import Sequence

RECORDS = 200
BATCH = 9
PROCESSES = 2
SAMPLE = 61


class Share(NamedTuple):
    """The part of one process: the places from `first` on, in steps of `step`."""

    content: bytes
    first: int
    step: int


def _bodies() -> list[bytes]:
    return [b"message %d " % number + b"x" * (number % 31) for number in range(1, RECORDS + 1)]


def _segment_bytes() -> int:
    """Just large enough for all records, so that few places are in the zeros after them."""
    return (
        segment.HEADER_BYTES + sum(segment.RECORD_BYTES + len(body) for body in _bodies()) + 10 * segment.SEAL_BYTES
    )


def _scratch() -> str:
    root = tempfile.mkdtemp(prefix="mm-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    directory = os.path.join(root, "messages", "journal")
    os.makedirs(directory)
    return directory


def _written() -> bytes:
    """The bytes of a segment with all records, after an orderly stop."""
    directory = _scratch()
    try:
        journal, _ = open_journal(directory, segment_bytes=_segment_bytes())
        bodies = _bodies()
        for start in range(0, RECORDS, BATCH):
            journal.submit(bodies[start : start + BATCH])
        journal.close()
        [path] = segments(directory)
        return read(path)
    finally:
        shutil.rmtree(os.path.dirname(os.path.dirname(directory)))


def _recover(directory: str, content: bytes) -> tuple[list[tuple[int, bytes]], list[tuple[int, int]], list[str], int]:
    """Recover one segment. Returns its records, the missing LSNs, the warnings and the head LSN."""
    root = os.path.dirname(directory)
    for name in os.listdir(directory):
        os.unlink(os.path.join(directory, name))
    shutil.rmtree(os.path.join(root, "quarantine"), ignore_errors=True)
    write(os.path.join(directory, segment.file_name(1)), content)
    journal, recovery = open_journal(directory, segment_bytes=_segment_bytes())
    abandon(journal)
    return recovery.records, recovery.missing_lsns, recovery.warnings(), journal.head_lsn


def _flip(share: Share) -> tuple[int, list[str]]:
    """Flip each bit of the share. Returns the number of bits, and the faults."""
    directory = _scratch()
    wrong = []
    expected = list(enumerate(_bodies(), 1))
    write(os.path.join(directory, segment.file_name(1)), share.content)
    places = [
        (entry.offset, entry.end, entry.lsn) for entry in entries(segments(directory)[0]) if entry.body is not None
    ]
    owner = {offset: lsn for start, end, lsn in places for offset in range(start, end)}
    bits = range(share.first, len(share.content) * 8, share.step)
    for bit in bits:
        offset = bit // 8
        flipped = bytearray(share.content)
        flipped[offset] ^= 1 << bit % 8
        records, missing, warnings, head = _recover(directory, bytes(flipped))
        hit = owner.get(offset)
        right = records == [one for one in expected if one[0] != hit] and head == RECORDS
        right &= missing == ([] if hit is None else [(hit, hit)])
        # Damage to a seal or to the zeros loses nothing, and causes no warning.
        right &= bool(warnings) == (hit is not None or offset < segment.HEADER_BYTES)
        if not right:
            wrong.append(f"bit {bit}: {len(records)} records, missing {missing}, {warnings}")
    shutil.rmtree(os.path.dirname(os.path.dirname(directory)))
    return len(bits), wrong


def _cut(share: Share) -> tuple[int, list[str]]:
    """Cut the segment at each byte of the share. Returns the number of cuts, and the faults."""
    directory = _scratch()
    wrong = []
    expected = list(enumerate(_bodies(), 1))
    write(os.path.join(directory, segment.file_name(1)), share.content)
    ends = [entry.end for entry in entries(segments(directory)[0]) if entry.body is not None]
    cuts = range(share.first, len(share.content), share.step)
    for cut in cuts:
        records, _, warnings, _ = _recover(directory, share.content[:cut])
        if records != expected[: sum(end <= cut for end in ends)] or not warnings:
            wrong.append(f"cut at {cut}: {len(records)} records, {warnings}")
    shutil.rmtree(os.path.dirname(os.path.dirname(directory)))
    return len(cuts), wrong


def _sweep(step: int, capsys: pytest.CaptureFixture[str]) -> None:
    content = _written()
    shares = [Share(content, number * step, step * PROCESSES) for number in range(PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        flipped, cut = pool.map_async(_flip, shares), pool.map_async(_cut, shares)
        flips, bad_flips = _sum(flipped.get())
        cuts, bad_cuts = _sum(cut.get())
    with capsys.disabled():
        print(
            f"\n  a segment of {RECORDS} records, {len(content):,} bytes: {flips:,} bits flipped, {len(bad_flips)} "
            f"neither healed nor reported; cut at {cuts:,} bytes, {len(bad_cuts)} not healed and reported"
        )
    assert bad_flips[:5] == []
    assert bad_cuts[:5] == []


def _sum(parts: Sequence[tuple[int, list[str]]]) -> tuple[int, list[str]]:
    return sum(count for count, _ in parts), [one for _, wrong in parts for one in wrong]


@pytest.mark.timeout(180)
def test_corruption_of_every_61st_place(capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, which every run includes."""
    _sweep(SAMPLE, capsys)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_corruption_of_every_bit(capsys: pytest.CaptureFixture[str]) -> None:
    """The form whose figure is in docs/durability.md."""
    _sweep(1, capsys)
