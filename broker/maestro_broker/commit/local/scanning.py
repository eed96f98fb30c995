"""Journal scan: what is in a journal's directory, and which of it is true.

Rule: reads and judges, changes nothing. One question decides about every hole: was what is missing known durable?
It was if anything later says so: the synced LSN of a later record or seal, or a later segment, which is put in
place only after all before it was synced. Then the hole is corruption, and what is whole after it is served.
Otherwise it is the torn end of a batch that nobody was told of, and everything from there on is dropped.
"""

from __future__ import annotations

import os
import stat
from typing import Literal, NamedTuple

from maestro_schemas import DATA_FORMAT_VERSION
from maestro_schemas.errors import MaestroError

from . import segment
from .segment import HEADER_BYTES, Header, SegmentRecord

SPARE = "spare"
RESERVE = "reserve"
READY = "ready-"
ASIDE = ".tmp"


class SegmentFile(NamedTuple):
    """A segment file before its records are read; `header` is None where it is broken."""

    path: str
    first_lsn: int
    header: Header | None


class Catalogue(NamedTuple):
    """A journal's directory. `places` in the order of their LSNs, one for each first LSN.

    `misnamed`: the header is whole and says another first LSN than the name, which no other file has.
    `duplicates`: the same where another file has it. `aside`: what an interrupted process left, of no use.
    `prepared`: of SPARE and RESERVE those that are there.
    """

    places: list[SegmentFile]
    misnamed: list[SegmentFile]
    duplicates: list[SegmentFile]
    aside: list[str]
    prepared: list[str]
    foreign: list[str]


class ScannedSegment(NamedTuple):
    """A segment that was read; `used`: its length without the zeros at the end."""

    place: SegmentFile
    size: int
    used: int
    entries: list[SegmentRecord]


class Damage(NamedTuple):
    """Bytes of one segment in the place of records that were known durable."""

    path: str
    offset: int
    end: int
    first_lsn: int
    last_lsn: int


class Verdict(NamedTuple):
    """What to believe of the segments.

    `records`: those to serve. `durable_lsn`: everything up to here is known durable; records above it may stand
    in the page cache alone. `head_lsn`: the last LSN that was served or is known lost; the next one is free.
    `tail`: where the last segment's dropped bytes begin and end. `dropped`: the whole records among them.
    """

    records: list[SegmentRecord]
    durable_lsn: int
    head_lsn: int
    missing: list[tuple[int, int]]
    damage: list[Damage]
    tail: tuple[int, int]
    dropped: list[SegmentRecord]


def catalogue(directory: str) -> Catalogue:
    """List the directory. Raises OSError, and MaestroError FORMAT_UNSUPPORTED before anything was touched."""
    places: dict[int, SegmentFile] = {}
    others: list[SegmentFile] = []
    aside: list[str] = []
    prepared: list[str] = []
    foreign: list[str] = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        named = segment.named_lsn(name)
        unfinished = name.endswith(ASIDE) and _is_ours(name.removesuffix(ASIDE))
        if not (unfinished or _is_ours(name)) or not stat.S_ISREG(os.lstat(path).st_mode):
            foreign.append(name)
        elif unfinished or name.startswith(READY):
            aside.append(path)
        elif not named:
            prepared.append(name)
        else:
            header = _read_header(path)
            if header is None or header.first_lsn == named:
                places[named] = SegmentFile(path, named, header)
            else:
                others.append(SegmentFile(path, header.first_lsn, header))
    misnamed: dict[int, SegmentFile] = {}
    duplicates: list[SegmentFile] = []
    for place in others:
        if place.first_lsn in places or place.first_lsn in misnamed:
            duplicates.append(place)
        else:
            misnamed[place.first_lsn] = place
    ordered = [places[first_lsn] for first_lsn in sorted(places)]
    return Catalogue(ordered, list(misnamed.values()), duplicates, aside, prepared, foreign)


def _is_ours(name: str) -> bool:
    return segment.named_lsn(name) > 0 or name in (SPARE, RESERVE) or name.startswith(READY)


def _read_header(path: str) -> Header | None:
    with open(path, "rb") as file:
        header = segment.parse_header(file.read(HEADER_BYTES))
    if header is not None and header.version != DATA_FORMAT_VERSION:
        raise MaestroError(
            "FORMAT_UNSUPPORTED",
            f"{path} has data format {header.version}, and this version of Maestro writes {DATA_FORMAT_VERSION}",
            "Start the version of Maestro that wrote it, or set MAESTRO_DATA_DIR to another directory.",
            limit=DATA_FORMAT_VERSION,
            actual=header.version,
        )
    return header


def read(place: SegmentFile, after_lsn: int) -> ScannedSegment:
    """Read a segment's entries; bodies only of records above `after_lsn`. Raises OSError."""
    data = segment.read(place.path)
    return ScannedSegment(place, len(data), segment.used_bytes(data), list(segment.scan(data, after_lsn)))


def judge(found: list[ScannedSegment], after_lsn: int, attested_lsn: int = 0) -> Verdict:
    """Weigh segments in the order of their LSNs; everything up to `after_lsn` is filed and does not matter here.

    `attested_lsn`: what is known from elsewhere to have been durable.
    """
    durable = max(after_lsn, attested_lsn)
    for one in found:
        durable = max(durable, one.place.first_lsn - 1, *(entry.synced for entry in one.entries))
    records: list[SegmentRecord] = []
    missing: list[tuple[int, int]] = []
    damage: list[Damage] = []
    dropped: list[SegmentRecord] = []
    tail = (0, 0)
    expected = after_lsn + 1

    def lose(path: str, offset: int, end: int, last_lsn: int) -> None:
        first_lsn = max(expected, after_lsn + 1)
        if first_lsn <= last_lsn:
            missing.append((first_lsn, last_lsn))
            if end > offset:
                damage.append(Damage(path, offset, end, first_lsn, last_lsn))

    for index, one in enumerate(found):
        last = index == len(found) - 1
        # A segment ends where the next begins. What stands there all the same is an old tail, copied from or
        # dropped by a recovery that could not finish.
        last_lsn = durable if last else found[index + 1].place.first_lsn - 1
        path = one.place.path
        if one.place.first_lsn > expected:
            lose(path, 0, 0, one.place.first_lsn - 1)
        expected = one.place.first_lsn
        position, stop = HEADER_BYTES, one.used
        for entry in one.entries:
            # Everything up to `before` stood in front of this entry when it was written.
            before = entry.lsn if entry.body is None else entry.lsn - 1
            if before < expected - 1:
                continue  # of a former life; the bytes count as part of the hole they stand in
            if (not last and entry.lsn > last_lsn) or expected <= before > durable:
                stop = entry.offset
                break
            if expected <= before:
                lose(path, position, entry.offset, before)
            expected = before + 1
            position = entry.end
            if entry.body is not None:
                expected += 1
                if entry.lsn > after_lsn:
                    records.append(entry)
        if expected <= last_lsn:
            lose(path, position, stop, last_lsn)
            expected = last_lsn + 1
            position = max(position, stop)
        if last and one.used > position:
            tail = (position, one.used)
            dropped = [entry for entry in one.entries if entry.offset >= position and entry.body is not None]
    if not found and expected <= durable:
        lose("", 0, 0, durable)
        expected = durable + 1
    return Verdict(records, durable, expected - 1, missing, damage, tail, dropped)


class QuarantinedBytes(NamedTuple):
    """Bytes that were set aside. `path`: the copy, a JSON with the same beside it; None where the disk had no room
    for one, and the bytes are still where they were.

    `reason`: `corrupt` (was known durable, so mail is lost: `first_lsn` to `last_lsn`), `torn` (whole records of a
    batch that nobody was told of), `header` (a segment's, its records are served) or `duplicate` (a whole segment).
    """

    path: str | None
    segment: str
    offset: int
    bytes: int
    reason: Literal["corrupt", "torn", "header", "duplicate"]
    first_lsn: int | None = None
    last_lsn: int | None = None


class JournalRecovery(NamedTuple):
    """What a journal's directory gave back.

    `records`: LSN and body, in order. `torn_bytes`: the invalid tail that was dropped. `missing_lsns`: ranges known
    durable and lost, both ends included. `findings`: whatever else a person should know, a sentence each.
    """

    records: list[tuple[int, bytes]]
    torn_bytes: int
    quarantined: list[QuarantinedBytes]
    missing_lsns: list[tuple[int, int]]
    findings: list[str]

    def warnings(self) -> list[str]:
        """All that is not as it should be, a sentence each, what is lost first."""
        lines = [
            f"the journal lost {_range(first, last)}, which had been on disk; what they changed is gone"
            for first, last in self.missing_lsns
        ]
        for one in self.quarantined:
            place = f"{one.bytes} bytes at {one.offset} of the journal's {one.segment}"
            kept = f"kept in {one.path}" if one.path else "left there, since the disk has no room for a copy"
            lines.append(f"{place} are {_REASONS[one.reason]}; {kept}")
        return lines + self.findings


_REASONS = {
    "corrupt": "no longer what was written",
    "torn": "of a batch that was never acknowledged, and were dropped",
    "header": "a broken header; the records behind it are served",
    "duplicate": "a second copy of another segment",
}


def _range(first: int, last: int) -> str:
    return f"record {first}" if first == last else f"records {first} to {last}"
