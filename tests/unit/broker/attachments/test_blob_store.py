"""Blobs, parts, links and collection, on real files."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.attachments.blob_store import UNNAMED_MS, BlobStore, StoreSize, no_space
from maestro_schemas.errors import MaestroError
from maestro_schemas.messages import Attachment, Message
from support.attached import digest_of

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"content" * 100
SHA = digest_of(CONTENT)
NOW_MS = time.time_ns() // 1_000_000
LATER_MS = NOW_MS + 2 * UNNAMED_MS


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    os.makedirs(tmp_path / "messages" / "by-receiver" / "bob")
    made = BlobStore(str(tmp_path))
    made.measure()
    return made


def _put(store: BlobStore, content: bytes = CONTENT) -> str:
    sha = digest_of(content)
    part = store.part_path(sha, len(content), "ann")
    store.append(part, 0, content)
    store.adopt(part, sha, len(content))
    return sha


def _message(*names: str, receiver: str = "bob", sha: str = SHA) -> Message:
    files = tuple(Attachment(name, len(CONTENT), "text/plain", sha) for name in names)
    return Message(
        id="m1", sender="ann", receiver=receiver, text="x", status="pending", seq=1, created_at=1, attachments=files
    )


def _failing(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)


def test_a_blob_is_there_once_and_cannot_be_changed(store: BlobStore) -> None:
    assert store.touch(SHA) is None
    _put(store)
    _put(store)
    assert store.touch(SHA) == len(CONTENT)
    assert store.size == StoreSize(1, len(CONTENT))
    assert os.stat(store.path(SHA)).st_mode & 0o777 == 0o400
    assert list(store.digests()) == [SHA]
    assert os.listdir(store.parts_dir) == []


def test_what_is_in_its_place_and_no_file_does_not_count(store: BlobStore) -> None:
    os.makedirs(os.path.dirname(store.path(SHA)))
    os.symlink("/etc/passwd", store.path(SHA))
    assert store.touch(SHA) is None


def test_a_blob_that_is_not_durable_yet_does_not_count(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    part = store.part_path(SHA, len(CONTENT), "ann")
    store.append(part, 0, CONTENT)
    real = os.fsync
    seen: list[int | None] = []

    def watched(fd: int) -> None:
        seen.append(store.touch(SHA))
        real(fd)

    monkeypatch.setattr(os, "fsync", watched)
    store.adopt(part, SHA, len(CONTENT))
    assert os.path.exists(store.path(SHA))
    assert set(seen) == {None}
    assert store.touch(SHA) == len(CONTENT)


@pytest.mark.parametrize(("content", "size"), [(b"other", 5), (CONTENT, len(CONTENT) + 1)])
def test_other_content_is_removed(store: BlobStore, content: bytes, size: int) -> None:
    part = store.part_path(SHA, size, "ann")
    store.append(part, 0, content)
    with pytest.raises(MaestroError, match="was removed"):
        store.adopt(part, SHA, size)
    assert store.size == StoreSize(0, 0)
    assert store.part_bytes(part) is None


def test_a_link_in_place_of_a_part_is_removed(store: BlobStore) -> None:
    part = store.part_path(SHA, 4, "ann")
    os.makedirs(store.parts_dir)
    os.symlink("/etc/passwd", part)
    with pytest.raises(MaestroError, match="no regular file"):
        store.adopt(part, SHA, 4)
    assert os.listdir(store.parts_dir) == []
    os.symlink("/etc/passwd", part)
    with pytest.raises(OSError, match="symbolic"):
        store.append(part, 0, b"x")


def test_a_part_that_could_not_be_written_is_as_long_as_before(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = store.part_path(SHA, len(CONTENT), "ann")
    store.append(part, 0, CONTENT[:10])
    with monkeypatch.context() as patched:
        _failing(patched, "pwrite", errno.ENOSPC)
        with pytest.raises(OSError, match="space") as full:
            store.append(part, 10, CONTENT[10:])
    assert store.part_bytes(part) == 10
    assert store.size.total_bytes == 10
    refusal = no_space(full.value, "/")
    assert refusal is not None
    assert refusal.code == "STORAGE_FULL"
    assert no_space(OSError(errno.EIO, ""), "/") is None
    assert store.drop_part(part) == 10
    assert store.drop_part(part) == 0
    assert store.size.total_bytes == 0


def test_what_no_message_names_is_collected_when_it_is_old(store: BlobStore) -> None:
    _put(store)
    assert store.collect(SHA, NOW_MS) is None
    assert store.collect(SHA, LATER_MS, dry_run=True) == len(CONTENT)
    assert store.touch(SHA)
    assert store.collect(SHA, LATER_MS) == len(CONTENT)
    assert store.collect(SHA, LATER_MS) is None
    assert store.size == StoreSize(0, 0)


def test_what_a_message_names_stays_until_its_last_link_is_gone(store: BlobStore) -> None:
    _put(store)
    assert store.link("bob", _message("a", "b")) == []
    assert store.collect(SHA, LATER_MS) is None
    assert store.unlink(store.folder("bob", "m1")) == 2
    assert store.unlink(store.folder("bob", "m1")) == 0
    assert store.collect(SHA, LATER_MS) == len(CONTENT)


def test_what_could_not_be_linked_yet_stays(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(store)
    with monkeypatch.context() as patched:
        _failing(patched, "link", errno.ENOSPC)
        with pytest.raises(OSError, match="space"):
            store.link("bob", _message("a"))
    assert store.collect(SHA, LATER_MS) is None, "its message is accepted"
    assert store.link("bob", _message("a")) == []
    assert os.path.samefile(os.path.join(store.folder("bob", "m1"), "a"), store.path(SHA))
    # A message that is deleted before it could be made needs nothing any more.
    other = _put(store, b"other")
    with monkeypatch.context() as patched:
        _failing(patched, "link", errno.ENOSPC)
        with pytest.raises(OSError, match="space"):
            store.link("bob", _message("a", sha=other))
    store.unlink(store.folder("bob", "m1"))
    assert store.collect(other, LATER_MS) == 5


@pytest.mark.parametrize("number", [errno.EMLINK, errno.EPERM, errno.EXDEV])
def test_where_no_link_can_be_made_there_is_a_copy(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    _put(store)
    folder = store.folder("bob", "m1")
    os.makedirs(folder)
    with open(os.path.join(folder, ".a.new"), "wb") as file:
        file.write(b"left by a kill")
    _failing(monkeypatch, "link", number)
    assert store.link("bob", _message("a")) == []
    path = os.path.join(folder, "a")
    with open(path, "rb") as file:
        assert file.read() == CONTENT
    assert os.stat(path).st_mode & 0o777 == 0o400
    assert os.listdir(folder) == ["a"]
    assert os.stat(store.path(SHA)).st_nlink == 1


def test_a_replay_makes_the_same_again_and_says_what_is_missing(store: BlobStore) -> None:
    _put(store)
    assert store.link("zoe", _message("a", receiver="zoe")) == [], "the receiver's first mail"
    assert store.link("zoe", _message("a", receiver="zoe")) == []
    os.unlink(store.path(SHA))
    assert store.link("zoe", _message("a", "b", receiver="zoe")) == ["b"]


def test_reading_prefers_the_blob_and_takes_what_is_beside_the_message(store: BlobStore) -> None:
    _put(store)
    message = _message("a")
    store.link("bob", message)
    folder, [file] = store.folder("bob", "m1"), message.attachments
    assert store.read(file, folder, 7, 7) == b"content"
    os.unlink(store.path(SHA))
    assert store.read(file, folder, 0, 1_000) == CONTENT
    os.unlink(os.path.join(folder, "a"))
    assert store.read(file, folder, 0, 7) is None
    with open(os.path.join(folder, "a"), "wb") as changed:
        changed.write(b"of another size")
    assert store.read(file, folder, 0, 7) is None
    os.unlink(os.path.join(folder, "a"))
    os.symlink("/etc/passwd", os.path.join(folder, "a"))
    assert store.read(file, folder, 0, 7) is None


def test_other_errors_of_reading_and_linking_are_raised(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(store)
    message = _message("a")
    with monkeypatch.context() as patched:
        _failing(patched, "link", errno.EIO)
        with pytest.raises(OSError, match="error"):
            store.link("bob", message)
    with monkeypatch.context() as patched:
        _failing(patched, "open", errno.EIO)
        with pytest.raises(OSError, match="error"):
            store.read(message.attachments[0], "", 0, 1)
    with monkeypatch.context() as patched:
        _failing(patched, "rmdir", errno.EIO)
        with pytest.raises(OSError, match="error"):
            store.unlink(store.folder("bob", "m1"))


def test_a_folder_of_ours_with_another_in_it_stays(store: BlobStore) -> None:
    folder = store.folder("bob", "m1")
    os.makedirs(os.path.join(folder, "foreign"))
    assert store.unlink(folder) == 0
    assert os.listdir(folder) == ["foreign"]


def test_a_start_counts_what_is_there_and_ends_a_removal(tmp_path: Path, store: BlobStore) -> None:
    _put(store)
    gone = _put(store, b"gone")
    os.rename(store.path(gone), store.path(gone) + ".gone")
    assert list(store.digests()) == [SHA]
    store.append(store.part_path(gone, 4, "ann"), 0, b"go")
    again = BlobStore(str(tmp_path))
    again.measure()
    assert again.size == StoreSize(1, len(CONTENT) + 2)
    assert not os.path.exists(store.path(gone) + ".gone")


def test_an_upload_may_begin_with_another_file(tmp_path: Path, store: BlobStore) -> None:
    (tmp_path / "queued").write_bytes(CONTENT)
    part = store.part_path(SHA, len(CONTENT), "+outbox")
    store.begin_with(str(tmp_path / "queued"), part)
    store.begin_with(str(tmp_path / "queued"), part)
    assert store.size.total_bytes == len(CONTENT)
    store.adopt(part, SHA, len(CONTENT))
    assert store.touch(SHA) == len(CONTENT)
    with pytest.raises(FileNotFoundError):
        store.begin_with(str(tmp_path / "missing"), part)
