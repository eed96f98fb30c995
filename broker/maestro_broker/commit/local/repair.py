"""Journal repair: makes a scanned journal ready for writing.

Rule: every served record is proved durable by an earlier run, or made durable by this one. After a failed fsync the
page cache shows records that are not on the disk. Records without a proof are therefore written again, into a segment
of their own. Each step leaves the directory so that the whole repair can be run again.
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
    from collections.abc import Collection

    from .scanning import Catalogue, Verdict
    from .segment import SegmentRecord


class RepairedDirectory(NamedTuple):
    """The state from which a journal continues."""

    head_lsn: int
    segments: list[tuple[int, str]]  # first LSN and path, in order
    empty: str | None  # the path of the last segment, if it has space and nothing was ever written to it
    prepared: set[str]  # SPARE and RESERVE, if they exist


def repair_directory(
    directory: str,
    *,
    segment_bytes: int,
    after_lsn: int,
    attested_lsn: int = 0,
    versions: Collection[int] = scanning.SERVED_VERSIONS,
) -> tuple[JournalRecovery, RepairedDirectory]:
    """Recover the records above `after_lsn`, and repair the directory. Up to `attested_lsn` there must be records.
    Raises OSError, and MaestroError FORMAT_UNSUPPORTED."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    # An earlier run may have been killed between a rename or a mkdir and the sync of the directory. A file whose
    # records are served must not lose its name.
    for above in (directory, os.path.dirname(directory), os.path.dirname(os.path.dirname(directory))):
        atomic_file.sync_directory(above)
    listed = scanning.catalogue(directory, versions)
    findings = [
        f"{name} in the journal's directory is not the journal's; it was left alone" for name in listed.foreign
    ]
    for path in listed.aside:
        os.unlink(path)
    quarantine_dir = os.path.join(os.path.dirname(directory), "quarantine")
    quarantined = [_quarantine_duplicate(quarantine_dir, file) for file in listed.duplicates]
    files = sorted(listed.segments + [_rename(directory, file, findings) for file in listed.misnamed], key=_first_lsn)
    if not files and after_lsn:
        findings.append(f"the journal has no segment, though everything up to LSN {after_lsn} was filed from it")

    # A segment whose records are all in the spool is not read, broken or not.
    scanned = [
        scanning.read(file, after_lsn)
        for index, file in enumerate(files)
        if index + 1 == len(files) or files[index + 1].first_lsn > after_lsn + 1
    ]
    verdict = scanning.judge(scanned, after_lsn, attested_lsn)
    for one in scanned:
        quarantined += _check_header(quarantine_dir, one, findings)
    quarantined += _quarantine_damage(quarantine_dir, verdict)
    segments = [(file.first_lsn, file.path) for file in files]
    torn_bytes = verdict.tail[1] - verdict.tail[0]
    empty: str | None = None
    if scanned:
        last = scanned[-1]
        segments = _secure_tail(directory, last, verdict, segments, quarantine_dir, quarantined)
        if _is_unused(last, segment_bytes) and last.file.first_lsn == verdict.head_lsn + 1:
            empty = last.file.path
    recovery = JournalRecovery(
        [(entry.lsn, entry.body or b"") for entry in verdict.records],
        torn_bytes,
        quarantined,
        verdict.missing,
        findings,
    )
    return recovery, RepairedDirectory(verdict.head_lsn, segments, empty, _usable(directory, listed, segment_bytes))


def _first_lsn(file: SegmentFile) -> int:
    return file.first_lsn


def _usable(directory: str, listed: Catalogue, segment_bytes: int) -> set[str]:
    """The prepared segments. Their content is not read: they were synced before they got their names."""
    usable = set()
    for name in listed.prepared:
        path = os.path.join(directory, name)
        # Another size is that of an earlier setting. On a full disk, a copy may just have removed the file for space.
        if os.path.exists(path):
            if os.path.getsize(path) == segment_bytes:
                usable.add(name)
            else:
                os.unlink(path)
    return usable


def _is_unused(found: ScannedSegment, segment_bytes: int) -> bool:
    return found.file.header is not None and found.size == segment_bytes and found.used <= HEADER_BYTES


def _quarantine_duplicate(quarantine_dir: str, file: SegmentFile) -> QuarantinedBytes:
    content = segment.read(file.path)
    name = os.path.basename(file.path)
    path = quarantine.move(quarantine_dir, file.path, content, {"reason": "duplicate", "firstLsn": file.first_lsn})
    return QuarantinedBytes(path, name, 0, len(content), "duplicate")


def _rename(directory: str, file: SegmentFile, findings: list[str]) -> SegmentFile:
    path = os.path.join(directory, segment.file_name(file.first_lsn))
    findings.append(
        f"the journal's {os.path.basename(file.path)} begins with LSN {file.first_lsn}; renamed to {path}"
    )
    atomic_file.move(file.path, path)
    return file._replace(path=path)


def _check_header(quarantine_dir: str, found: ScannedSegment, findings: list[str]) -> list[QuarantinedBytes]:
    name = os.path.basename(found.file.path)
    if found.file.header is None:
        content = segment.read(found.file.path)[:HEADER_BYTES]
        path = quarantine.keep(quarantine_dir, found.file.path, 0, content, {"reason": "header"})
        return [QuarantinedBytes(path, name, 0, len(content), "header")]
    if found.size < found.file.header.size:
        findings.append(f"the journal's {name} was cut: {found.size} bytes of {found.file.header.size} are there")
    return []


def _quarantine_damage(quarantine_dir: str, verdict: Verdict) -> list[QuarantinedBytes]:
    done = []
    for one in verdict.damage:
        content = segment.read(one.path)[one.offset : one.end]
        note = {"reason": "corrupt", "firstLsn": one.first_lsn, "lastLsn": one.last_lsn}
        path = quarantine.keep(quarantine_dir, one.path, one.offset, content, note)
        name = os.path.basename(one.path)
        done.append(QuarantinedBytes(path, name, one.offset, len(content), "corrupt", one.first_lsn, one.last_lsn))
    return done


def _secure_tail(
    directory: str,
    last: ScannedSegment,
    verdict: Verdict,
    segments: list[tuple[int, str]],
    quarantine_dir: str,
    quarantined: list[QuarantinedBytes],
) -> list[tuple[int, str]]:
    """Write the records without a proof again, and overwrite them and the dropped bytes with zeros in their old
    place."""
    offset, end = verdict.tail
    path = last.file.path
    if verdict.dropped:
        content = segment.read(path)[offset:end]
        note = {"reason": "torn", "firstLsn": verdict.dropped[0].lsn, "lastLsn": verdict.dropped[-1].lsn}
        copy = quarantine.keep(quarantine_dir, path, offset, content, note)
        first, final = verdict.dropped[0].lsn, verdict.dropped[-1].lsn
        quarantined.append(QuarantinedBytes(copy, os.path.basename(path), offset, len(content), "torn", first, final))
        if copy is None:
            end = offset
    unattested = [entry for entry in verdict.records if entry.lsn > verdict.durable_lsn]
    if unattested:
        first_lsn = verdict.durable_lsn + 1
        copied = _write_again(directory, first_lsn, unattested)
        if copied is None:
            _write_in_place(path, unattested, max(end, unattested[-1].end))
            return segments
        if copied == path:
            return segments  # the copy replaced a segment without any proved record
        segments = [*segments, (first_lsn, copied)]
        offset, end = unattested[0].offset, max(end, unattested[-1].end)
    if end > offset:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            segment.write_zeros(fd, offset, end)
            segment.sync_data(fd)
        finally:
            os.close(fd)
    return segments


def _write_again(directory: str, first_lsn: int, entries: list[SegmentRecord]) -> str | None:
    """Write a sealed segment, just large enough, which gets its name once all of it is durable; return its path.

    On a full disk the spare and reserve segments are deleted to free space; None if that is not enough.
    """
    bodies = [entry.body or b"" for entry in entries]
    records = segment.pack_records(bodies, first_lsn - 1)
    size = HEADER_BYTES + len(records) + segment.SEAL_BYTES
    path = os.path.join(directory, segment.file_name(first_lsn))
    expendable = [scanning.SPARE, scanning.RESERVE]
    while True:
        try:
            # The seal is written with the records that it attests: both get their name after the sync.
            seal = segment.pack_seal(entries[-1].lsn)
            atomic_file.replace(path, segment.pack_header(first_lsn, size) + records + seal, durable=True)
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            if not expendable:
                return None
            _remove(os.path.join(directory, expendable.pop(0)))
        else:
            return path


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


def _write_in_place(path: str, entries: list[SegmentRecord], end: int) -> None:
    """The last resort on a full disk: write the same bytes over themselves, which makes the page cache write them to
    the disk; then zeros up to `end`, and a seal. Not the first choice, because a power cut in the middle of a
    sector's write can destroy records that may have been acknowledged.
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
