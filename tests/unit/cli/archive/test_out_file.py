"""A document beside the user's files: whole or not there, and never over another without a word."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from maestro_cli.archive import out_file
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_new_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    assert out_file.write(str(path), ["a\n", "é\n"], force=False) == 5
    assert path.read_text("utf-8") == "a\né\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["x.md"]


@pytest.mark.parametrize("what", ["file", "link", "dangling"])
def test_what_exists_is_left_alone(tmp_path: Path, what: str) -> None:
    path, other = tmp_path / "x.md", tmp_path / "other"
    if what == "file":
        path.write_text("old", "utf-8")
    else:
        path.symlink_to(other)
        if what == "link":
            other.write_text("old", "utf-8")
    for refused in (
        lambda: out_file.check(str(path), force=False),
        lambda: out_file.write(str(path), ["new"], force=False),
    ):
        with pytest.raises(MaestroError) as raised:
            refused()
        assert raised.value.code == "CONFLICT"
        assert "--force" in raised.value.hint
    out_file.check(str(path), force=True)
    out_file.write(str(path), ["new"], force=True)
    assert path.read_text("utf-8") == "new"
    assert not path.is_symlink()
    assert not (what == "link" and other.read_text("utf-8") != "old")


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text("old", "utf-8")

    def pieces() -> Iterator[str]:
        yield "new"
        raise MaestroError("TIMEOUT", "the broker")

    with pytest.raises(MaestroError, match="the broker"):
        out_file.write(str(path), pieces(), force=True)
    assert path.read_text("utf-8") == "old"
    assert os.listdir(tmp_path) == ["x.md"]


@pytest.mark.parametrize("place", ["absent/x.md", "file/x.md", "folder"])
def test_a_place_where_no_file_can_be(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MaestroError) as raised:
        out_file.check(str(tmp_path / place), force=True)
    assert raised.value.code == "FILE_UNREADABLE"
    with pytest.raises(MaestroError):
        out_file.write(str(tmp_path / place), ["x"], force=True)


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_source: str, _target: str) -> None:
        raise OSError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "x.md"
    out_file.write(str(path), ["a"], force=False)
    with pytest.raises(MaestroError):
        out_file.write(str(path), ["b"], force=False)
    assert path.read_text("utf-8") == "a"


def test_a_directory_that_may_not_be_written_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everywhere, so the answer of the kernel is that of another user.
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(MaestroError, match="may not be written in"):
        out_file.check(str(tmp_path / "x.md"), force=False)
