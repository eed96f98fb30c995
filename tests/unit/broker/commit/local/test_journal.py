"""The journal while it is open: submitting, rolling over, sealing, releasing, failing, and a full disk."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maestro_broker.commit.local import segment
from maestro_broker.commit.local.journal import Journal, first_segment_lsn
from maestro_broker.files import disk
from maestro_schemas.errors import FatalError, MaestroError
from support import components
from support.journals import SEGMENT_BYTES, abandon, bodies, entries, fill, numbered, open_journal, read, segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from maestro_broker.commit.log import CommitLog

FRESH_ROOM = SEGMENT_BYTES - segment.HEADER_BYTES - segment.SEAL_BYTES
BODY_MAX = FRESH_ROOM - segment.RECORD_BYTES


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "messages" / "journal")


@pytest.fixture(autouse=True)
def _parent(tmp_path: Path) -> None:
    (tmp_path / "messages").mkdir()


def refuse(code: str) -> pytest.RaisesExc[MaestroError]:
    kind = FatalError if code == "JOURNAL_FAILED" else MaestroError
    return pytest.RaisesExc(MaestroError, check=lambda error: error.code == code and type(error) is kind)


# --- round trips --------------------------------------------------------------------------------------------


def test_a_new_journal_is_empty_and_gives_the_first_lsn(directory: str) -> None:
    journal, recovery = open_journal(directory)
    assert (recovery.records, recovery.torn_bytes, recovery.missing_lsns) == ([], 0, [])
    assert recovery.warnings() == []
    assert journal.head_lsn == 0
    assert journal.submit([b"one"]) == 1
    assert journal.submit([]) == 1
    assert journal.submit([b"two", b""]) == 3
    assert journal.head_lsn == 3
    journal.close()
    journal, recovery = open_journal(directory)
    assert recovery.records == [(1, b"one"), (2, b"two"), (3, b"")]
    assert journal.submit([b"four"]) == 4
    journal.close()


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    lives=st.lists(
        st.tuples(
            st.lists(st.lists(st.binary(max_size=600), max_size=9), max_size=6),
            st.sampled_from(["close", "abandon", "seal"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_was_appended_comes_back_after_each_reopening(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[list[list[bytes]], str]]
) -> None:
    directory = str(tmp_path_factory.mktemp("round") / "journal")
    written: list[bytes] = []
    for batches, end in lives:
        journal, recovery = open_journal(directory)
        assert bodies(recovery) == written
        assert recovery.warnings() == []
        for batch in batches:
            kept = [body for body in batch if segment.MARK not in body]
            written += kept
            assert journal.submit(kept) == len(written) == journal.head_lsn
        if end == "close":
            journal.close()
        else:
            if end == "seal":
                journal.seal()
            abandon(journal)
    _, recovery = open_journal(directory)
    assert bodies(recovery) == written


def test_only_records_above_the_checkpoint_come_back(directory: str) -> None:
    written = numbered(200)
    fill(directory, [written])
    journal, recovery = open_journal(directory, after_lsn=150)
    assert recovery.records == list(enumerate(written[150:], 151))
    assert recovery.warnings() == []
    journal.close()
    assert entries(segments(directory)[0])[-1].lsn > 150, "what the checkpoint covers was released"


def test_a_journal_behind_its_checkpoint_continues_after_it(directory: str) -> None:
    fill(directory, [numbered(3)])
    journal, recovery = open_journal(directory, after_lsn=10)
    assert (recovery.records, recovery.missing_lsns, journal.head_lsn) == ([], [], 10)
    assert journal.submit([b"eleven"]) == 11
    journal.close()
    _, recovery = open_journal(directory, after_lsn=10)
    assert recovery.records == [(11, b"eleven")]


def test_a_batch_may_take_several_segments(directory: str) -> None:
    written = numbered(300)
    journal, _ = open_journal(directory)
    journal.submit(numbered(3))
    assert journal.submit(written) == 303
    abandon(journal)
    assert len(segments(directory)) > 3
    _, recovery = open_journal(directory)
    assert bodies(recovery) == numbered(3) + written


def test_the_largest_body_fits_and_a_larger_one_is_refused_before_anything_is_written(directory: str) -> None:
    journal, _ = open_journal(directory)
    assert journal.submit([b"x" * BODY_MAX]) == 1
    assert segment.body_bytes_max(SEGMENT_BYTES) == BODY_MAX
    with refuse("DATA_TOO_LARGE"):
        journal.submit([b"small", b"x" * (BODY_MAX + 1)])
    assert journal.submit([b"x" * BODY_MAX]) == 2
    journal.close()
    _, recovery = open_journal(directory)
    assert [len(body) for _, body in recovery.records] == [BODY_MAX, BODY_MAX]


@pytest.mark.parametrize("count", [1, 100])
def test_a_body_that_looks_like_a_record_is_refused_before_anything_is_written(directory: str, count: int) -> None:
    journal, _ = open_journal(directory)
    with refuse("INVALID"):
        journal.submit([*numbered(count), segment.pack_records([b"forged"], 7)])
    assert journal.submit([b"one"]) == 1
    journal.close()
    _, recovery = open_journal(directory)
    assert recovery.records == [(1, b"one")]


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
# The numbers and lengths whose encodings have the most 0xC1 bytes.
nasty = st.sampled_from([0xC1C1C1C1C1C1C1C1, 0xC1C1C1C1, 0xC1C1, "x" * 0xC1, -0x3E3E3E3E3E3E3E3F])


@pytest.mark.slow
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(value=st.lists(plain | nasty, max_size=8))
def test_no_encoded_value_contains_the_mark_of_a_record(value: object) -> None:
    assert segment.MARK not in msgspec.msgpack.encode(value)


# --- seals --------------------------------------------------------------------------------------------------


def test_a_seal_is_written_once_and_the_next_append_takes_its_place(directory: str) -> None:
    journal, _ = open_journal(directory)
    path = segments(directory)[0]
    journal.seal()
    assert entries(path) == [], "the header of a new segment attests enough"
    journal.submit([b"one"])
    journal.seal()
    sealed = read(path)
    assert [(entry.lsn, entry.body) for entry in entries(path)] == [(1, b"one"), (1, None)]
    journal.seal()
    assert read(path) == sealed
    journal.submit([b"two"])
    assert [(entry.lsn, entry.synced, entry.body) for entry in entries(path)] == [(1, 0, b"one"), (2, 1, b"two")]
    journal.close()
    assert entries(path)[-1].body is None


def test_a_full_segment_keeps_a_seals_place(directory: str) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"x" * BODY_MAX])
    journal.seal()
    assert [entry.end for entry in entries(segments(directory)[0])][-1] == SEGMENT_BYTES
    journal.close()


def test_a_clean_stop_and_start_writes_nothing_again(directory: str) -> None:
    fill(directory, [numbered(5)])
    before = read(segments(directory)[0])
    for _ in range(3):
        journal, recovery = open_journal(directory)
        assert recovery.warnings() == []
        journal.close()
        assert [os.path.basename(path) for path in segments(directory)] == [
            segment.file_name(1),
            segment.file_name(6),
        ], "an empty segment is used, not another one made"
    assert read(segments(directory)[0]) == before


# --- releasing and preparing --------------------------------------------------------------------------------


def test_release_keeps_what_is_needed_and_always_the_last(directory: str) -> None:
    journal, _ = open_journal(directory)
    journal.submit(numbered(200))
    firsts = [segment.named_lsn(os.path.basename(path)) for path in segments(directory)]
    assert len(firsts) > 3
    journal.release(0)
    journal.release(firsts[1] - 2)
    assert len(segments(directory)) == len(firsts)
    os.unlink(segments(directory)[0])  # another program has removed it
    journal.release(firsts[2] - 1)
    assert [segment.named_lsn(os.path.basename(path)) for path in segments(directory)] == firsts[2:]
    assert first_segment_lsn(directory) == firsts[2]
    journal.release(10_000)
    assert len(segments(directory)) == 1
    journal.submit([b"more"])
    journal.close()
    _, recovery = open_journal(directory, after_lsn=200)
    assert recovery.records == [(201, b"more")]


def test_first_segment_lsn_where_there_is_none(directory: str) -> None:
    assert first_segment_lsn(directory) is None
    os.makedirs(directory)
    assert first_segment_lsn(directory) is None


def test_a_spare_from_another_thread_is_taken_at_the_roll_over(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, _ = open_journal(directory)
    thread = threading.Thread(target=journal.prepare_spare)
    thread.start()
    thread.join()
    assert {"spare", "reserve"} <= set(os.listdir(directory))
    journal.prepare_spare()  # nothing to do

    def no_zeros(path: str, size: int) -> None:
        raise AssertionError(f"{path} was made on the main thread")

    monkeypatch.setattr(segment, "make_zeros", no_zeros)
    journal.submit([b"x" * BODY_MAX])
    journal.submit([b"y" * BODY_MAX])
    assert "spare" not in os.listdir(directory)
    assert "reserve" in os.listdir(directory)
    journal.close()


def test_spares_are_prepared_while_appends_roll_over(directory: str) -> None:
    journal, _ = open_journal(directory)
    failures: list[BaseException] = []
    done = threading.Event()

    def prepare() -> None:
        try:
            while not done.is_set():
                journal.prepare_spare()
                journal.release(journal.head_lsn - 50)
        except MaestroError as error:
            failures.append(error)

    thread = threading.Thread(target=prepare)
    thread.start()
    written = numbered(600)
    for start in range(0, 600, 6):
        journal.submit(written[start : start + 6])
    done.set()
    thread.join()
    journal.close()
    assert failures == []
    _, recovery = open_journal(directory, after_lsn=560)
    assert bodies(recovery) == written[560:]


def test_a_spare_of_another_size_is_replaced_and_one_of_the_same_is_used_at_the_next_start(directory: str) -> None:
    journal, _ = open_journal(directory)
    journal.prepare_spare()
    journal.submit([b"one"])
    journal.close()
    inode = os.stat(os.path.join(directory, "spare")).st_ino
    journal, _ = open_journal(directory)
    assert os.stat(segments(directory)[-1]).st_ino == inode
    journal.prepare_spare()
    journal.close()
    journal, _ = open_journal(directory, segment_bytes=2 * SEGMENT_BYTES)
    assert not {"spare", "reserve"} & set(os.listdir(directory))
    assert os.path.getsize(segments(directory)[-1]) == 2 * SEGMENT_BYTES
    journal.close()


def test_a_batch_is_reported_committed_once(directory: str) -> None:
    journal: CommitLog = open_journal(directory)[0]
    assert journal.committed() is None
    journal.submit([], from_reserve=False)
    assert journal.committed() is None
    journal.submit([b"one"], from_reserve=False)
    journal.submit([b"two", b"three"], from_reserve=False)
    assert journal.committed() == journal.head_lsn == 3
    assert journal.committed() is None
    journal.close()


@pytest.mark.parametrize("removal", ["the segment", "the directory"])
def test_a_batch_in_a_segment_without_a_name_is_not_reported(directory: str, removal: str) -> None:
    """It would be lost with this process."""
    journal, _ = open_journal(directory)
    journal.submit([b"one"])
    assert journal.committed() == 1
    if removal == "the segment":
        os.unlink(segments(directory)[-1])
    else:
        shutil.rmtree(directory)
    journal.submit([b"two"])
    for _ in range(2):
        with pytest.raises(FatalError, match=re.escape(directory)):
            journal.committed()


def test_a_refused_batch_is_not_reported_committed(directory: str) -> None:
    journal, _ = open_journal(directory)
    with refuse("DATA_TOO_LARGE"):
        journal.submit([b"x" * (BODY_MAX + 1)])
    assert journal.committed() is None
    journal.close()


# --- failures -----------------------------------------------------------------------------------------------


def refuses_everything(journal: Journal) -> None:
    for call in (
        lambda: journal.submit([b"again"]),
        lambda: journal.submit([b"again"], from_reserve=True),
        lambda: journal.submit([]),
        journal.committed,
        lambda: journal.has_room(SEGMENT_BYTES),
        lambda: journal.release(1),
        journal.seal,
        journal.prepare_spare,
    ):
        with refuse("JOURNAL_FAILED"):
            call()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("name", ["fdatasync", "pwrite"])
def test_after_a_failed_write_or_sync_every_call_is_refused(
    directory: str, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"one"])

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with refuse("JOURNAL_FAILED"):
            journal.submit([b"two"])
    refuses_everything(journal)
    journal.close()
    journal.close()
    _, recovery = open_journal(directory)
    assert bodies(recovery)[0] == b"one"
    assert recovery.missing_lsns == []


def interrupt(_: int) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_append_is_a_failed_one(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = open_journal(directory)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.submit([b"one"])
    with refuse("JOURNAL_FAILED"):
        journal.submit([b"two"])
    refuses_everything(journal)
    journal.close()


def test_closing_an_interrupted_journal_writes_nothing(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = open_journal(directory)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.submit([b"one"])
    before = read(segments(directory)[0])
    journal.close()
    assert read(segments(directory)[0]) == before


def failing(patch: pytest.MonkeyPatch, name: str, number: int = errno.EIO) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    patch.setattr(os, name, fail)


def test_a_failure_at_the_roll_over_ends_the_journal(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"x" * BODY_MAX])
    with monkeypatch.context() as patch:
        failing(patch, "rename")
        with refuse("JOURNAL_FAILED"):
            journal.submit([b"two"])
    refuses_everything(journal)
    _, recovery = open_journal(directory)
    assert bodies(recovery) == [b"x" * BODY_MAX]


@pytest.mark.parametrize("name", ["fsync", "statvfs"])
def test_a_failure_while_room_is_made_ends_the_journal(
    directory: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"x" * BODY_MAX])
    with monkeypatch.context() as patch:
        failing(patch, name)
        with refuse("JOURNAL_FAILED"):
            journal.has_room(SEGMENT_BYTES - 100)
    refuses_everything(journal)


@pytest.mark.parametrize(("name", "call"), [("unlink", "release"), ("fsync", "spare"), ("pwrite", "seal")])
def test_a_failure_beside_appends_ends_the_journal(
    directory: str, monkeypatch: pytest.MonkeyPatch, name: str, call: str
) -> None:
    journal, _ = open_journal(directory)
    journal.submit(numbered(200))
    with monkeypatch.context() as patch:
        failing(patch, name)
        with refuse("JOURNAL_FAILED"):
            {"release": lambda: journal.release(200), "spare": journal.prepare_spare, "seal": journal.seal}[call]()
    refuses_everything(journal)
    journal.close()


def test_a_seal_that_fails_at_the_end_closes_all_the_same(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"one"])
    with monkeypatch.context() as patch:
        failing(patch, "pwrite")
        with refuse("JOURNAL_FAILED"):
            journal.close()
    journal.close()
    refuses_everything(journal)


@pytest.mark.parametrize("name", ["pwrite", "fdatasync", "rename"])
def test_an_open_that_fails_says_so(directory: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with monkeypatch.context() as patch:
        failing(patch, name)
        with refuse("JOURNAL_FAILED"):
            open_journal(directory)
    journal, recovery = open_journal(directory)
    assert recovery.warnings() == []
    journal.close()


def test_short_writes_are_continued(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite

    def partial(fd: int, data: bytes | memoryview, offset: int) -> int:
        return whole(fd, bytes(data[:7]), offset)

    journal, _ = open_journal(directory)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", partial)
        journal.submit(numbered(9))
    abandon(journal)
    _, recovery = open_journal(directory)
    assert bodies(recovery) == numbered(9)


def test_a_write_that_writes_nothing_is_an_error_not_a_loop(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _ = open_journal(directory)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda fd, data, offset: 0)
        with refuse("JOURNAL_FAILED"):
            journal.submit([b"one"])


LIMITED = """
import resource, sys
from maestro_broker.commit.local.journal import Journal
from maestro_schemas.errors import FatalError, MaestroError
journal, _ = Journal.open(sys.argv[1], segment_bytes=65536, reserve_bytes=0, after_lsn=0)
journal.submit([b"x" * 500] * 4)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
try:
    journal.submit([b"y" * 500] * 4)
except MaestroError as error:
    print(error.code)
try:
    journal.submit([b"z"])
except MaestroError as error:
    print(error.code)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
"""


def test_a_real_short_write_fails_the_batch_and_loses_nothing_before_it(directory: str) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, directory], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["JOURNAL_FAILED", "JOURNAL_FAILED"]
    _, recovery = open_journal(directory, segment_bytes=65536)
    assert bodies(recovery) == [b"x" * 500] * 4 + [b"y" * 500]
    assert recovery.torn_bytes > 0
    assert recovery.missing_lsns == []


# --- a full disk --------------------------------------------------------------------------------------------


class Gauge:
    """Replaces statvfs: a chosen number of free bytes, less the bytes written since."""

    def __init__(self, patch: pytest.MonkeyPatch, free_bytes: int) -> None:
        self.free_bytes = free_bytes
        real = segment.make_zeros

        def make_zeros(path: str, size: int) -> None:
            if size > self.free_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(path, size)
            self.free_bytes -= size

        patch.setattr(segment, "make_zeros", make_zeros)
        patch.setattr(disk, "free_bytes", lambda directory: self.free_bytes)


@pytest.fixture
def gauge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gauge]:
    with monkeypatch.context() as patch:
        yield Gauge(patch, 100 * SEGMENT_BYTES)


def test_below_the_floor_sends_are_refused_and_confirms_use_the_reserve(directory: str, gauge: Gauge) -> None:
    journal, _ = open_journal(directory, reserve_bytes=2 * SEGMENT_BYTES)
    journal.prepare_spare()
    gauge.free_bytes = SEGMENT_BYTES
    assert journal.has_room(100)
    journal.submit([b"x" * BODY_MAX])
    assert not journal.has_room(100)
    with refuse("STORAGE_FULL"):
        journal.submit([b"send"])
    journal.prepare_spare()
    assert journal.has_room(100, from_reserve=True)
    assert journal.submit([b"y" * BODY_MAX], from_reserve=True) == 2
    assert journal.submit([b"confirm"], from_reserve=True) == 3
    assert not {"spare", "reserve"} & set(os.listdir(directory))
    assert not journal.has_room(100), "a send must not eat what confirms live from"
    with refuse("STORAGE_FULL"):
        journal.submit([b"send"])
    assert journal.has_room(100, from_reserve=True)
    gauge.free_bytes = 0
    assert not journal.has_room(SEGMENT_BYTES, from_reserve=True)
    with refuse("STORAGE_FULL"):
        journal.submit([b"z" * BODY_MAX], from_reserve=True)

    gauge.free_bytes = 10 * SEGMENT_BYTES
    assert journal.has_room(100), "it resumes by itself"
    assert "reserve" in os.listdir(directory), "and not before what confirms live from is there again"
    assert journal.submit([b"send"]) == 4
    journal.close()
    _, recovery = open_journal(directory, reserve_bytes=2 * SEGMENT_BYTES)
    assert bodies(recovery) == [b"x" * BODY_MAX, b"y" * BODY_MAX, b"confirm", b"send"]


def test_a_whole_reserve_again_is_relief_too(directory: str, gauge: Gauge) -> None:
    journal, _ = open_journal(directory, reserve_bytes=SEGMENT_BYTES)
    journal.prepare_spare()
    journal.submit([b"x" * BODY_MAX])
    gauge.free_bytes = 0
    journal.submit([b"y" * BODY_MAX], from_reserve=True)
    journal.submit([b"z"], from_reserve=True)
    assert not journal.has_room(10)
    gauge.free_bytes = 2 * SEGMENT_BYTES
    journal.prepare_spare()
    assert "reserve" in os.listdir(directory)
    assert "spare" not in os.listdir(directory), "not below the floor"
    assert gauge.free_bytes == SEGMENT_BYTES
    assert journal.submit([b"send"]) == 4
    assert journal.has_room(10)
    journal.close()


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "STORAGE_FULL"), (errno.EIO, "JOURNAL_FAILED")])
def test_a_reserve_that_can_not_be_made_is_no_relief(
    directory: str, gauge: Gauge, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    journal, _ = open_journal(directory, reserve_bytes=SEGMENT_BYTES)
    journal.prepare_spare()
    journal.submit([b"x" * BODY_MAX])
    gauge.free_bytes = 0
    journal.submit([b"y" * BODY_MAX], from_reserve=True)
    journal.submit([b"z"], from_reserve=True)
    gauge.free_bytes = 10 * SEGMENT_BYTES

    def fail(path: str, size: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch, refuse(code):
        patch.setattr(segment, "make_zeros", fail)
        journal.submit([b"send"])


def test_a_reserve_that_two_threads_make_at_once(
    directory: str, gauge: Gauge, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, _ = open_journal(directory, reserve_bytes=SEGMENT_BYTES)
    journal.prepare_spare()
    journal.submit([b"x" * BODY_MAX])
    gauge.free_bytes = 0
    journal.submit([b"y" * BODY_MAX], from_reserve=True)
    journal.submit([b"z"], from_reserve=True)
    gauge.free_bytes = 10 * SEGMENT_BYTES
    make_zeros = segment.make_zeros
    with monkeypatch.context() as patch:

        def other_first(path: str, size: int) -> None:
            patch.setattr(segment, "make_zeros", make_zeros)
            journal.prepare_spare()
            make_zeros(path, size)

        patch.setattr(segment, "make_zeros", other_first)
        assert journal.submit([b"send"]) == 4
    assert {"spare", "reserve"} <= set(os.listdir(directory))
    journal.close()


def test_what_room_was_promised_is_there_even_when_the_disk_fills_up_in_between(directory: str, gauge: Gauge) -> None:
    journal, _ = open_journal(directory, reserve_bytes=SEGMENT_BYTES)
    journal.submit([b"x" * BODY_MAX])
    assert journal.has_room(10 * SEGMENT_BYTES)
    gauge.free_bytes = 0
    assert journal.submit([b"y" * BODY_MAX] * 10) == 11
    journal.close()


def test_a_send_that_was_promised_room_may_share_a_batch_with_confirms_from_the_reserve(
    directory: str, gauge: Gauge
) -> None:
    journal, _ = open_journal(directory, reserve_bytes=SEGMENT_BYTES)
    journal.prepare_spare()
    journal.submit([b"x" * 1000])
    gauge.free_bytes = 0
    assert journal.has_room(2000)
    assert journal.has_room(FRESH_ROOM, from_reserve=True)
    assert not journal.has_room(2001), "not a further send"
    assert journal.submit([b"s" * 1900, b"c" * 1900, b"c" * 100]) == 4
    assert not journal.has_room(10)
    journal.close()


def test_a_refused_large_batch_writes_nothing(directory: str, gauge: Gauge) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"one"])
    gauge.free_bytes = SEGMENT_BYTES
    with refuse("STORAGE_FULL"):
        journal.submit([b"x" * 2000] * 10)
    assert journal.submit([b"two"]) == 2
    journal.close()
    _, recovery = open_journal(directory)
    assert bodies(recovery) == [b"one", b"two"]


@pytest.mark.parametrize("call", ["has_room", "prepare_spare"])
def test_a_gauge_that_was_wrong_is_a_refusal_not_a_failure(
    directory: str, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    journal, _ = open_journal(directory)
    journal.submit([b"one"])
    with monkeypatch.context() as patch:
        failing(patch, "fsync", errno.EDQUOT)
        if call == "has_room":
            assert not journal.has_room(SEGMENT_BYTES)
        else:
            journal.prepare_spare()
    assert sorted(os.listdir(directory)) == [segment.file_name(1)], "the attempt left nothing behind"
    assert journal.has_room(SEGMENT_BYTES)
    assert journal.submit([b"x" * BODY_MAX]) == 2
    journal.close()


def test_a_journal_opens_without_room_for_a_segment_and_resumes(directory: str, gauge: Gauge) -> None:
    fill(directory, [[b"one"]])
    gauge.free_bytes = 0
    journal, recovery = open_journal(directory)
    assert bodies(recovery) == [b"one"]
    assert not journal.has_room(1)
    with refuse("STORAGE_FULL"):
        journal.submit([b"two"], from_reserve=True)
    journal.seal()
    gauge.free_bytes = 5 * SEGMENT_BYTES
    assert journal.submit([b"two"]) == 2
    journal.close()
    _, recovery = open_journal(directory)
    assert bodies(recovery) == [b"one", b"two"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str]:
    """A real file system of 1 MiB."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "maestro-test", str(mounted)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        components.missing(f"mounting a small tmpfs takes root: {done.stderr.strip()}")
    try:
        yield str(mounted)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def fill_up(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)

    def write_on() -> None:
        while os.write(fd, bytes(4096)):
            pass

    with pytest.raises(OSError, match="No space left"):
        write_on()
    os.close(fd)


def test_a_really_full_disk(small_disk: str) -> None:
    directory = os.path.join(small_disk, "messages", "journal")
    ballast = os.path.join(small_disk, "ballast")
    os.makedirs(os.path.dirname(directory))
    size = 64 << 10
    journal, _ = open_journal(directory, segment_bytes=size, reserve_bytes=64 << 10)
    journal.prepare_spare()
    fill_up(ballast)
    sent = 0
    while journal.has_room(1034):
        journal.submit([b"s" * 1000])
        sent += 1
    assert 50 < sent < 70, "the active segment, and no more"
    with refuse("STORAGE_FULL"):
        journal.submit([b"s" * 1000])
    confirmed = 0
    while journal.has_room(1034, from_reserve=True):
        journal.submit([b"c" * 1000], from_reserve=True)
        confirmed += 1
    assert 110 < confirmed < 140, "the spare, and the reserve"
    with refuse("STORAGE_FULL"):
        journal.submit([b"c" * 1000], from_reserve=True)
    abandon(journal)

    journal, recovery = open_journal(directory, segment_bytes=size, reserve_bytes=64 << 10)
    assert bodies(recovery) == [b"s" * 1000] * sent + [b"c" * 1000] * confirmed
    assert not journal.has_room(1034)
    os.unlink(ballast)
    assert journal.has_room(1034)
    assert journal.submit([b"s" * 1000]) == sent + confirmed + 1
    journal.close()
