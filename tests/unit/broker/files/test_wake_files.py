"""Wake files on a real disk: whole, private, and in place of what stands there."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from maestro_broker.files.wake_files import WakeFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mailbox(tmp_path: Path) -> Path:
    made = tmp_path / "by-receiver" / "bob"
    made.mkdir(parents=True)
    return made


def test_a_file_is_made_touched_again_and_removed(tmp_path: Path, mailbox: Path) -> None:
    files = WakeFiles(str(tmp_path))
    files.make("bob", "idle")
    first = os.stat(files.path("bob"))
    assert stat.S_IMODE(first.st_mode) == 0o600
    assert (mailbox / ".wake").read_text() == "idle\n"
    files.make("bob", "any")
    assert (mailbox / ".wake").read_text() == "any\n"
    assert os.stat(files.path("bob")).st_mtime_ns >= first.st_mtime_ns
    assert os.listdir(tmp_path) == ["by-receiver"], "nothing is left over"
    assert files.remove("bob")
    assert not files.remove("bob")
    assert os.listdir(mailbox) == []


@pytest.mark.parametrize("kind", ["fifo", "link", "link to nothing", "folder", "another's file"])
def test_what_stands_in_its_place_is_replaced(tmp_path: Path, mailbox: Path, kind: str) -> None:
    path, target = mailbox / ".wake", tmp_path / "target"
    target.write_text("kept")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "another's file":
        path.write_text("something")
        path.chmod(0o400)
    else:
        path.symlink_to(target if kind == "link" else tmp_path / "nothing")
    files = WakeFiles(str(tmp_path))
    files.make("bob", "idle")
    assert not path.is_symlink()
    assert path.read_text() == "idle\n"
    assert target.read_text() == "kept"
    assert not (tmp_path / "nothing").exists()


def test_a_folder_with_something_in_it_stays(tmp_path: Path, mailbox: Path) -> None:
    (mailbox / ".wake" / "mine").mkdir(parents=True)
    files = WakeFiles(str(tmp_path))
    with pytest.raises(OSError, match="not empty"):
        files.make("bob", "idle")
    assert not files.remove("bob")
    assert (mailbox / ".wake" / "mine").is_dir()


def test_a_mailbox_without_a_folder(tmp_path: Path) -> None:
    files = WakeFiles(str(tmp_path))
    (tmp_path / "by-receiver").mkdir()
    with pytest.raises(FileNotFoundError):
        files.make("bob", "idle")
    assert not files.remove("bob")
    (tmp_path / "by-receiver" / "bob").write_text("no folder")
    with pytest.raises(NotADirectoryError):
        files.make("bob", "idle")
    assert not files.remove("bob")
    assert os.listdir(tmp_path) == ["by-receiver"]


def test_what_a_killed_broker_left_is_no_hindrance(tmp_path: Path, mailbox: Path) -> None:
    (tmp_path / ".wake.tmp").write_text("half")
    WakeFiles(str(tmp_path)).make("bob", "any")
    assert (mailbox / ".wake").read_text() == "any\n"
    assert not (tmp_path / ".wake.tmp").exists()
