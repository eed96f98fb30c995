"""Atomic file: the old content or the new, exact permissions, and nothing left after an error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_runtime import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from support.users import OtherUser


def fail(*_: object) -> int:
    raise OSError(errno.EIO, "injected")


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_made_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool) -> None:
    """Short writes are continued."""
    path = tmp_path / "file"
    atomic_file.replace(str(path), b"one", durable=durable)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:2]))
    atomic_file.replace(str(path), b"two and more", durable=durable)
    assert path.read_bytes() == b"two and more"
    assert mode_of(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "fchmod"])
def test_after_an_error_the_old_content_is_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    atomic_file.replace(str(path), b"one", durable=True)
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="injected"):
        atomic_file.replace(str(path), b"two", durable=True, mode=0o644)
    monkeypatch.undo()
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "file")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=path):
        atomic_file.create(path, b"one", durable=True)
    with pytest.raises(OSError, match=str(tmp_path)):
        atomic_file.sync_directory(str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o700, 0o400])
def test_the_permissions_are_exact_under_any_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    for umask in (0, 0o077):
        before = os.umask(umask)
        try:
            atomic_file.replace(str(path), b"one", durable=False, mode=mode)
        finally:
            os.umask(before)
        assert mode_of(path) == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o400])
def test_rewrite_keeps_the_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(b"one")
    path.chmod(mode)
    for umask in (0, 0o077):
        before = os.umask(umask)
        try:
            atomic_file.rewrite(str(path), b"two", durable=True)
        finally:
            os.umask(before)
        assert (mode_of(path), path.read_bytes(), list(tmp_path.iterdir())) == (mode, b"two", [path])


def test_rewrite_makes_a_file_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    atomic_file.rewrite(str(path), b"one", durable=False)
    assert (mode_of(path), path.read_bytes()) == (0o600, b"one")


def test_rewrite_follows_a_link(tmp_path: Path) -> None:
    """People keep such files in another directory, and link to them."""
    (tmp_path / "dotfiles").mkdir()
    real, path = tmp_path / "dotfiles" / "settings.json", tmp_path / "settings.json"
    real.write_bytes(b"one")
    path.symlink_to(real)
    atomic_file.rewrite(str(path), b"two", durable=True)
    assert (path.is_symlink(), real.read_bytes(), len(os.listdir(tmp_path / "dotfiles"))) == (True, b"two", 1)


def test_rewrite_keeps_owner_and_group(other_user: OtherUser) -> None:
    """Root that rewrites a user's file leaves it the user's."""
    path = other_user.path("settings.json")
    other_user.call(_write, path, 0o640)
    os.chown(path, other_user.uid, other_user.gid + 7)
    atomic_file.rewrite(path, b"two", durable=True)
    status = os.stat(path)
    assert (status.st_uid, status.st_gid) == (other_user.uid, other_user.gid + 7)
    assert status.st_mode & 0o777 == 0o640


def test_rewrite_changes_nothing_where_the_owner_cannot_stay(other_user: OtherUser) -> None:
    """A user may replace another's file in a directory of its own, and can't give it to the other."""
    path = other_user.path("settings.json")
    other_user.call(_write, path, 0o644)
    os.chown(path, 0, 0)
    with pytest.raises(PermissionError, match="settings"):
        other_user.call(_rewrite, path)
    with open(path, "rb") as file:
        assert file.read() == b"one"
    assert (os.stat(path).st_uid, os.listdir(other_user.home)) == (0, ["settings.json"])


def _write(path: str, mode: int) -> None:
    with open(path, "wb") as file:
        file.write(b"one")
    os.chmod(path, mode)


def _rewrite(path: str) -> None:
    atomic_file.rewrite(path, b"two", durable=True)


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "fchmod"])
def test_after_an_error_in_rewrite_the_old_content_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="injected"):
        atomic_file.rewrite(str(path), b"two", durable=True)
    monkeypatch.undo()
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"one", [path])


def test_a_temporary_file_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    """Also a read-only one; a link is not followed."""
    path, aside, other = tmp_path / "file", tmp_path / "file.tmp", tmp_path / "other"
    aside.write_bytes(b"a longer half")
    aside.chmod(0o400)
    atomic_file.replace(str(path), b"one", durable=True)
    assert path.read_bytes() == b"one"
    other.write_bytes(b"other")
    aside.symlink_to(other)
    atomic_file.replace(str(path), b"two", durable=True)
    assert (path.read_bytes(), other.read_bytes(), path.is_symlink()) == (b"two", b"other", False)


def test_create_keeps_a_file_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_file.create(str(path), b"one", durable=True)
    with pytest.raises(FileExistsError):
        atomic_file.create(str(path), b"two", durable=True)
    assert path.read_bytes() == b"one"


def test_move_replaces_and_syncs_both_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    synced: list[str] = []
    monkeypatch.setattr(atomic_file, "sync_directory", synced.append)
    atomic_file.move(str(tmp_path / "a" / "file"), str(tmp_path / "b" / "file"))
    assert (tmp_path / "b" / "file").read_text() == "a"
    assert sorted(synced) == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_a_name_without_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    atomic_file.replace("file", b"one", durable=True)
    assert (tmp_path / "file").read_bytes() == b"one"


def test_the_import_is_cheap() -> None:
    """Quick commands import it."""
    lines = (
        "import os, sys",
        "a = set(sys.modules)",
        "import maestro_runtime.atomic_file",
        "print(*set(sys.modules) - a)",
    )
    command, environ = [sys.executable, "-S", "-c", "\n".join(lines)], {"PYTHONPATH": _SCHEMAS}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    assert set(done.stdout.split()) == {"maestro_runtime", "maestro_runtime.atomic_file", "__future__"}


_SCHEMAS = os.path.dirname(os.path.dirname(os.path.abspath(atomic_file.__file__)))
