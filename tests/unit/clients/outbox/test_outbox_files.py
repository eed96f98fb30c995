"""The client's side of the outbox: entries are whole or absent, private, and one per send, whatever the broker
does."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from maestro_clients.outbox.outbox_files import entries, queue
from maestro_clients.protocol.callers import Caller
from maestro_schemas import outbox_entry
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_schemas.documents import OutgoingDoc

ANN = Caller("ann", "secret")


def outgoing(message_id: str, text: str = "hello") -> OutgoingDoc:
    return {"id": message_id, "to": "bob", "message": text, "metadata": {"priority": "high"}}


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(tmp_path / "parent" / "data")


def test_an_entry_holds_all_that_the_send_needs(data: str) -> None:
    """Its file name sorts by time."""
    path = queue(data, ANN, outgoing("m1", "Grüße\n\0🙂"), 1_700_000_000_000)
    assert path == os.path.join(data, "outbox", "ann", "001700000000000-m1.json")
    [(found, entry)] = entries(data)
    assert found == path
    assert (entry.session, entry.token, entry.queued_at) == ("ann", "secret", 1_700_000_000_000)
    assert entry.outgoing == outgoing("m1", "Grüße\n\0🙂")
    assert entry.failure is None


def test_only_its_user_can_read_it(data: str) -> None:
    """The entry contains the token. A lax umask makes no difference."""
    before = os.umask(0)
    try:
        path = queue(data, ANN, outgoing("m1"), 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for folder in (data, os.path.join(data, "outbox"), os.path.dirname(path)):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert os.listdir(os.path.dirname(path)) == ["000000000000001-m1.json"]


def test_the_same_send_is_one_entry(data: str) -> None:
    """It may be queued often and at different times. Another text or token under the same id is another entry."""
    first = queue(data, ANN, outgoing("m1"), 1)
    assert queue(data, ANN, outgoing("m1"), 2) == first
    assert len(entries(data)) == 1
    assert queue(data, ANN, outgoing("m1", "another"), 3) != first
    assert queue(data, Caller("ann"), outgoing("m1"), 4) != first
    # An id that merely ends like another one is a different id.
    assert queue(data, ANN, outgoing("x-m1"), 5) != first
    assert len(entries(data)) == 4


def test_entries_come_by_session_and_in_the_order_of_queueing(data: str) -> None:
    """A changed clock makes no difference. Refused entries are listed, and other files are skipped."""
    queue(data, ANN, outgoing("first"), 200)
    queue(data, Caller("zoe"), outgoing("other"), 1)
    refused = queue(data, ANN, outgoing("refused"), 200)
    queue(data, ANN, outgoing("last"), 100)
    [entry] = [entry for path, entry in entries(data) if path == refused]
    raw = outbox_entry.encode(entry._replace(failure={"code": "FORBIDDEN", "message": "no"}))
    failed = refused.removesuffix(".json") + ".failed"
    with open(failed, "wb") as file:
        file.write(raw)
    os.unlink(refused)
    folder = os.path.dirname(refused)
    for name, content in ((".1-x.new", b"{"), ("9-half.json", b"{"), ("9-note.txt", b"x"), ("8-a.unreadable", b"")):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    with open(os.path.join(data, "outbox", "a file"), "wb") as file:
        file.write(b"")
    found = [(entry.outgoing["id"], entry.failure is not None) for _, entry in entries(data)]
    assert found == [("first", False), ("refused", True), ("last", False), ("other", False)]
    assert [entry.outgoing["id"] for _, entry in entries(data, "zoe")] == ["other"]
    assert entries(data, "absent") == []
    assert entries(data, "../outbox/zoe") == []


def test_no_outbox_is_an_empty_one(data: str) -> None:
    """Listing the entries creates nothing."""
    assert entries(data) == []
    assert not os.path.exists(data)


@pytest.mark.parametrize(
    ("caller", "message_id", "code"),
    [
        (Caller(), "m1", "NO_SESSION"),
        (Caller("../ann"), "m1", "INVALID_ID"),
        (Caller(""), "m1", "INVALID_ID"),
        (ANN, "../../m1", "INVALID_ID"),
        (ANN, "m1\n", "INVALID_ID"),
        (ANN, "m" * 65, "INVALID_ID"),
    ],
)
def test_ids_that_are_no_file_names_are_refused(data: str, caller: Caller, message_id: str, code: str) -> None:
    """The error comes before anything is written."""
    with pytest.raises(MaestroError) as raised:
        queue(data, caller, outgoing(message_id), 1)
    assert raised.value.code == code
    assert not os.path.exists(data)


def test_a_text_that_has_no_utf_8_is_refused(data: str) -> None:
    """Half a surrogate pair is refused and leaves no file."""
    with pytest.raises(MaestroError) as raised:
        queue(data, ANN, outgoing("m1", "\ud800"), 1)
    assert raised.value.code == "INVALID"
    assert entries(data) == []


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    """The typed error names the path and the next step."""
    data = tmp_path / "data"
    data.write_text("in the way")
    with pytest.raises(MaestroError) as raised:
        queue(str(data), ANN, outgoing("m1"), 1)
    assert raised.value.code == "DATA_DIR_UNUSABLE"
    assert str(data) in raised.value.message
    assert raised.value.hint


def test_a_full_disk(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It causes a typed error and leaves no partial file."""
    path = queue(data, ANN, outgoing("m1"), 1)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MaestroError) as raised:
        queue(data, ANN, outgoing("m2"), 2)
    assert raised.value.code == "STORAGE_FULL"
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


def test_an_unreadable_outbox_is_not_an_empty_one(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    queue(data, ANN, outgoing("m1"), 1)

    def refuse(path: str) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(MaestroError) as raised:
        entries(data)
    assert raised.value.code == "DATA_DIR_UNUSABLE"


def test_queueing_while_the_broker_takes_entries_and_removes_empty_folders(data: str) -> None:
    """Every entry is complete when it is visible, and is seen once. A folder that vanishes causes no error."""
    count = 300
    taken: list[str] = []
    done = threading.Event()
    folder = os.path.join(data, "outbox", "ann")

    def drain() -> None:
        while True:
            over = done.is_set()
            try:
                for name in os.listdir(folder):
                    if not name.startswith("."):
                        path = os.path.join(folder, name)
                        with open(path, "rb") as file:
                            taken.append(json.loads(file.read())["message"]["id"])
                        os.unlink(path)
                os.rmdir(folder)
            except OSError:
                pass
            if over:
                return

    drainer = threading.Thread(target=drain)
    drainer.start()
    try:
        for number in range(count):
            queue(data, ANN, outgoing(f"m{number}"), number)
    finally:
        done.set()
        drainer.join()
    left = [entry.outgoing["id"] for _, entry in entries(data)]
    assert sorted(taken + left) == sorted(f"m{number}" for number in range(count))


def test_a_folder_that_vanishes_every_time(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many tries this is an ordinary error, not an endless loop."""
    queue(data, ANN, outgoing("m1"), 1)
    real = os.rename

    def vanish(source: str, target: str) -> None:
        os.unlink(source)
        real(source, target)

    monkeypatch.setattr(os, "rename", vanish)
    with pytest.raises(MaestroError) as raised:
        queue(data, ANN, outgoing("m2"), 2)
    assert raised.value.code == "DATA_DIR_UNUSABLE"
