"""Group files: each group is a file, and a folder of links to what was sent to it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from maestro_broker.core.model.records import Accepted, Delivery
from maestro_broker.views.spool import Spool
from maestro_schemas.groups import Group, GroupMember
from maestro_schemas.messages import Audience, Message, Metadata

if TYPE_CHECKING:
    from pathlib import Path

GROUP = Group(
    name="reviews",
    project_id="shop",
    creator="ann",
    created_at=3,
    changed_at=5,
    members=(GroupMember("ann", 3), GroupMember("bob", 5)),
)
MESSAGE = Message(
    id="msg_9_a_1234567",
    sender="ann",
    receiver="bob",
    text="x",
    status="pending",
    seq=1,
    created_at=9,
    audience=Audience(("@reviews", "@all", "cyd", "@reviews", "@docs"), 2),
)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(str(tmp_path), lambda _: None)


def test_a_group_is_a_private_file(spool: Spool, tmp_path: Path) -> None:
    """In the documented format; it is replaced and removed."""
    for group in (GROUP, replace(GROUP, members=())):
        spool.groups.write(group)
        assert spool.groups.read() == ([group], [])
    path = tmp_path / "groups" / "reviews.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == {
        "name": "reviews", "projectId": "shop", "creator": "ann", "createdAt": 3, "changedAt": 5
    }  # fmt: skip
    for _ in range(2):
        spool.groups.remove("reviews")
        assert spool.groups.read() == ([], [])
    assert os.listdir(tmp_path / "groups") == []


def test_no_group_was_made_yet(spool: Spool, tmp_path: Path) -> None:
    assert spool.groups.read() == ([], [])
    assert not (tmp_path / "groups").exists()


def test_unreadable_files_are_left_to_the_caller(spool: Spool, tmp_path: Path) -> None:
    """The journal may write them again. A file with another group's content is one of them."""
    spool.groups.write(GROUP)
    folder = tmp_path / "groups"
    good = (folder / "reviews.json").read_bytes()
    (folder / "twin.json").write_bytes(good)
    (folder / "torn.json").write_bytes(good[:20])
    (folder / "bytes.json").write_bytes(b"\xff\xfe")
    (folder / "all.json").write_bytes(good.replace(b'"reviews"', b'"all"'))
    (folder / "folder.json").mkdir()
    (folder / ".reviews.json.tmp").write_bytes(b"")
    (folder / "README").write_bytes(b"")
    found, broken = spool.groups.read()
    assert found == [GROUP]
    assert [each.group for each in broken] == ["all", "bytes", "folder", "torn", "twin"]
    assert all(each.why and (folder / f"{each.group}.json").exists() for each in broken)


def test_what_is_sent_to_a_group_is_a_link(spool: Spool, tmp_path: Path) -> None:
    """Once for each group among the addresses; it leads where the sender's link does."""
    record = Accepted(MESSAGE)
    for _ in range(2):
        spool.write_message(MESSAGE)
        spool.file_sent(record)
    folder = tmp_path / "messages" / "by-group"
    assert sorted(os.listdir(folder)) == ["docs", "reviews"]
    for name in ("docs", "reviews"):
        assert spool.groups.mail(name) == [MESSAGE.id]
        assert json.loads((folder / name / f"{MESSAGE.id}.json").read_text())["message"] == "x"
        assert spool.sent_by(str(folder / name / f"{MESSAGE.id}.json")) == record.sent_file()
    assert spool.groups.mail("other") == []


def test_of_several_receivers_it_leads_to_the_list(spool: Spool, tmp_path: Path) -> None:
    meta = Metadata(in_reply_to="root", thread_id="root")
    record = Accepted(replace(MESSAGE, metadata=meta), (Delivery("dan", 4),))
    spool.file_sent(record, ["docs"])
    link = tmp_path / "messages" / "by-group" / "reviews" / f"{MESSAGE.id}.json"
    assert os.readlink(link) == f"../../by-sender/ann/{MESSAGE.id}.json"
    assert spool.sent_by(str(link)) == record.sent_file()
    assert list(spool.answers("root")) == [MESSAGE.id], "the thread has its link beside the group's"
    assert spool.groups.mail("docs") == [], "that group was deleted meanwhile"


def test_the_links_go_with_the_group(spool: Spool, tmp_path: Path) -> None:
    """The mail stays, and the folder can be made again."""
    spool.write_message(MESSAGE)
    spool.file_sent(Accepted(MESSAGE))
    for _ in range(2):
        spool.remove_group_mail("reviews")
    folder = tmp_path / "messages" / "by-group" / "reviews"
    assert not folder.exists()
    assert spool.read_message("bob", MESSAGE.id) == MESSAGE
    spool.file_sent(Accepted(MESSAGE))
    assert spool.groups.mail("reviews") == [MESSAGE.id]
    (folder / "not an id.json").write_bytes(b"")
    (folder / "README").write_bytes(b"")
    assert spool.groups.mail("reviews") == [MESSAGE.id]
