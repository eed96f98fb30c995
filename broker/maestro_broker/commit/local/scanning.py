"""Journal scan: reads a journal's directory, and judges which records are valid.

Rule: it changes nothing. One question decides about every gap: is it known that the missing records were durable? It
is if anything later says so: the synced LSN of a later record or seal, or a later segment, because a segment gets its
name only after everything before it was synced. Then the gap is corruption, and the whole records after it are
served. Otherwise it is the torn end of a batch that was never acknowledged, and everything from there on is dropped.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal, NamedTuple

from maestro_runtime import places
from maestro_schemas import DATA_FORMAT_VERSION
from maestro_schemas.errors import MaestroError

from . import segment
from .segment import HEADER_BYTES, Header, SegmentRecord

if TYPE_CHECKING:
    from collections.abc import Collection

SPARE = "spare"
RESERVE = "reserve"
READY = "ready-"
ASIDE = ".tmp"

# The format versions whose segments may be replayed. A migration reads older ones too, and leaves none.
SERVED_VERSIONS = (DATA_FORMAT_VERSION,)


class SegmentFile(NamedTuple):
    """A segment file before its records are read."""

    path: str
    first_lsn: int
    header: Header | None  # None if it is broken


class Catalogue(NamedTuple):
    """The files of a journal's directory."""

    segments: list[SegmentFile]  # in the order of their LSNs, one for each first LSN
    misnamed: list[SegmentFile]  # the header says another first LSN than the name, and no other file has that LSN
    duplicates: list[SegmentFile]  # the same, and another file has it
    aside: list[str]  # temporary files that an interrupted process left
    prepared: list[str]  # SPARE and RESERVE, if they exist
    foreign: list[str]  # names of other programs' files


class ScannedSegment(NamedTuple):
    """A segment that was read."""

    file: SegmentFile
    size: int
    used: int  # its length without the zeros at the end
    entries: list[SegmentRecord]


class Damage(NamedTuple):
    """Bytes of one segment where records stood that were known to be durable."""

    path: str
    offset: int
    end: int
    first_lsn: int
    last_lsn: int


class Verdict(NamedTuple):
    """Which records of the segments are valid."""

    records: list[SegmentRecord]  # to serve
    durable_lsn: int  # everything up to here is known to be durable; later records may be in the page cache alone
    head_lsn: int  # the last LSN that is served or known to be lost; the next one is free
    missing: list[tuple[int, int]]  # LSNs known to be lost, both ends included
    damage: list[Damage]
    tail: tuple[int, int]  # begin and end of the last segment's dropped bytes
    dropped: list[SegmentRecord]  # the whole records among them


def catalogue(directory: str, versions: Collection[int] = SERVED_VERSIONS) -> Catalogue:
    """List the directory. Raises OSError, and MaestroError FORMAT_UNSUPPORTED for a segment of another version."""
    segments: dict[int, SegmentFile] = {}
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
            header = _read_header(path, versions)
            if header is None or header.first_lsn == named:
                segments[named] = SegmentFile(path, named, header)
            else:
                others.append(SegmentFile(path, header.first_lsn, header))
    misnamed: dict[int, SegmentFile] = {}
    duplicates: list[SegmentFile] = []
    for file in others:
        if file.first_lsn in segments or file.first_lsn in misnamed:
            duplicates.append(file)
        else:
            misnamed[file.first_lsn] = file
    ordered = [segments[first_lsn] for first_lsn in sorted(segments)]
    return Catalogue(ordered, list(misnamed.values()), duplicates, aside, prepared, foreign)


def _is_ours(name: str) -> bool:
    return segment.named_lsn(name) > 0 or name in (SPARE, RESERVE) or name.startswith(READY)


def _read_header(path: str, versions: Collection[int]) -> Header | None:
    header = segment.parse_header(places.read(path, HEADER_BYTES))
    if header is not None and header.version not in versions:
        raise MaestroError(
            "FORMAT_UNSUPPORTED",
            f"{path} has data format {header.version}, and this version of Maestro writes {DATA_FORMAT_VERSION}",
            "Start the version of Maestro that wrote it, or set MAESTRO_DATA_DIR to another directory.",
            limit=DATA_FORMAT_VERSION,
            actual=header.version,
        )
    return header


def read(file: SegmentFile, after_lsn: int) -> ScannedSegment:
    """Read a segment's entries; bodies only of records above `after_lsn`. Raises OSError."""
    data = segment.read(file.path)
    return ScannedSegment(file, len(data), segment.used_bytes(data), list(segment.scan(data, after_lsn)))


def judge(found: list[ScannedSegment], after_lsn: int, attested_lsn: int = 0) -> Verdict:
    """Judge segments in the order of their LSNs. Records up to `after_lsn` are in the spool, and are left out.

    `attested_lsn`: the newest LSN that another file proves to have been durable.
    """
    durable = max(after_lsn, attested_lsn)
    for one in found:
        durable = max(durable, one.file.first_lsn - 1, *(entry.synced for entry in one.entries))
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
        # A segment ends where the next begins. Later records in it are an old tail, which an interrupted recovery had
        # copied or dropped.
        last_lsn = durable if last else found[index + 1].file.first_lsn - 1
        path = one.file.path
        if one.file.first_lsn > expected:
            lose(path, 0, 0, one.file.first_lsn - 1)
        expected = one.file.first_lsn
        position, stop = HEADER_BYTES, one.used
        for entry in one.entries:
            # When this entry was written, everything up to `before` preceded it.
            before = entry.lsn if entry.body is None else entry.lsn - 1
            if before < expected - 1:
                continue  # of an earlier run; its bytes count as part of the gap
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
    """Bytes that were quarantined.

    Reasons: `corrupt` (records that were known to be durable, so mail is lost: `first_lsn` to `last_lsn`), `torn`
    (whole records of a batch that was never acknowledged), `header` (a segment's; its records are served) and
    `duplicate` (a whole segment).
    """

    path: str | None  # the copy, with a description as JSON beside it; None: no space for one, the bytes are in place
    segment: str
    offset: int
    bytes: int
    reason: Literal["corrupt", "torn", "header", "duplicate"]
    first_lsn: int | None = None
    last_lsn: int | None = None


class JournalRecovery(NamedTuple):
    """The result of a recovery."""

    records: list[tuple[int, bytes]]  # LSN and body, in order
    torn_bytes: int  # of the invalid tail that was dropped
    quarantined: list[QuarantinedBytes]
    missing_lsns: list[tuple[int, int]]  # ranges known to be durable, and lost; both ends included
    findings: list[str]  # other things to report to a person, a sentence each

    def warnings(self) -> list[str]:
        """All problems, a sentence each, losses first."""
        lines = [
            f"the journal lost {_range(first, last)}, which had been on disk; what they changed is gone"
            for first, last in self.missing_lsns
        ]
        for one in self.quarantined:
            where = f"{one.bytes} bytes at {one.offset} of the journal's {one.segment}"
            kept = f"kept in {one.path}" if one.path else "left there, since the disk has no room for a copy"
            lines.append(f"{where} are {_REASONS[one.reason]}; {kept}")
        return lines + self.findings


_REASONS = {
    "corrupt": "no longer what was written",
    "torn": "of a batch that was never acknowledged, and were dropped",
    "header": "a broken header; the records behind it are served",
    "duplicate": "a second copy of another segment",
}


def _range(first: int, last: int) -> str:
    return f"record {first}" if first == last else f"records {first} to {last}"
