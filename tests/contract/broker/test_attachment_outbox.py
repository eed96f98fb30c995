"""Files of messages that waited in an outbox: taken in by the next broker, and said to be missing where they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.outbox import queued_blobs
from maestro_runtime import paths
from maestro_runtime.outbox_dir import OutboxDir
from maestro_schemas.outbox_entry import OutboxEntry
from support.attached import beside, blob, blobs, described, digest_of, get, put
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.post_office import PostOffice

PATCH = b"--- a\n+++ b\n" * 1_000


def _queue(office: PostOffice, number: int, *files: Any, content: bytes | None = PATCH) -> str:
    """What a client leaves that found no broker: the file, and then the entry; the message's id."""
    outbox = OutboxDir(paths.outbox_dir(office.data))
    if content is not None:
        path = queued_blobs.path_of(outbox, digest_of(content))
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o600)
    outgoing = {"id": f"q{number}", "to": "bob", "message": f"queued {number}", "attachments": list(files)}
    outbox.add(OutboxEntry(number, "ann", None, outgoing))
    return own_id("ann", f"q{number}")


def _queued_files(office: PostOffice) -> list[str]:
    folder = os.path.join(paths.outbox_dir(office.data), queued_blobs.BLOBS_FOLDER)
    return sorted(os.listdir(folder)) if os.path.exists(folder) else []


def _failed(office: PostOffice, message_id: str) -> tuple[str, str]:
    message = office.look(message_id)
    return message["status"], message["failure"]["code"]


def test_a_start_takes_the_files_in_before_it_serves(open_office: PostOffice) -> None:
    open_office.kill()
    ids = [_queue(open_office, number, described(PATCH, "x")) for number in (1, 2)]
    open_office.start()
    bob = open_office.client("bob")
    assert [message["id"] for message in bob.inbox()["messages"]] == ids
    for message_id in ids:
        assert get(bob, message_id, "x") == PATCH
    assert os.stat(blob(open_office, digest_of(PATCH))).st_nlink == 3
    assert _queued_files(open_office) == []


def test_a_broker_that_serves_takes_them_in(open_office: PostOffice) -> None:
    message_id = _queue(open_office, 1, described(PATCH, "x"))
    assert open_office.client().drain_outbox() == {"sent": 1, "waiting": 0, "failed": 0}
    assert get(open_office.client("bob"), message_id, "x") == PATCH
    second = _queue(open_office, 2, described(PATCH + b"more", "x"), content=PATCH + b"more")
    bob = open_office.client("bob")
    eventually(lambda: bob.inbox()["count"] == 2, "the broker looks by itself")
    assert get(bob, second, "x") == PATCH + b"more"
    assert os.stat(blob(open_office, digest_of(PATCH))).st_mode & 0o777 == 0o400


def test_a_file_that_the_post_office_has_need_not_be_queued(open_office: PostOffice) -> None:
    put(open_office.client("bob"), PATCH)
    open_office.kill()
    message_id = _queue(open_office, 1, described(PATCH, "x"), content=None)
    open_office.start()
    assert get(open_office.client("bob"), message_id, "x") == PATCH


def test_a_missing_file_fails_its_message_and_no_other(open_office: PostOffice) -> None:
    open_office.kill()
    lost = _queue(open_office, 1, described(PATCH, "x"), content=None)
    kept = _queue(open_office, 2, content=None)
    open_office.start()
    assert _failed(open_office, lost) == ("failed", "BLOB_NOT_FOUND")
    assert open_office.look(lost)["attachments"] == [described(PATCH, "x")]
    assert [message["id"] for message in open_office.client("bob").inbox()["messages"]] == [kept]
    [notice] = open_office.client("ann").inbox()["messages"]
    assert notice["from"] == "maestro"
    assert "BLOB_NOT_FOUND" in notice["message"]


def _link(path: str) -> None:
    os.unlink(path)
    os.symlink("/etc/passwd", path)


def _fifo(path: str) -> None:
    os.unlink(path)
    os.mkfifo(path)


def _change(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(b"?")


def _shorten(path: str) -> None:
    os.truncate(path, 10)


@pytest.mark.parametrize("damage", [_change, _shorten, _link, _fifo])
@pytest.mark.parametrize("serving", [True, False])
def test_a_file_that_is_not_what_its_name_says_is_put_aside(
    open_office: PostOffice, damage: Callable[[str], None], serving: bool
) -> None:
    if serving:
        open_office.pause()
    else:
        open_office.kill()
    message_id = _queue(open_office, 1, described(PATCH, "x"))
    damage(queued_blobs.path_of(OutboxDir(paths.outbox_dir(open_office.data)), digest_of(PATCH)))
    if serving:
        open_office.resume()
        assert open_office.client().drain_outbox()["waiting"] == 0
    else:
        open_office.start()
    assert _failed(open_office, message_id) == ("failed", "BLOB_NOT_FOUND")
    assert _queued_files(open_office) == [f"{digest_of(PATCH)}.unreadable"]
    assert blobs(open_office) == []
    assert os.listdir(os.path.join(open_office.data, "attachments", "parts")) == []


def test_hostile_entries_end_no_broker(open_office: PostOffice) -> None:
    open_office.kill()
    hostile = ["../../format", "", "a" * 64, "/etc/passwd"]
    ids = [
        _queue(open_office, number, {**described(PATCH, "x"), "sha256": sha256}, content=None)
        for number, sha256 in enumerate(hostile, 1)
    ]
    large = _queue(open_office, 9, {**described(PATCH, "x"), "size": 2**62})
    open_office.start()
    codes = [_failed(open_office, message_id)[1] for message_id in [*ids, large]]
    assert codes == ["INVALID", "INVALID", "BLOB_NOT_FOUND", "INVALID", "ATTACHMENT_TOO_LARGE"]
    assert os.path.exists(os.path.join(open_office.data, "format"))


def test_a_full_store_makes_a_queued_message_wait(post_office: PostOffice) -> None:
    post_office.start(attachments_total_bytes_max=5_000)
    post_office.sessions("ann", "bob")
    post_office.kill()
    message_id = _queue(post_office, 1, described(PATCH, "x"))
    post_office.start(attachments_total_bytes_max=5_000)
    assert post_office.client().drain_outbox() == {"sent": 0, "waiting": 1, "failed": 0}
    post_office.kill()
    post_office.start(attachments_total_bytes_max=50_000)
    assert get(post_office.client("bob"), message_id, "x") == PATCH
    assert beside(post_office, "bob", message_id, "x")
