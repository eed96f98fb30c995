"""Changes of a real folder, from the kernel."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.views.signs.folder_changes import FolderChanges

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def changes(tmp_path: Path) -> Iterator[FolderChanges]:
    made = FolderChanges()
    (tmp_path / "state").mkdir()
    made.watch(str(tmp_path / "state"))
    yield made
    made.close()


def test_what_was_written_moved_and_removed(tmp_path: Path, changes: FolderChanges) -> None:
    folder = tmp_path / "state"
    assert changes.take() == set()
    (folder / "ann").write_text("working\n")
    (folder / "bob").write_text("idle\n")
    (folder / "ann").read_text()
    assert changes.take() == {"ann", "bob"}
    os.rename(folder / "ann", folder / "carl")
    (folder / "bob").unlink()
    assert changes.take() == {"ann", "carl", "bob"}
    assert changes.take() == set()


@pytest.mark.parametrize("way", ["removed", "moved"])
def test_a_folder_that_is_not_there_any_more(tmp_path: Path, changes: FolderChanges, way: str) -> None:
    folder = tmp_path / "state"
    if way == "moved":
        os.rename(folder, tmp_path / "old")
    else:
        folder.rmdir()
    assert changes.take() is None
    assert not changes.is_watching
    (tmp_path / "new").mkdir()
    changes.watch(str(tmp_path / "new"))
    (tmp_path / "new" / "ann").write_text("idle\n")
    assert (changes.is_watching, changes.take()) == (True, {"ann"})
    if way == "moved":
        (tmp_path / "old" / "bob").write_text("idle\n")
        assert changes.take() == set()


def test_more_changes_than_the_kernel_keeps(tmp_path: Path, changes: FolderChanges) -> None:
    with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
        most = int(file.read())
    for number in range(most + 10):
        # Two names in turns: the kernel merges an event with an equal one before it.
        (tmp_path / "state" / f"s{number % 2}").write_bytes(b"")
    assert changes.take() is None
    assert changes.is_watching


def test_what_can_not_be_watched(tmp_path: Path, changes: FolderChanges) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(OSError, match="inotify_add_watch"):
            changes.watch(str(path))


def test_a_system_without_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_name: None, **_: Any) -> object:
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(OSError, match="no inotify"):
        FolderChanges()
