"""Spool: the files that people read, and the quarantine of foreign files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from maestro_broker.core.model.records import Accepted, Delivery, Refusal, SentFile
from maestro_broker.views.mailbox_scan import scan_mailbox
from maestro_broker.views.spool import Spool
from maestro_schemas.messages import Audience, Message, Metadata
from maestro_schemas.names import mark_of
from maestro_schemas.sessions import Session, StoredSession

if TYPE_CHECKING:
    pass


class Scene:
    """A spool in a temporary directory, and its reports."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.reports: list[str] = []
        self.spool = Spool(str(data), self.reports.append)

    def path(self, *parts: str) -> Path:
        """A path below `messages`."""
        return self.data.joinpath("messages", *parts)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """An empty spool."""
    return Scene(tmp_path)


def _message(message_id: str = "m1", seq: int = 1, text: str = "hello \u2603") -> Message:
    return Message(
        id=message_id,
        sender="ann",
        receiver="bob",
        text=text,
        status="pending",
        seq=seq,
        created_at=5,
        metadata=Metadata(priority="high"),
    )


def test_a_message_is_a_file_and_a_link(scene: Scene) -> None:
    """In the documented format, readable with cat through either path."""
    scene.spool.write_message(_message())
    scene.spool.file_sent(Accepted(_message()))
    scene.spool.file_sent(Accepted(_message()))
    path = scene.path("by-receiver", "bob", "m1.json")
    link = scene.path("by-sender", "ann", "m1.json")
    assert os.readlink(link) == f"../../to/{mark_of('bob')}/m1.json"
    assert os.readlink(scene.path("to", mark_of("bob"))) == "../by-receiver/bob"
    assert os.path.realpath(link) == os.path.realpath(path)
    document = json.loads(link.read_text())
    assert document == {
        "id": "m1", "from": "ann", "to": "bob", "message": "hello \u2603", "status": "pending", "seq": 1,
        "createdAt": 5,
        "metadata": {"priority": "high"},
    }  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600
    assert scene.spool.read_message("bob", "m1") == _message()
    assert scene.spool.sent("ann", "m1") == SentFile((("bob", None),))
    assert scene.spool.mailboxes() == ["bob"]


def test_a_deleted_message_leaves_its_link(scene: Scene) -> None:
    """The link is the tombstone of its id."""
    scene.spool.write_message(_message())
    scene.spool.file_sent(Accepted(_message()))
    scene.spool.remove_message("bob", "m1")
    scene.spool.remove_message("bob", "m1")
    assert scene.spool.read_message("bob", "m1") is None
    assert scene.spool.sent("ann", "m1") == SentFile((("bob", None),))
    assert scene.spool.sent("ann", "m2") is None


def test_several_deliveries_have_a_list(scene: Scene) -> None:
    """It names each, has no text, is never rewritten, and a thread's link leads to it."""
    meta = Metadata(in_reply_to="root", thread_id="root")
    message = replace(_message(), audience=Audience(("bob", "cyd", "dan"), 3), metadata=meta)
    record = Accepted(message, (Delivery("cyd", 7, "zoe"),), (Refusal("dan", "MAILBOX_FULL"),))
    for _ in range(2):
        for each in (message, *record.copies()):
            scene.spool.write_message(each)
        scene.spool.file_sent(record)
    path = scene.path("by-sender", "ann", "m1.json")
    assert (path.is_symlink(), path.stat().st_mode & 0o777) == (False, 0o400)
    assert json.loads(path.read_text()) == {
        "id": "m1",
        "from": "ann",
        "to": ["bob", "cyd", "dan"],
        "createdAt": 5,
        "deliveries": [{"to": "bob", "seq": 1}, {"to": "cyd", "seq": 7, "originalTo": "zoe"}],
        "refused": [{"to": "dan", "code": "MAILBOX_FULL"}],
    }
    assert scene.spool.sent("ann", "m1") == record.sent_file()
    assert os.readlink(scene.path("by-thread", "root", "m1.json")) == "../../by-sender/ann/m1.json"
    assert scene.spool.answers("root") == {"m1": ("bob", "cyd")}
    other = json.loads(scene.path("by-receiver", "cyd", "m1.json").read_text())
    assert (other["to"], other["seq"], other["originalTo"]) == ("cyd", 7, "zoe")
    assert other["audience"] == {"to": ["bob", "cyd", "dan"], "size": 3}


def test_a_mailbox_is_read_by_seq_and_foreign_files_are_quarantined(scene: Scene) -> None:
    """Each report says where the file is now; hidden files are left alone."""
    assert scan_mailbox(scene.spool, "zoe") == []
    for number in (2, 1, 3):
        scene.spool.write_message(_message(f"m{number}", number))
    mailbox = scene.path("by-receiver", "bob")
    (mailbox / "notes.txt").write_text("mine")
    (mailbox / "broken.json").write_text('{"id": ')
    (mailbox / "other.json").write_bytes((mailbox / "m1.json").read_bytes())
    (mailbox / ".m4.json.tmp").write_text("half")
    (mailbox / "folder.json").mkdir()
    assert [message.seq for message in scan_mailbox(scene.spool, "bob")] == [1, 2, 3]
    assert len(scene.reports) == 4
    away = {path.name for path in scene.path("quarantine").iterdir()}
    assert away == {"bob--notes.txt", "bob--broken.json", "bob--other.json", "bob--folder.json"}
    (mailbox / "notes.txt").write_text("again")
    scan_mailbox(scene.spool, "bob")
    assert scene.path("quarantine", "bob--notes.txt.1").read_text() == "again"


def test_what_memory_knows_is_not_read(scene: Scene) -> None:
    """A power cut may have torn the file, and it will be written again."""
    scene.spool.write_message(_message())
    scene.spool.write_message(_message("m2", 2))
    scene.path("by-receiver", "bob", "m1.json").write_text("")
    assert scan_mailbox(scene.spool, "bob", {"m1"}.__contains__) == [_message("m2", 2)]
    assert scene.reports == []


def test_a_number_stands_once(scene: Scene) -> None:
    """Of two messages with the same number, one is quarantined and reported, not hidden."""
    scene.spool.write_message(_message("m1", 1))
    scene.spool.write_message(_message("m2", 1))
    assert scan_mailbox(scene.spool, "bob") == [_message("m1", 1)]
    assert "number 1" in scene.reports[0]
    assert scene.path("quarantine", "bob--m2.json").is_file()


@pytest.mark.parametrize("count", [1, 8, 9])
def test_old_mail_is_durable_before_it_is_replaced(scene: Scene, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A few are synced one by one, many together; the old files stay until then."""
    old = [_message(f"m{number}", number) for number in range(1, count + 1)]
    for message in old:
        scene.spool.write_message(message)
    steps: list[str] = []

    def note(step: str) -> None:
        steps.append(step)
        assert scan_mailbox(scene.spool, "bob") == old, "nothing is replaced yet"

    monkeypatch.setattr(os, "fsync", lambda fd: note("one"))
    monkeypatch.setattr("maestro_broker.files.disk.sync_file_system", lambda directory: note("all"))
    new = [replace(message, status="delivered") for message in old]
    scene.spool.rewrite_messages(new)
    assert steps == (["one"] * count if count <= 8 else ["all"])
    assert scan_mailbox(scene.spool, "bob") == new


def test_a_file_in_the_place_of_a_link(scene: Scene) -> None:
    """It is neither a link nor a tombstone."""
    scene.path("by-sender", "ann").mkdir()
    scene.path("by-sender", "ann", "m1.json").write_text("x")
    os.symlink("nowhere", scene.path("by-sender", "ann", "m2.json"))
    os.symlink("../../by-receiver/..%/x.json", scene.path("by-sender", "ann", "m3.json"))
    assert [scene.spool.sent("ann", name) for name in ("m1", "m2", "m3")] == [None, None, None]


def test_sessions(scene: Scene) -> None:
    """Round trip, private, with the mailbox's folder; unreadable files are quarantined."""
    session = Session(id="ann", role="worker", project_id="p", status="idle", started_at=1, last_activity=1)
    stored = StoredSession(session=session, token_hash="ab" * 32)
    scene.spool.write_session(stored)
    path = scene.data / "sessions" / "ann.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert scene.path("by-receiver", "ann").is_dir()
    (scene.data / "sessions" / "bad.json").write_text("{}")
    (scene.data / "sessions" / "twin.json").write_bytes(path.read_bytes())
    (scene.data / "sessions" / "README").write_text("not ours, and no harm")
    (scene.data / "sessions" / "folder.json").mkdir()
    found, broken = scene.spool.read_sessions()
    assert found == [stored]
    assert [one.session for one in broken] == ["bad", "folder", "twin"]
    assert scene.reports == [], "the journal may have them"
    for one in broken:
        scene.spool.quarantine(one.path, one.why)
    assert len(scene.reports) == 3
    assert scene.spool.read_sessions() == ([stored], [])


def test_short_writes_are_finished(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short writes are continued."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: max(1, len(data) // 2)]))
    scene.spool.write_message(_message(text="x" * 1_000))
    monkeypatch.undo()
    assert scene.spool.read_message("bob", "m1") == _message(text="x" * 1_000)
