"""New files: whole or absent, with their modes, and never in place of another."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from maestro_broker.files import new_files
from maestro_broker.files.new_files import NewFiles

if TYPE_CHECKING:
    from pathlib import Path

LONG = b"x" * (1 << 20)


def test_a_file_has_its_content_its_mode_and_no_company(tmp_path: Path) -> None:
    """In a folder below the first one; the descriptors of the files are closed."""
    (tmp_path / "box").mkdir()
    made = NewFiles(str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    assert made.create("box/a", b"text", 0o600)
    assert made.create("box/b", LONG, 0o400)
    assert (tmp_path / "box" / "a").read_bytes() == b"text"
    assert (tmp_path / "box" / "b").read_bytes() == LONG
    assert [stat.S_IMODE((tmp_path / "box" / name).stat().st_mode) for name in ("a", "b")] == [0o600, 0o400]
    assert sorted(os.listdir(tmp_path / "box")) == ["a", "b"]
    assert (tmp_path / "box" / "a").stat().st_nlink == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_write_that_takes_a_part_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that is nearly full, or after a signal."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    assert NewFiles(str(tmp_path)).create("a", b"ten bytes.", 0o600)
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"ten bytes."


def test_a_name_that_is_taken_stays(tmp_path: Path) -> None:
    """A file, a link that leads nowhere, and a folder: the caller replaces it if it wants to."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    made = NewFiles(str(tmp_path))
    for name in ("file", "link", "folder"):
        assert not made.create(name, b"new", 0o600)
        made.link(name, "elsewhere")
    assert (tmp_path / "file").read_text() == "mine"
    assert os.readlink(tmp_path / "link") == "nowhere"
    assert made.create("other", b"new", 0o600), "one name that is taken does not end it"


@pytest.mark.parametrize("call", ["open", "write", "link"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_is_an_error_with_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """At each step; nothing is left, and the next try may succeed."""
    made = NewFiles(str(tmp_path))

    def fail(*_arguments: object, **_named: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=f"{os.strerror(number)}: '{tmp_path}/a'"):
        made.create("a", b"text", 0o600)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []
    assert made.create("a", b"text", 0o600)


def test_where_there_are_no_nameless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another system, no /proc, and a file system that refuses: the caller hears it, once and for all."""
    with monkeypatch.context() as patch:
        patch.setattr(new_files, "_NAMELESS", 0)
        assert not NewFiles(str(tmp_path)).create("a", b"text", 0o600)
    with monkeypatch.context() as patch:
        patch.setattr(new_files, "_OPEN_FILES", str(tmp_path / "proc"))
        assert not NewFiles(str(tmp_path)).create("a", b"text", 0o600)
    made = NewFiles(str(tmp_path))

    def refuse(*_arguments: object, **_named: object) -> int:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert not made.create("a", b"text", 0o600)
    assert not made.create("a", b"text", 0o600)
    assert os.listdir(tmp_path) == []


def test_a_link_is_made_once_and_its_error_has_the_path(tmp_path: Path) -> None:
    """The folder must be there."""
    made = NewFiles(str(tmp_path))
    for target in ("first", "second"):
        made.link("link", target)
    assert os.readlink(tmp_path / "link") == "first"
    with pytest.raises(FileNotFoundError, match=f"'{tmp_path}/none/link'"):
        made.link("none/link", "first")


def test_the_descriptors_end_with_it(tmp_path: Path) -> None:
    """A process may have several, one after the other."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(8):
        NewFiles(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) <= before + 2
