"""Journal recovery: every whole record of damaged files is served, and all damage is reported."""

from __future__ import annotations

import errno
import itertools
import json
import os
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maestro_broker.commit.local import segment
from maestro_broker.commit.local.journal import Journal, first_segment_lsn
from maestro_broker.commit.local.scanning import JournalRecovery
from maestro_schemas.errors import MaestroError
from support.journals import (
    SEGMENT_BYTES,
    abandon,
    bodies,
    entries,
    fill,
    flip,
    numbered,
    open_journal,
    read,
    segments,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> str:
    (tmp_path / "messages").mkdir()
    return str(tmp_path / "messages" / "journal")


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that open a journal thousands of times, and do not depend on syncs."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)


def again(directory: str, first: JournalRecovery, after_lsn: int = 0) -> JournalRecovery:
    """Open again: the same records, and no torn bytes."""
    journal, recovery = open_journal(directory, after_lsn=after_lsn)
    journal.close()
    assert recovery.records == first.records
    assert recovery.torn_bytes == 0
    assert recovery.missing_lsns == first.missing_lsns
    return recovery


def renew(directory: str, content: bytes, name: str = segment.file_name(1)) -> str:
    """The directory, with one segment only."""
    for path in os.listdir(directory):
        os.unlink(os.path.join(directory, path))
    write(os.path.join(directory, name), content)
    return os.path.join(directory, name)


# --- cut, flipped, torn -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("sealed", [True, False])
def test_cut_at_every_byte_all_that_is_whole_before_the_cut_comes_back(directory: str, *, sealed: bool) -> None:
    journal, _ = open_journal(directory, segment_bytes=1024)
    journal.submit(numbered(8))
    journal.submit(numbered(4, 9))
    if sealed:
        journal.seal()
    abandon(journal)
    content = read(segments(directory)[0])
    ends = [entry.end for entry in entries(segments(directory)[0]) if entry.body is not None]
    for cut in range(len(content)):
        renew(directory, content[:cut])
        journal, recovery = open_journal(directory, segment_bytes=1024)
        whole = sum(end <= cut for end in ends)
        assert bodies(recovery) == numbered(whole), cut
        assert recovery.missing_lsns == [], cut
        assert recovery.findings or cut < segment.HEADER_BYTES, "a shortened file is reported"
        assert [one.reason for one in recovery.quarantined] == ["header"] * (cut < segment.HEADER_BYTES)
        abandon(journal)
        if cut % 8 == 0:
            again(directory, recovery)
            journal, _ = open_journal(directory, segment_bytes=1024)
            assert journal.submit([b"next"]) == whole + 1
            journal.close()


@pytest.mark.slow
@pytest.mark.usefixtures("unsynced")
def test_each_flipped_bit_is_healed_or_reported_and_costs_at_most_its_record(directory: str, tmp_path: Path) -> None:
    written = [b"message %d" % number for number in range(20)]
    fill(directory, [written[:7], written[7:8], written[8:]], segment_bytes=1100)
    content = read(segments(directory)[0])
    records = entries(segments(directory)[0])
    assert len(records) == 21
    for offset, bit in itertools.product(range(len(content)), range(8)):
        flipped = bytearray(content)
        flipped[offset] ^= 1 << bit
        renew(directory, bytes(flipped))
        journal, recovery = open_journal(directory, segment_bytes=1100)
        abandon(journal)
        hit = [entry for entry in records if entry.offset <= offset < entry.end and entry.body is not None]
        place = (offset, bit)
        assert recovery.records == [
            (lsn, body) for lsn, body in enumerate(written, 1) if lsn not in [h.lsn for h in hit]
        ]
        assert recovery.missing_lsns == [(entry.lsn, entry.lsn) for entry in hit], place
        assert journal.head_lsn == 20, place
        if hit:
            (report,) = recovery.quarantined
            assert (report.reason, report.first_lsn, report.last_lsn) == ("corrupt", hit[0].lsn, hit[0].lsn), place
            assert (report.offset, report.bytes) == (hit[0].offset, hit[0].end - hit[0].offset), place
        elif offset < segment.HEADER_BYTES:
            assert [report.reason for report in recovery.quarantined] == ["header"], place
        else:
            assert recovery.quarantined == [], place
    kept = os.listdir(tmp_path / "messages" / "quarantine")
    assert len(kept) % 2 == 0, "each with a JSON beside it"
    journal, recovery = open_journal(directory)
    journal.close()


@pytest.mark.slow
@pytest.mark.usefixtures("unsynced")
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_torn_batch_is_dropped_from_its_first_hole_on_and_nothing_before_it_is_lost(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The disk wrote an arbitrary choice of the last batch's sectors, over the state at the last sync, with or
    without the seal."""
    directory = str(tmp_path_factory.mktemp("torn") / "journal")
    before = data.draw(st.lists(st.binary(max_size=900), max_size=4), label="before")
    batch = data.draw(st.lists(st.binary(max_size=900), min_size=1, max_size=6), label="batch")
    before, batch = ([body for body in part if segment.MARK not in body] for part in (before, batch))
    journal, _ = open_journal(directory, segment_bytes=16384)
    journal.submit(before)
    path = segments(directory)[0]
    versions = [read(path)]
    journal.seal()
    versions.append(read(path))
    journal.submit(batch)
    versions.append(read(path))
    abandon(journal)
    sectors = []
    for start in range(0, 16384, 512):
        choices = list(dict.fromkeys(version[start : start + 512] for version in versions))
        sectors.append(choices[0] if len(choices) == 1 else data.draw(st.sampled_from(choices), label=f"at {start}"))
    write(path, b"".join(sectors))

    journal, recovery = open_journal(directory, segment_bytes=16384)
    abandon(journal)
    assert bodies(recovery)[: len(before)] == before
    rest = bodies(recovery)[len(before) :]
    assert rest == batch[: len(rest)]
    assert recovery.missing_lsns == []
    assert {report.reason for report in recovery.quarantined} <= {"torn"}
    again(directory, recovery)


def test_a_torn_batch_with_whole_records_is_quarantined_and_zeroed(directory: str) -> None:
    journal, _ = open_journal(directory)
    journal.submit(numbered(3))
    journal.submit(numbered(4, 4))
    abandon(journal)
    path = segments(directory)[0]
    found = entries(path)
    flip(path, found[4].end - 1)
    torn = read(path)[found[4].offset : found[6].end]
    journal, recovery = open_journal(directory)
    assert bodies(recovery) == numbered(4)
    assert recovery.torn_bytes == len(torn)
    (report,) = recovery.quarantined
    assert report.path is not None
    assert (report.reason, report.first_lsn, report.last_lsn, report.bytes) == ("torn", 6, 7, len(torn))
    assert read(report.path) == torn
    assert read(path)[found[3].offset :].strip(b"\0") == b"", "record 4 was copied, the rest dropped"
    assert segments(directory)[1].endswith(segment.file_name(4))
    assert recovery.missing_lsns == []
    assert len(recovery.warnings()) == 1
    assert journal.submit([b"five"]) == 5
    journal.close()
    _, recovery = open_journal(directory)
    assert bodies(recovery) == [*numbered(4), b"five"]
    assert recovery.warnings() == []


def test_a_torn_first_batch_gives_a_fresh_segment_of_the_same_name(directory: str) -> None:
    journal, _ = open_journal(directory)
    journal.submit(numbered(2))
    abandon(journal)
    path = segments(directory)[0]
    flip(path, entries(path)[0].end - 1)
    flip(path, entries(path)[0].end - 1)
    journal, recovery = open_journal(directory)
    assert (recovery.records, recovery.missing_lsns) == ([], [])
    assert [os.path.basename(one) for one in segments(directory)] == [segment.file_name(1)]
    assert read(path)[segment.HEADER_BYTES :].strip(b"\0") == b""
    assert journal.submit([b"one"]) == 1
    journal.close()
    _, recovery = open_journal(directory)
    assert bodies(recovery) == [b"one"]


def test_zeros_in_the_place_of_a_durable_record_are_no_clean_end(directory: str) -> None:
    fill(directory, [numbered(5)])
    path = segments(directory)[0]
    third = entries(path)[2]
    content = read(path)
    write(path, content[: third.offset] + bytes(third.end - third.offset) + content[third.end :])
    journal, recovery = open_journal(directory)
    assert [lsn for lsn, _ in recovery.records] == [1, 2, 4, 5]
    assert recovery.missing_lsns == [(3, 3)]
    assert "lost record 3" in recovery.warnings()[0]
    journal.close()


def test_a_hole_of_which_only_the_beginning_was_durable(directory: str) -> None:
    journal, _ = open_journal(directory)
    for batch in ([b"one"], [b"two"], [b"three", b"four"]):
        journal.submit(batch)
    abandon(journal)
    path = segments(directory)[0]
    found = entries(path)
    for entry in found[1:3]:
        flip(path, entry.end - 1)
    journal, recovery = open_journal(directory)
    assert bodies(recovery) == [b"one"]
    assert recovery.missing_lsns == [(2, 2)], "the fourth record attests the second, and nothing attests the third"
    assert [report.reason for report in recovery.quarantined] == ["corrupt", "torn"]
    assert journal.submit([b"new three"]) == 3
    journal.close()
    _, recovery = open_journal(directory)
    assert recovery.records == [(1, b"one"), (3, b"new three")]
    assert recovery.missing_lsns == [(2, 2)]


def test_a_later_segment_attests_what_came_before_it(directory: str) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"x" * 3000])
    journal.submit([b"y" * 500])
    journal.submit([b"z" * 2000])
    abandon(journal)
    flip(segments(directory)[0], entries(segments(directory)[0])[1].end - 1)
    journal, recovery = open_journal(directory)
    assert [lsn for lsn, _ in recovery.records] == [1, 3]
    assert recovery.missing_lsns == [(2, 2)]
    assert recovery.torn_bytes == 0
    journal.close()


def test_damage_below_the_checkpoint_is_of_no_interest(directory: str) -> None:
    fill(directory, [numbered(5)])
    path = segments(directory)[0]
    flip(path, entries(path)[1].end - 1)
    journal, recovery = open_journal(directory, after_lsn=3)
    assert recovery.records == [(4, numbered(5)[3]), (5, numbered(5)[4])]
    assert recovery.warnings() == []
    journal.close()


def test_the_quarantine_says_what_and_where_and_does_not_grow_at_each_start(directory: str, tmp_path: Path) -> None:
    fill(directory, [numbered(5)])
    path = segments(directory)[0]
    second = entries(path)[1]
    flip(path, second.end - 1)
    damaged = read(path)[second.offset : second.end]
    for _ in range(3):
        journal, recovery = open_journal(directory)
        journal.close()
    (report,) = recovery.quarantined
    assert report.path is not None
    assert report.segment == segment.file_name(1)
    assert read(report.path) == damaged
    assert sorted(os.listdir(tmp_path / "messages" / "quarantine")) == sorted(
        [os.path.basename(report.path), os.path.basename(report.path).removesuffix(".bin") + ".json"]
    )
    assert json.loads(read(report.path.removesuffix(".bin") + ".json")) == {
        "from": segment.file_name(1),
        "offset": second.offset,
        "bytes": len(damaged),
        "reason": "corrupt",
        "firstLsn": 2,
        "lastLsn": 2,
    }
    assert any("record 2" in line for line in recovery.warnings())
    assert any(report.path in line for line in recovery.warnings())


def test_what_looks_like_a_record_of_a_former_life_is_not_believed(directory: str) -> None:
    fill(directory, [numbered(3)])
    path = segments(directory)[0]
    found = entries(path)
    content = read(path)
    stale = content[found[0].offset : found[1].end] + segment.pack_seal(1) + b"odd"
    write(path, (content[: found[2].end] + stale + content[found[2].end :])[:SEGMENT_BYTES])
    journal, recovery = open_journal(directory)
    assert bodies(recovery) == numbered(3)
    assert recovery.missing_lsns == []
    journal.close()


def test_an_unknown_kind_and_a_length_beyond_the_file_are_no_records() -> None:
    start = struct.pack(">10sIQQ", segment.MARK + b"X", 0, 1, 0)
    head = segment.pack_header(1, SEGMENT_BYTES)
    assert list(segment.scan(head + start + struct.pack(">I", zlib.crc32(start)), 0)) == []
    assert list(segment.scan(head + segment.pack_records([b"whole"], 0)[:-1], 0)) == []
    assert segment.parse_header(b"") is None


@pytest.mark.parametrize("size", [0, 1, 4096, 65535, 65536, 65537, 200_000])
def test_used_bytes_are_those_before_the_zeros(size: int) -> None:
    for used in {0, 1, size // 2, size} & set(range(size + 1)):
        content = b"x" * used + bytes(size - used)
        assert segment.used_bytes(content) == used


# --- whole files --------------------------------------------------------------------------------------------


@pytest.fixture
def several(directory: str) -> str:
    """300 records, stopped in good order, in more than four segments."""
    fill(directory, [numbered(30, start) for start in range(1, 300, 30)])
    assert len(segments(directory)) > 4
    return directory


def first_lsns(directory: str) -> list[int]:
    return [segment.named_lsn(os.path.basename(path)) for path in segments(directory)]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_missing_segment_is_reported_and_all_others_are_served(several: str, which: int) -> None:
    firsts = first_lsns(several)
    os.unlink(segments(several)[which])
    lost = (firsts[which], firsts[which + 1] - 1)
    journal, recovery = open_journal(several)
    assert recovery.missing_lsns == [lost]
    assert recovery.records == [
        (lsn, body) for lsn, body in enumerate(numbered(300), 1) if not lost[0] <= lsn <= lost[1]
    ]
    assert "records" in recovery.warnings()[0]
    assert journal.submit([b"next"]) == 301
    journal.close()


def test_a_segment_of_garbage_is_reported(several: str) -> None:
    firsts = first_lsns(several)
    write(segments(several)[1], b"\xc1\x00garbage" * 100)
    _, recovery = open_journal(several)
    assert recovery.missing_lsns == [(firsts[1], firsts[2] - 1)]
    assert sorted(report.reason for report in recovery.quarantined) == ["corrupt", "header"]


def test_a_segment_that_was_cut_in_the_middle_of_the_journal_is_reported(several: str) -> None:
    firsts = first_lsns(several)
    path = segments(several)[1]
    kept = entries(path)[2]
    write(path, read(path)[: kept.end])
    _, recovery = open_journal(several)
    assert recovery.missing_lsns == [(kept.lsn + 1, firsts[2] - 1)]
    assert "was cut" in recovery.findings[0]


def test_a_copy_under_another_name_is_moved_away(several: str) -> None:
    content = read(segments(several)[1])
    for name in (segment.file_name(77_777), segment.file_name(99_999)):
        write(os.path.join(several, name), content)
    journal, recovery = open_journal(several)
    assert bodies(recovery) == numbered(300)
    assert [report.reason for report in recovery.quarantined] == ["duplicate", "duplicate"]
    assert recovery.quarantined[0].path is not None
    assert read(recovery.quarantined[0].path) == content
    assert len(recovery.warnings()) == 2
    assert journal.submit([b"next"]) == 301
    journal.close()
    _, recovery = open_journal(several)
    assert recovery.warnings() == []


def test_a_renamed_segment_gets_its_name_back(several: str) -> None:
    firsts = first_lsns(several)
    os.rename(segments(several)[1], os.path.join(several, segment.file_name(77_777)))
    assert first_segment_lsn(several) == 1
    _, recovery = open_journal(several)
    assert bodies(recovery) == numbered(300)
    assert recovery.missing_lsns == []
    assert "renamed" in recovery.findings[0]
    assert first_lsns(several)[:4] == firsts[:4]


def test_foreign_files_are_left_alone_and_reported(several: str) -> None:
    names = ["notes.txt", "00000000000000000001.seg.bak", "1.seg", "00000000000000000000.seg", "other.tmp"]
    for name in names:
        write(os.path.join(several, name), b"precious")
    os.mkdir(os.path.join(several, segment.file_name(5_000)))
    for name in ("spare.tmp", "ready-3", f"{segment.file_name(9)}.tmp"):
        write(os.path.join(several, name), b"of an interrupted process")
    _, recovery = open_journal(several)
    assert bodies(recovery) == numbered(300)
    assert len(recovery.findings) == 6
    left = set(os.listdir(several))
    assert set(names) <= left
    assert not left & {"spare.tmp", "ready-3", f"{segment.file_name(9)}.tmp"}


def test_an_emptied_directory_under_a_checkpoint_is_reported(directory: str) -> None:
    journal, recovery = open_journal(directory, after_lsn=12)
    assert recovery.records == []
    assert "no segment" in recovery.warnings()[0]
    assert journal.submit([b"next"]) == 13
    journal.close()


@pytest.mark.parametrize("kept", ["all", "none", "first"])
def test_a_known_end_that_is_missing_is_reported(several: str, kept: str) -> None:
    every = segments(several)
    last = first_lsns(several)[1] - 1 if kept == "first" else 0
    for path in {"all": [], "none": every, "first": every[1:]}[kept]:
        os.unlink(path)
    known = 500
    journal, recovery = Journal.open(
        several, segment_bytes=SEGMENT_BYTES, reserve_bytes=0, after_lsn=0, attested_lsn=known
    )
    if kept == "all":
        last = len(recovery.records)
    assert [lsn for lsn, _ in recovery.records] == list(range(1, last + 1))
    assert recovery.missing_lsns == [(last + 1, known)]
    assert journal.submit([b"next"]) == known + 1, "no number is given twice"
    journal.close()
    # The segment that begins after the gap now proves it too.
    journal, recovery = open_journal(several)
    journal.close()
    assert recovery.missing_lsns == [(last + 1, known)]


def test_what_is_attested_from_elsewhere_is_not_written_again(directory: str) -> None:
    journal, _ = open_journal(directory)
    journal.submit(numbered(3))
    abandon(journal)
    before = len(segments(directory))
    journal, recovery = Journal.open(
        directory, segment_bytes=SEGMENT_BYTES, reserve_bytes=0, after_lsn=0, attested_lsn=3
    )
    journal.close()
    assert bodies(recovery) == numbered(3)
    assert recovery.warnings() == []
    assert len(segments(directory)) == before + 1, "the new one of each start, and no copy"


def test_a_broken_header_does_not_hide_the_records(several: str) -> None:
    for path in segments(several):
        flip(path, 5)
    journal, recovery = open_journal(several)
    assert bodies(recovery) == numbered(300)
    assert {report.reason for report in recovery.quarantined} == {"header"}
    journal.close()


@pytest.mark.parametrize("name", [segment.file_name(1), segment.file_name(50)])
def test_another_format_is_refused_and_nothing_is_touched(directory: str, name: str) -> None:
    fill(directory, [numbered(3)])
    start = struct.pack(">8sIQQ", b"MAESTROJ", 3, 1, SEGMENT_BYTES)
    path = renew(directory, start + struct.pack(">I", zlib.crc32(start)) + bytes(100), name)
    before = read(path)
    with pytest.RaisesExc(MaestroError, check=lambda error: error.code == "FORMAT_UNSUPPORTED"):
        open_journal(directory)
    with pytest.RaisesExc(MaestroError, check=lambda error: error.code == "FORMAT_UNSUPPORTED"):
        first_segment_lsn(directory)
    assert (os.listdir(directory), read(path)) == ([name], before)


def test_a_changed_segment_size_does_not_matter(directory: str) -> None:
    written = numbered(100)
    for index, size in enumerate((4096, 8192, 2048)):
        journal, recovery = open_journal(directory, segment_bytes=size)
        assert bodies(recovery) == written[: index * 30]
        journal.submit(written[index * 30 : index * 30 + 30])
        journal.close()
    _, recovery = open_journal(directory)
    assert bodies(recovery) == written[:90]


# --- no space for what recovery writes -----------------------------------------------------------------------


def no_room_for(monkeypatch: pytest.MonkeyPatch, *parts: str) -> list[str]:
    """Opening a file for writing fails as on a full disk, if its name contains one of these."""
    real = os.open
    refused: list[str] = []

    def open_or_not(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and any(part in os.path.basename(path) for part in parts):
            refused.append(os.path.basename(path))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", open_or_not)
    return refused


def test_a_tail_that_can_not_be_copied_is_written_again_in_place(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, _ = open_journal(directory)
    journal.prepare_spare()
    journal.submit(numbered(2))
    journal.submit(numbered(3, 3))
    abandon(journal)
    path = segments(directory)[0]
    flip(path, entries(path)[4].end - 1)
    with monkeypatch.context() as patch:
        refused = no_room_for(patch, segment.file_name(3), "ready-")
        journal, recovery = open_journal(directory, reserve_bytes=1 << 60)
    assert len(refused) == 3, "again without the spare, and again without the reserve"
    assert bodies(recovery) == numbered(4)
    assert recovery.torn_bytes > 0
    assert os.listdir(directory) == [segment.file_name(1)]
    assert [(entry.lsn, entry.body is None) for entry in entries(path)][-1] == (4, True), "sealed, so not done twice"
    abandon_closed(journal)
    _, recovery = open_journal(directory)
    assert bodies(recovery) == numbered(4)
    assert recovery.warnings() == []


def abandon_closed(journal: Journal) -> None:
    """Close a journal that has no active segment."""
    assert not journal.has_room(1)
    journal.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_without_room_in_quarantine_the_bytes_stay_where_they_are(
    directory: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"one"])
    journal.submit([b"two", b"three", b"four"])
    abandon(journal)
    path = segments(directory)[0]
    found = entries(path)
    flip(path, found[0].end - 1)
    flip(path, found[2].end - 1)
    copy = os.path.join(directory, segment.file_name(500))
    write(copy, read(path))
    before = read(path)[found[2].offset : found[3].end]

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", fail)
        if number == errno.EIO:
            with pytest.RaisesExc(MaestroError, check=lambda error: error.code == "JOURNAL_FAILED"):
                open_journal(directory)
            os.unlink(copy)
            with pytest.RaisesExc(MaestroError, check=lambda error: error.code == "JOURNAL_FAILED"):
                open_journal(directory)
            return
        journal, recovery = open_journal(directory)
    assert recovery.records == [(2, b"two")]
    assert recovery.missing_lsns == [(1, 1)]
    assert [(report.reason, report.path) for report in recovery.quarantined] == [
        ("duplicate", None),
        ("corrupt", None),
        ("torn", None),
    ]
    assert read(path)[found[2].offset : found[3].end] == before
    assert "no room for a copy" in recovery.warnings()[1]
    assert journal.submit([b"three again"]) == 3
    abandon(journal)
    journal, recovery = open_journal(directory)
    assert recovery.records == [(2, b"two"), (3, b"three again")]
    assert recovery.missing_lsns == [(1, 1)]
    journal.close()


def test_an_error_that_is_no_lack_of_room_is_not_taken_for_one(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"one"])
    abandon(journal)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.RaisesExc(MaestroError, check=lambda error: error.code == "JOURNAL_FAILED"):
            open_journal(directory)
    _, recovery = open_journal(directory)
    assert bodies(recovery) == [b"one"]


def test_no_room_at_all_to_open(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "makedirs", fail)
    with pytest.RaisesExc(MaestroError, check=lambda error: error.code == "STORAGE_FULL"):
        open_journal(directory)
