"""Outbox directory: entries are complete, in order, private and of their own session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_runtime import outbox_dir
from maestro_runtime.outbox_dir import OutboxDir
from maestro_schemas import outbox_entry
from maestro_schemas.errors import MaestroError
from maestro_schemas.outbox_entry import OutboxEntry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def outbox(tmp_path: Path) -> OutboxDir:
    return OutboxDir(str(tmp_path / "data" / "outbox"))


def entry(number: int, *, session: str = "ann", at: int = 100, **outgoing: Any) -> OutboxEntry:
    return OutboxEntry(at, session, "token", {"id": f"m{number}", "to": "bob", "message": "x", **outgoing})


def test_an_outbox_that_does_not_exist_is_empty(outbox: OutboxDir) -> None:
    assert (outbox.sessions(), outbox.entries(), outbox.waiting_paths("ann"), outbox.counts()) == ([], [], [], (0, 0))


def test_an_entry_is_sorted_behind_all_that_wait(outbox: OutboxDir) -> None:
    """Also after the clock was set back."""
    paths = [outbox.add(entry(number, at=100 - number)) for number in range(3)]
    assert outbox.waiting_paths("ann") == paths
    assert [queued.entry.outgoing["id"] for queued in outbox.entries()] == ["m0", "m1", "m2"]
    assert [queued.entry.queued_at for queued in outbox.entries("ann")] == [100, 101, 102]
    assert outbox.entries("bob") == []
    assert [os.stat(path).st_mode & 0o777 for path in [*paths, outbox.path]] == [0o600, 0o600, 0o600, 0o700]
    assert sorted(os.listdir(outbox.path)) == ["ann"]


def test_the_same_send_is_one_entry(outbox: OutboxDir) -> None:
    """Another text under its id is another entry."""
    path = outbox.add(entry(1))
    assert outbox.add(entry(1, at=900)) == path
    assert outbox.add(entry(1, message="y")) != path
    assert outbox.counts() == (2, 0)


def test_a_removed_entry_takes_its_empty_folder_with_it(outbox: OutboxDir) -> None:
    one, two = outbox.add(entry(1)), outbox.add(entry(2))
    outbox.remove(one)
    outbox.remove(one)
    assert outbox.sessions() == ["ann"]
    outbox.remove(two)
    assert outbox.sessions() == []


def test_a_refused_entry_is_kept_with_its_reason(outbox: OutboxDir) -> None:
    outbox.add(entry(1))
    [queued] = outbox.entries()
    target = outbox.keep_as_failed(queued, MaestroError("FORBIDDEN", "no"))
    [refused] = outbox.entries()
    assert refused.path == target
    assert refused.entry == queued.entry._replace(failure={"code": "FORBIDDEN", "message": "no"})
    assert (outbox.waiting_paths("ann"), outbox.counts()) == ([], (0, 1))
    assert outbox.add(entry(1)) != target


@pytest.mark.parametrize("kind", ["text", "link", "loop", "folder", "pipe", "other session"])
def test_a_file_that_is_no_entry_is_refused_and_quarantined(outbox: OutboxDir, kind: str) -> None:
    """Listings leave it out; nothing is read through a link, and no read waits for a pipe."""
    good = outbox.add(entry(1))
    path = os.path.join(os.path.dirname(good), "1-x.json")
    match kind:
        case "link":
            os.symlink(good, path)
        case "loop":
            os.symlink(path, path)
        case "folder":
            os.mkdir(path)
        case "pipe":
            os.mkfifo(path)
        case _:
            content = outbox_entry.encode(entry(2, session="bob")) if kind == "other session" else b"{"
            with open(path, "wb") as file:
                file.write(content)
    with pytest.raises(MaestroError) as caught:
        outbox_dir.read(path)
    assert caught.value.code == "CORRUPT"
    assert [queued.path for queued in outbox.entries()] == [good]
    target = outbox.quarantine(path)
    assert target is not None
    assert target.endswith("1-x.unreadable")
    assert outbox.quarantine(path) is None
    assert outbox_dir.read(path) is None
    assert outbox.waiting_paths("ann") == [good]


def test_a_folder_that_a_drain_removes_is_made_again(outbox: OutboxDir, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename
    removed: list[str] = []

    def remove_first(source: str, target: str) -> None:
        if not removed:
            removed.append(target)
            os.rmdir(os.path.dirname(target))
        rename(source, target)

    monkeypatch.setattr(os, "rename", remove_first)
    path = outbox.add(entry(1))
    assert removed == [path]
    assert outbox.waiting_paths("ann") == [path]


def test_an_entry_that_cannot_be_stored_leaves_nothing(outbox: OutboxDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    outbox.add(entry(1))
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        outbox.add(entry(2))
    monkeypatch.undo()
    assert outbox.counts() == (1, 0)
    assert sorted(os.listdir(outbox.path)) == ["ann"]


def test_a_refused_entry_that_was_sent_again_is_kept_apart(outbox: OutboxDir) -> None:
    outbox.add(entry(1))
    failed = outbox.keep_as_failed(outbox.entries()[0], MaestroError("RECEIVER_ENDED", "bob has ended"))
    assert outbox.retried("ann") == []
    outbox_dir.keep_as_retried(failed)
    outbox_dir.keep_as_retried(failed)
    assert (outbox.entries(), outbox.counts()) == ([], (0, 0))
    [kept] = outbox.retried("ann")
    assert kept.entry.outgoing["id"] == "m1"
    assert outbox_dir.is_entry(os.path.basename(kept.path))
    assert outbox.retried("no id") == []
