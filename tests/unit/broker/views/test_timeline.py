"""Timeline: every LSN once, in order, also after a crash."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_broker.views.timeline import Timeline
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event

if TYPE_CHECKING:
    from pathlib import Path

DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def _events(first: int, last: int, step_ms: int = 1_000, pad: int = 0) -> list[Event]:
    return [
        Event(lsn=lsn, at=NOON_MS + lsn * step_ms, event="message.read", id=f"m{lsn}", via="v" * pad or None)
        for lsn in range(first, last + 1)
    ]


def _lsns(timeline: Timeline, after: int) -> list[int]:
    return [event.lsn for event in timeline.read(after)]


def test_lines_are_stored_by_day_and_read_in_order(tmp_path: Path) -> None:
    """One file a day (UTC), read across files, forwards and backwards."""
    timeline = Timeline(str(tmp_path))
    assert (timeline.first_lsn(), list(timeline.read(0)), list(timeline.read_back())) == (None, [], [])
    timeline.append(_events(1, 30, step_ms=DAY_MS // 10))
    assert len(list(tmp_path.iterdir())) == 4
    assert timeline.first_lsn() == 1
    assert _lsns(timeline, 0) == list(range(1, 31))
    assert _lsns(timeline, 12) == list(range(13, 31))
    assert _lsns(timeline, 30) == []
    assert [event.lsn for event in timeline.read_back()] == list(range(30, 0, -1))
    timeline.close()
    timeline.close()


def test_a_replay_adds_only_what_is_missing(tmp_path: Path) -> None:
    """After a crash the journal's tail is written again."""
    timeline = Timeline(str(tmp_path))
    timeline.append(_events(1, 5))
    timeline.close()
    again = Timeline(str(tmp_path))
    assert again.last_lsn == 5
    again.append(_events(3, 8))
    again.append(_events(8, 8))
    assert _lsns(again, 0) == list(range(1, 9))
    again.close()


def test_every_torn_line_is_cut_off(tmp_path: Path) -> None:
    """A half-written last line is cut off; whole lines stay; lost ones can be added again."""
    timeline = Timeline(str(tmp_path))
    timeline.append(_events(1, 4))
    timeline.close()
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        repaired = Timeline(str(tmp_path))
        assert repaired.last_lsn == whole[:cut].count(b"\n")
        repaired.append(_events(1, 4))
        repaired.close()
        assert path.read_bytes() == whole


def test_rubbish_after_a_power_cut_is_cut_off(tmp_path: Path) -> None:
    """Data that had not reached the disk is read as zeros."""
    timeline = Timeline(str(tmp_path))
    timeline.append(_events(1, 4))
    timeline.close()
    [path] = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b"\0" * 100 + b"\n" + b"{}\n")
    repaired = Timeline(str(tmp_path))
    assert repaired.last_lsn == 4
    repaired.append(_events(5, 6))
    assert _lsns(repaired, 0) == [1, 2, 3, 4, 5, 6]
    repaired.close()


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    """It is reported, not left out."""
    timeline = Timeline(str(tmp_path))
    timeline.append(_events(1, 3))
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b'"lsn":2', b'"lsn":x'))
    timeline.close()
    timeline = Timeline(str(tmp_path))
    with pytest.raises(MaestroError) as caught:
        list(timeline.read(0))
    assert caught.value.code == "CORRUPT"
    timeline.close()


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 5_000), pad=st.integers(0, 200), shares=st.lists(st.floats(0, 1), max_size=5))
def test_bisection_finds_every_cursor(
    tmp_path_factory: pytest.TempPathFactory, count: int, pad: int, shares: list[float]
) -> None:
    """In a file larger than a chunk, and in a small one."""
    directory = tmp_path_factory.mktemp("timeline")
    timeline = Timeline(str(directory))
    timeline.append(_events(1, count, step_ms=1, pad=pad))
    for share in shares:
        after = int(share * count)
        first = next(iter(timeline.read(after)), None)
        assert (first.lsn if first is not None else None) == (after + 1 if after < count else None)
    assert sum(1 for _ in timeline.read_back()) == count
    timeline.close()
    assert Timeline(str(directory)).last_lsn == count
    assert os.path.getsize(next(directory.iterdir())) > 0


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    """Also if their names have the same suffix."""
    for name in ("zz.jsonl", "2026-11-22.jsonl.bak", "notes.txt"):
        (tmp_path / name).write_text("not ours")
    timeline = Timeline(str(tmp_path))
    assert (timeline.last_lsn, timeline.first_lsn(), list(timeline.read(0))) == (0, None, [])
    assert (tmp_path / "zz.jsonl").read_text() == "not ours"


def test_half_a_line_on_a_full_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try writes the lines, once."""
    timeline = Timeline(str(tmp_path))
    timeline.append(_events(1, 2))
    room = 100
    write = os.write

    def fill_up(fd: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = write(fd, data[:room])
        room -= count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill_up)
        with pytest.raises(OSError, match="No space"):
            timeline.append(_events(1, 9))
    assert timeline.last_lsn == 2
    assert _lsns(timeline, 0) == [1, 2]
    timeline.append(_events(1, 9))
    assert _lsns(timeline, 0) == list(range(1, 10))
    timeline.close()


def test_the_newest_events_need_no_file(tmp_path: Path) -> None:
    """A reader of new events asks a hundred times a second."""
    timeline = Timeline(str(tmp_path))
    timeline.append(_events(1, 5_000))
    timeline.append(_events(5_001, 5_200, step_ms=DAY_MS // 100))
    for path in tmp_path.iterdir():
        path.unlink()
    assert _lsns(timeline, 5_200) == []
    assert _lsns(timeline, 5_199) == [5_200]
    assert _lsns(timeline, 4_000) == list(range(4_001, 5_201))
    assert timeline.begins_after(4_000) is None
    timeline.close()


def test_removed_lines_are_reported(tmp_path: Path) -> None:
    """The sweep removes the oldest file."""
    timeline = Timeline(str(tmp_path))
    assert timeline.begins_after(0) is None
    timeline.append(_events(1, 30, step_ms=DAY_MS // 10))
    timeline.close()
    min(tmp_path.iterdir()).unlink()
    again = Timeline(str(tmp_path))
    first = again.first_lsn()
    assert first is not None
    assert first > 1
    assert [again.begins_after(lsn) for lsn in (0, first - 2)] == [first, first]
    assert [again.begins_after(lsn) for lsn in (first - 1, first, 30)] == [None, None, None]
    again.append(_events(31, 40, step_ms=DAY_MS // 10))
    assert again.begins_after(0) == first
    assert [again.begins_after(lsn) for lsn in (first - 1, 30, 35, 40)] == [None, None, None, None]
    again.close()


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 4_000), step_ms=st.sampled_from([0, 1, 40, DAY_MS // 9]), pad=st.integers(0, 200))
def test_a_time_is_found_without_reading_all(
    tmp_path_factory: pytest.TempPathFactory, count: int, step_ms: int, pad: int
) -> None:
    """No later event is left out, with the newest in memory, and after a start."""
    count = count if step_ms < DAY_MS // 9 else min(count, 60)
    directory = tmp_path_factory.mktemp("timeline")
    timeline = Timeline(str(directory))
    assert timeline.last_before(NOON_MS) == 0
    made = _events(1, count, step_ms=step_ms, pad=pad)
    timeline.append(made)
    again = Timeline(str(directory))
    for at_ms in {0, made[0].at, made[count // 2].at, made[-1].at, made[-1].at + 1, made[-1].at + DAY_MS, 1 << 62}:
        wanted = [event.lsn for event in made if event.at >= at_ms]
        for reader in (timeline, again):
            before = reader.last_before(at_ms)
            assert before < (wanted[0] if wanted else count + 1)
            assert [event.lsn for event in reader.read(before) if event.at >= at_ms] == wanted
    timeline.close()
    again.close()
