"""Received files: a path on this machine where there is one, else a checked copy, else none."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.mailbox import received_files
from maestro_clients.mailbox.received_files import locate
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"-a\n+b\n"


class Office:
    """A broker's `blob.get` of one content, in pieces of two bytes."""

    def __init__(self, content: bytes = CONTENT, step: int = 2) -> None:
        self.content = content
        self.step = step
        self.asked = 0

    def blob_get(self, message_id: str, name: str, *, offset: int = 0) -> Any:
        self.asked += 1
        return {"data": self.content[offset : offset + self.step]}


class Away:
    """A broker that does not answer."""

    def blob_get(self, message_id: str, name: str, *, offset: int = 0) -> Any:
        raise MaestroError("TIMEOUT", "no answer")


def message(name: str = "cart.patch", content: bytes = CONTENT, message_id: str = "msg_1") -> Any:
    digest = hashlib.sha256(content).hexdigest()
    file = {"name": name, "size": len(content), "type": "text/x-patch", "sha256": digest}
    return {"id": message_id, "to": "ann", "attachments": [file]}


def path_of(found: Any) -> Any:
    return found["attachments"][0].get("path")


def put_beside(data: Path, content: bytes = CONTENT, name: str = "cart.patch") -> str:
    folder = data / "messages" / "by-receiver" / "ann" / "msg_1.files"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return str(folder / name)


def test_a_file_beside_the_message_is_named_as_it_is(tmp_path: Path) -> None:
    here, office, found = put_beside(tmp_path), Office(), message()
    locate([found], str(tmp_path), office)
    assert (path_of(found), office.asked) == (here, 0)
    assert not (tmp_path / "received-files").exists()


@pytest.mark.parametrize("content", [CONTENT, b""])
def test_a_file_of_another_machine_is_fetched_once(tmp_path: Path, content: bytes) -> None:
    office, found = Office(content), message(content=content)
    locate([found], str(tmp_path), office)
    path = tmp_path / "received-files" / "msg_1" / "cart.patch"
    assert path_of(found) == str(path)
    assert path.read_bytes() == content
    assert [stat.S_IMODE(os.stat(each).st_mode) for each in (path, path.parent, path.parents[1])] == [
        0o400,
        0o700,
        0o700,
    ]
    asked, again = office.asked, message(content=content)
    locate([again], str(tmp_path), office)
    assert (path_of(again), office.asked) == (str(path), asked)


def test_a_view_that_fetches_nothing_names_only_what_is_here(tmp_path: Path) -> None:
    found = message()
    without: Any = {"id": "msg_2", "to": "ann"}
    locate([found, without], str(tmp_path), None)
    assert path_of(found) is None


@pytest.mark.parametrize(
    "office", [Away(), Office(b"xx\n+b\n"), Office(CONTENT[:3]), Office(CONTENT + b"more", step=20), Office(step=0)]
)
def test_what_does_not_come_whole_has_no_path(tmp_path: Path, office: Any) -> None:
    found = message()
    locate([found], str(tmp_path), office)
    assert path_of(found) is None
    assert [file for _, _, files in os.walk(tmp_path) for file in files] == []


def test_a_fetch_ends_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received_files, "FETCH_S_MAX", -1.0)
    office, found = Office(), message()
    locate([found], str(tmp_path), office)
    assert (path_of(found), office.asked) == (None, 1)


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", ".bashrc", "a\nb", "-rf", "x" * 300])
def test_an_unsafe_name_of_a_broker_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    found = message(name)
    locate([found], str(tmp_path), Office())
    assert os.path.dirname(path_of(found)) == str(tmp_path / "received-files" / "msg_1")
    assert "\n" not in path_of(found)


@pytest.mark.parametrize("message_id", ["../../evil", "", "a/b"])
def test_an_unsafe_id_of_a_broker_makes_no_path(tmp_path: Path, message_id: str) -> None:
    found = message(message_id=message_id)
    locate([found], str(tmp_path), Office())
    assert path_of(found) is None
    assert os.listdir(tmp_path) == []


def test_a_link_in_the_place_of_the_file_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    os.unlink(put_beside(tmp_path))
    os.symlink(tmp_path / "secret", tmp_path / "messages" / "by-receiver" / "ann" / "msg_1.files" / "cart.patch")
    found = message()
    locate([found], str(tmp_path), Office())
    assert path_of(found) == str(tmp_path / "received-files" / "msg_1" / "cart.patch")


def test_an_agent_with_a_folder_of_its_own_gets_a_copy(tmp_path: Path) -> None:
    put_beside(tmp_path)
    office, found = Office(), message()
    locate([found], str(tmp_path), office, copies_in=str(tmp_path / "own"))
    assert path_of(found) == str(tmp_path / "own" / "msg_1" / "cart.patch")
    assert office.asked == 0


def test_where_no_copy_can_be_made_the_file_itself_is_named(tmp_path: Path) -> None:
    here, found = put_beside(tmp_path), message()
    (tmp_path / "own").write_bytes(b"")
    locate([found], str(tmp_path), Office(), copies_in=str(tmp_path / "own"))
    assert path_of(found) == here


def test_old_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received_files, "KEPT_BYTES_MAX", 3 * len(CONTENT))
    top = tmp_path / "received-files"
    for number in range(5):
        locate([message(message_id=f"msg_{number}")], str(tmp_path), Office())
        os.utime(top / f"msg_{number}", (2e9 + number, 2e9 + number))
    assert sorted(os.listdir(top)) == ["msg_2", "msg_3", "msg_4"]
    os.utime(top / "msg_3", (1, 1))
    monkeypatch.setattr(received_files, "KEPT_BYTES_MAX", 1 << 20)
    locate([message(message_id="msg_5")], str(tmp_path), Office())
    assert sorted(os.listdir(top)) == ["msg_2", "msg_4", "msg_5"]
