"""Journal mend: from what a scan found to a journal that can be appended to.

Rule: what is served was made durable by this life or is attested by a former one. After a failed fsync the page
cache shows records that are not on disk, so whatever nothing attests is written again, into a segment of its own.
Each step leaves the directory so that the whole can be run again from its start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_broker.files import disk, quarantine
from maestro_runtime import atomic_file

from . import scanning, segment
from .scanning import JournalRecovery, QuarantinedBytes, ScannedSegment, SegmentFile
from .segment import HEADER_BYTES

if TYPE_CHECKING:
    from .scanning import Catalogue, Verdict
    from .segment import SegmentRecord


class RepairedDirectory(NamedTuple):
    """What a journal goes on from. `segments`: first LSN and path, in order. `empty`: the path of the last one
    where it has room and nothing was ever written to it. `prepared`: of SPARE and RESERVE those that are there.
    """

    head_lsn: int
    segments: list[tuple[int, str]]
    empty: str | None
    prepared: set[str]


def repair_directory(
    directory: str, *, segment_bytes: int, after_lsn: int, attested_lsn: int = 0
) -> tuple[JournalRecovery, RepairedDirectory]:
    """Recover the records above `after_lsn`; up to `attested_lsn` there must be records. Raises OSError, and
    MaestroError FORMAT_UNSUPPORTED."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    # A former life may have been killed between a rename or a mkdir and the sync that makes it last; what is served
    # from a file must not go with its name.
    for above in (directory, os.path.dirname(directory), os.path.dirname(os.path.dirname(directory))):
        atomic_file.sync_directory(above)
    listed = scanning.catalogue(directory)
    findings = [
        f"{name} in the journal's directory is not the journal's; it was left alone" for name in listed.foreign
    ]
    for path in listed.aside:
        os.unlink(path)
    kept_aside = os.path.join(os.path.dirname(directory), "quarantine")
    quarantined = [_set_duplicate_aside(kept_aside, place) for place in listed.duplicates]
    places = sorted(
        listed.places + [_rename(directory, place, findings) for place in listed.misnamed], key=_first_lsn
    )
    if not places and after_lsn:
        findings.append(f"the journal has no segment, though everything up to LSN {after_lsn} was filed from it")

    # A segment that is filed whole is of no interest, broken or not.
    scanned = [
        scanning.read(place, after_lsn)
        for index, place in enumerate(places)
        if index + 1 == len(places) or places[index + 1].first_lsn > after_lsn + 1
    ]
    verdict = scanning.judge(scanned, after_lsn, attested_lsn)
    for one in scanned:
        quarantined += _check_header(kept_aside, one, findings)
    quarantined += _set_damage_aside(kept_aside, verdict)
    segments = [(place.first_lsn, place.path) for place in places]
    torn_bytes = verdict.tail[1] - verdict.tail[0]
    empty: str | None = None
    if scanned:
        last = scanned[-1]
        segments = _secure_tail(directory, last, verdict, segments, kept_aside, quarantined)
        if _is_unused(last, segment_bytes) and last.place.first_lsn == verdict.head_lsn + 1:
            empty = last.place.path
    recovery = JournalRecovery(
        [(entry.lsn, entry.body or b"") for entry in verdict.records],
        torn_bytes,
        quarantined,
        verdict.missing,
        findings,
    )
    return recovery, RepairedDirectory(verdict.head_lsn, segments, empty, _usable(directory, listed, segment_bytes))


def _first_lsn(place: SegmentFile) -> int:
    return place.first_lsn


def _usable(directory: str, listed: Catalogue, segment_bytes: int) -> set[str]:
    """Their content is not read: they were synced under another name before they got this one."""
    usable = set()
    for name in listed.prepared:
        path = os.path.join(directory, name)
        # Of a changed setting; and a copy that took its room on a full disk may have removed it just now.
        if os.path.exists(path):
            if os.path.getsize(path) == segment_bytes:
                usable.add(name)
            else:
                os.unlink(path)
    return usable


def _is_unused(found: ScannedSegment, segment_bytes: int) -> bool:
    return found.place.header is not None and found.size == segment_bytes and found.used <= HEADER_BYTES


def _set_duplicate_aside(kept_aside: str, place: SegmentFile) -> QuarantinedBytes:
    content = segment.read(place.path)
    name = os.path.basename(place.path)
    path = quarantine.move(kept_aside, place.path, content, {"reason": "duplicate", "firstLsn": place.first_lsn})
    return QuarantinedBytes(path, name, 0, len(content), "duplicate")


def _rename(directory: str, place: SegmentFile, findings: list[str]) -> SegmentFile:
    path = os.path.join(directory, segment.file_name(place.first_lsn))
    findings.append(
        f"the journal's {os.path.basename(place.path)} begins with LSN {place.first_lsn}; renamed to {path}"
    )
    atomic_file.move(place.path, path)
    return place._replace(path=path)


def _check_header(kept_aside: str, found: ScannedSegment, findings: list[str]) -> list[QuarantinedBytes]:
    name = os.path.basename(found.place.path)
    if found.place.header is None:
        content = segment.read(found.place.path)[:HEADER_BYTES]
        path = quarantine.keep(kept_aside, found.place.path, 0, content, {"reason": "header"})
        return [QuarantinedBytes(path, name, 0, len(content), "header")]
    if found.size < found.place.header.size:
        findings.append(f"the journal's {name} was cut: {found.size} bytes of {found.place.header.size} are there")
    return []


def _set_damage_aside(kept_aside: str, verdict: Verdict) -> list[QuarantinedBytes]:
    done = []
    for one in verdict.damage:
        content = segment.read(one.path)[one.offset : one.end]
        note = {"reason": "corrupt", "firstLsn": one.first_lsn, "lastLsn": one.last_lsn}
        path = quarantine.keep(kept_aside, one.path, one.offset, content, note)
        name = os.path.basename(one.path)
        done.append(QuarantinedBytes(path, name, one.offset, len(content), "corrupt", one.first_lsn, one.last_lsn))
    return done


def _secure_tail(
    directory: str,
    last: ScannedSegment,
    verdict: Verdict,
    segments: list[tuple[int, str]],
    kept_aside: str,
    quarantined: list[QuarantinedBytes],
) -> list[tuple[int, str]]:
    """Write what nothing attests again, and zero it and what was dropped where it stood."""
    offset, end = verdict.tail
    path = last.place.path
    if verdict.dropped:
        content = segment.read(path)[offset:end]
        note = {"reason": "torn", "firstLsn": verdict.dropped[0].lsn, "lastLsn": verdict.dropped[-1].lsn}
        copy = quarantine.keep(kept_aside, path, offset, content, note)
        first, final = verdict.dropped[0].lsn, verdict.dropped[-1].lsn
        quarantined.append(QuarantinedBytes(copy, os.path.basename(path), offset, len(content), "torn", first, final))
        if copy is None:
            end = offset
    doubtful = [entry for entry in verdict.records if entry.lsn > verdict.durable_lsn]
    if doubtful:
        first_lsn = verdict.durable_lsn + 1
        copied = _write_again(directory, first_lsn, doubtful)
        if copied is None:
            _write_in_place(path, doubtful, max(end, doubtful[-1].end))
            return segments
        if copied == path:
            return segments  # the copy took the place of a segment in which nothing was attested
        segments = [*segments, (first_lsn, copied)]
        offset, end = doubtful[0].offset, max(end, doubtful[-1].end)
    if end > offset:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            segment.write_zeros(fd, offset, end)
            segment.sync_data(fd)
        finally:
            os.close(fd)
    return segments


def _write_again(directory: str, first_lsn: int, entries: list[SegmentRecord]) -> str | None:
    """A segment just large enough, sealed, put in place when all of it is durable; returns its path.

    On a full disk what was prepared for better days gives its room; None where that is not enough.
    """
    bodies = [entry.body or b"" for entry in entries]
    records = segment.pack_records(bodies, first_lsn - 1)
    size = HEADER_BYTES + len(records) + segment.SEAL_BYTES
    path = os.path.join(directory, segment.file_name(first_lsn))
    givers = [scanning.SPARE, scanning.RESERVE]
    while True:
        try:
            # The seal is written with the records that it attests: both get their name after the sync.
            seal = segment.pack_seal(entries[-1].lsn)
            atomic_file.replace(path, segment.pack_header(first_lsn, size) + records + seal, durable=True)
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            if not givers:
                return None
            _remove(os.path.join(directory, givers.pop(0)))
        else:
            return path


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


def _write_in_place(path: str, entries: list[SegmentRecord], end: int) -> None:
    """The last resort on a full disk: the same bytes over themselves, which makes the page cache write them, and
    zeros from there to `end`; then a seal. Not the first choice, because records that may have been acknowledged
    are then at the mercy of a power cut in the middle of a sector's write.
    """
    first, last = entries[0].offset, entries[-1].end
    content = segment.read(path)[first:last]
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        segment.write_all(fd, content, first)
        segment.write_zeros(fd, last, end)
        segment.sync_data(fd)
        segment.write_all(fd, segment.pack_seal(entries[-1].lsn), last)
        segment.sync_data(fd)
    finally:
        os.close(fd)
