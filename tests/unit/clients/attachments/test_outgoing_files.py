"""Outgoing files: only a regular file is read, whole and unchanged, and its name is made safe."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.attachments import outgoing_files
from maestro_clients.attachments.outgoing_files import FileBounds, OutgoingFile, attach, folders_of, read
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import ATTACHMENT_NAME_BYTES_MAX, Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from maestro_schemas.documents import OutgoingDoc

ANY = FileBounds.of(None)


def refusal(path: str | os.PathLike[str], bounds: FileBounds = ANY) -> MaestroError:
    with pytest.raises(MaestroError) as caught:
        read([path], bounds)
    assert caught.value.hint.startswith("Nothing was sent. ")
    return caught.value


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "cart.patch").write_bytes(b"-a\n+b\n")
    (tmp_path / "empty.log").write_bytes(b"")
    first, second = read([tmp_path / "cart.patch", str(tmp_path / "empty.log")], ANY)
    digest = hashlib.sha256(b"-a\n+b\n").hexdigest()
    assert first == OutgoingFile("cart.patch", "text/x-patch", b"-a\n+b\n", digest)
    assert first.document() == {"name": "cart.patch", "size": 6, "type": "text/x-patch", "sha256": digest}
    assert (first.part(2, 100), second.content, second.type) == (b"\n+b\n", b"", "text/plain")


def test_a_message_names_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    outgoing: OutgoingDoc = {"id": "m", "to": "ann", "message": "hello"}
    attach(outgoing, [])
    assert "attachments" not in outgoing
    files = read([tmp_path / "a"], ANY)
    attach(outgoing, files)
    assert outgoing["attachments"] == [files[0].document()]


def _link(path: Path) -> None:
    (path.parent / "real").write_bytes(b"secret")
    path.symlink_to(path.parent / "real")


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_link, "is a symbolic link"),
        (_dangling, "is a symbolic link"),
        (os.mkfifo, "is a FIFO"),
        (os.mkdir, "is a directory"),
        (_socket, "is a socket"),
        (lambda path: None, "can't be opened: No such file"),
    ],
)
def test_what_is_no_regular_file_is_refused_without_a_wait(
    tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    make(tmp_path / "it")
    error = refusal(tmp_path / "it")
    assert error.code == "ATTACHMENT_UNUSABLE"
    assert says in error.message


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "a\0b", "", "/proc/self/mem/x"])
def test_other_paths_that_name_no_file_are_refused(path: str) -> None:
    assert refusal(path).code == "ATTACHMENT_UNUSABLE"


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"abc")

    def fail(_fd: int, _count: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    assert "can't be read: Input/output error" in refusal(tmp_path / "a").message


def test_a_file_that_becomes_a_link_before_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "a").write_bytes(b"abc")
    looked = os.lstat

    def swap(path: Any, **more: Any) -> os.stat_result:
        found = looked(path, **more)
        if str(path) == str(tmp_path / "a"):
            os.unlink(path)
            os.symlink(tmp_path / "secret", path)
        return found

    monkeypatch.setattr(os, "lstat", swap)
    assert "is a symbolic link" in refusal(tmp_path / "a").message


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _shrink(path: Path) -> None:
    os.truncate(path, 1)


def _rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"XX")
    os.utime(path, (1, 1))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"another")
    other.rename(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [(_grow, "changed"), (_shrink, "changed"), (_rewrite, "changed"), (os.unlink, "removed"), (_replace, "removed")],
)
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], says: str
) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    taken = os.read
    changed: list[bool] = []

    def meddle(fd: int, count: int) -> bytes:
        if not changed:
            changed.append(True)
            change(tmp_path / "a")
        return taken(fd, count)

    monkeypatch.setattr(os, "read", meddle)
    assert f"{says} while it was read" in refusal(tmp_path / "a").message


def test_sizes_are_refused_with_both_numbers_before_a_byte_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("a", 10), ("b", 11), ("c", 10)):
        (tmp_path / name).write_bytes(bytes(size))
    monkeypatch.setattr(outgoing_files, "_content", lambda path, fd: pytest.fail("it was read"))
    bounds = FileBounds.of({"attachment_bytes_max": 10, "attachments_max": 2, "message_attachments_bytes_max": 15})
    one = refusal(tmp_path / "b", bounds)
    assert (one.code, one.actual, one.limit) == ("ATTACHMENT_TOO_LARGE", 11, 10)
    assert "11 bytes" in one.message
    assert "10 for a file" in one.message
    with pytest.raises(MaestroError, match="20 bytes, and the limit is 15 for a message") as both:
        read([tmp_path / "a", tmp_path / "c"], bounds)
    assert (both.value.code, both.value.actual, both.value.limit) == ("ATTACHMENT_TOO_LARGE", 20, 15)
    with pytest.raises(MaestroError, match="3 files are attached, and the limit is 2") as many:
        read([tmp_path / "a"] * 3, bounds)
    assert (many.value.code, many.value.actual, many.value.limit) == ("TOO_MANY", 3, 2)


def test_without_a_broker_the_shipped_limits_hold() -> None:
    shipped = Limits()
    assert FileBounds.of({})[:3] == (
        shipped.attachment_bytes_max,
        shipped.attachments_max,
        shipped.message_attachments_bytes_max,
    )


def test_a_file_that_may_not_leave_the_machine_is_refused(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, own / "deep", other, tmp_path / "own-too"):
        folder.mkdir()
        (folder / "a").write_bytes(b"x")
    (tmp_path / "door").symlink_to(own)
    bounds = FileBounds.of(None, [str(tmp_path / "door")])
    assert len(read([own / "a", own / "deep" / "a", tmp_path / "door" / "a"], bounds)) == 3
    (own / "out").symlink_to(other)
    for outside in (other / "a", own / ".." / "other" / "a", own / "out" / "a", tmp_path / "own-too" / "a"):
        error = refusal(outside, bounds)
        assert error.code == "ATTACHMENT_OUTSIDE"
        assert str(own) in error.hint


def test_a_path_that_is_replaced_while_its_place_is_checked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    bounds = FileBounds.of(None, [str(tmp_path)])
    for other in ("b", "gone"):
        monkeypatch.setattr(os.path, "realpath", lambda path, to=other: str(tmp_path / to))
        assert "was replaced" in refusal(tmp_path / "a", bounds).message


def test_the_folders_of_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folders_of("/work")[0] == "/work"
    assert folders_of(None)[0] == str(tmp_path)
    assert len(folders_of(None)) == 2
    monkeypatch.setattr(os, "getcwd", lambda: (_ for _ in ()).throw(FileNotFoundError()))
    assert len(folders_of(None)) == 1


@pytest.mark.parametrize(
    "name",
    ["-rf", ".bashrc", "a\nb: c.txt", "x" * 255, "\u202egnp.exe", "\udcff.bin", "a\x1b[2Jb", "  ", "ü" * 120 + ".md"],
)
def test_a_hostile_name_is_made_safe(tmp_path: Path, name: str) -> None:
    path = os.path.join(tmp_path, name)
    with open(path, "wb") as file:
        file.write(b"x")
    [found] = read([path], ANY)
    assert 0 < len(found.name.encode()) <= ATTACHMENT_NAME_BYTES_MAX
    assert found.name[0] not in ".- "
    assert found.name.isprintable()
    assert "/" not in found.name


def test_two_files_of_one_name_get_two_names(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_bytes(folder.encode())
    found = read([tmp_path / "one" / "a.txt", tmp_path / "two" / "a.txt"], ANY)
    assert [file.name for file in found] == ["a.txt", "a(2).txt"]
