"""Outbox blobs: a content is there as long as an entry names it, also while others add or remove."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from maestro_runtime.outbox_dir import OutboxBlobs, OutboxDir
from maestro_schemas.errors import MaestroError
from maestro_schemas.outbox_entry import OutboxEntry

if TYPE_CHECKING:
    from pathlib import Path


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(message_id: str, *contents: bytes, session: str = "ann") -> OutboxEntry:
    files = [
        {"name": str(number), "size": len(content), "type": "text/plain", "sha256": digest_of(content)}
        for number, content in enumerate(contents)
    ]
    return OutboxEntry(1, session, None, {"id": message_id, "to": "bob", "message": "x", "attachments": files})


def files(*contents: bytes) -> dict[str, bytes]:
    return {digest_of(content): content for content in contents}


@pytest.fixture
def outbox(tmp_path: Path) -> OutboxDir:
    return OutboxDir(str(tmp_path / "outbox"))


def names(outbox: OutboxDir) -> list[str]:
    return sorted(os.listdir(outbox.blobs.path)) if os.path.isdir(outbox.blobs.path) else []


def test_a_content_is_kept_beside_its_entry(outbox: OutboxDir) -> None:
    outbox.add(entry("msg_1", b"abc", b""), files(b"abc", b""))
    assert names(outbox) == sorted(files(b"abc", b""))
    path = outbox.blobs.file(digest_of(b"abc"))
    assert path is not None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o400
    assert stat.S_IMODE(os.stat(outbox.blobs.path).st_mode) == 0o700
    assert outbox.blobs.read(digest_of(b"abc"), 10) == b"abc"
    # It is no session of its own.
    assert [found.entry.session for found in outbox.entries()] == ["ann"]
    assert outbox.counts() == (1, 0)


@pytest.mark.parametrize("digest", ["0" * 64, "../ann", "x", ""])
def test_what_is_not_there_is_not_read(outbox: OutboxDir, digest: str) -> None:
    assert outbox.blobs.read(digest, 10) is None


def test_what_no_entry_names_goes(outbox: OutboxDir) -> None:
    first = outbox.add(entry("msg_1", b"abc", b"both"), files(b"abc", b"both"))
    outbox.add(entry("msg_2", b"both"), files(b"both"))
    outbox.collect_blobs()
    assert len(names(outbox)) == 2
    outbox.remove(first)
    outbox.collect_blobs()
    assert names(outbox) == [digest_of(b"both")]
    outbox.remove(outbox.entries()[0].path)
    outbox.collect_blobs()
    assert not os.path.exists(outbox.blobs.path)
    outbox.collect_blobs()


def test_a_refused_entry_keeps_its_files(outbox: OutboxDir) -> None:
    outbox.add(entry("msg_1", b"abc"), files(b"abc"))
    [queued] = outbox.entries()
    outbox.keep_as_failed(queued, MaestroError("FORBIDDEN", "no"))
    outbox.collect_blobs()
    assert names(outbox) == [digest_of(b"abc")]


def test_what_a_killed_client_has_left_goes(outbox: OutboxDir) -> None:
    os.makedirs(outbox.blobs.path)
    for name in (digest_of(b"no entry"), ".123-x.new", "kept"):
        with open(os.path.join(outbox.blobs.path, name), "wb") as file:
            file.write(b"x")
    outbox.collect_blobs()
    # Another name is not ours.
    assert names(outbox) == ["kept"]


def test_a_content_that_is_there_in_part_is_written_again(outbox: OutboxDir) -> None:
    os.makedirs(outbox.blobs.path)
    with open(os.path.join(outbox.blobs.path, digest_of(b"abc")), "wb") as file:
        file.write(b"a")
    outbox.add(entry("msg_1", b"abc"), files(b"abc"))
    assert outbox.blobs.read(digest_of(b"abc"), 10) == b"abc"


def test_nothing_is_removed_while_a_client_adds(outbox: OutboxDir) -> None:
    os.makedirs(outbox.path)
    with outbox.blobs.kept(files(b"abc")):
        outbox.collect_blobs()
        assert names(outbox) == [digest_of(b"abc")]
        # A drain that finds no entry there does not take the folder away either.
        outbox.remove_if_empty("blobs")
    outbox.collect_blobs()
    assert names(outbox) == []


def test_clients_and_a_collection_at_once_lose_nothing(outbox: OutboxDir) -> None:
    ended = threading.Event()
    lost: list[str] = []

    def collect() -> None:
        while not ended.is_set():
            outbox.collect_blobs()

    def add(number: int) -> None:
        for count in range(20):
            content = f"{number} {count}".encode()
            path = outbox.add(entry(f"msg_{number}_{count}", content, session=f"s{number}"), files(content))
            if outbox.blobs.read(digest_of(content), 100) != content:
                lost.append(path)
            outbox.remove(path)

    collector = threading.Thread(target=collect)
    clients = [threading.Thread(target=add, args=(number,)) for number in range(3)]
    for thread in (collector, *clients):
        thread.start()
    for thread in clients:
        thread.join()
    ended.set()
    collector.join()
    assert lost == []


def test_a_folder_that_is_always_removed_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: os.rmdir(tmp_path / "blobs"))
    with (
        pytest.raises(FileNotFoundError, match="removed again and again"),
        OutboxBlobs(str(tmp_path / "blobs")).kept({}),
    ):
        pytest.fail("it is not locked")


def test_a_file_in_the_place_of_the_folder_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_bytes(b"")
    OutboxBlobs(str(tmp_path / "blobs")).collect(set)
    assert (tmp_path / "blobs").exists()
