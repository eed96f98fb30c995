"""Attached files: put once, named by messages, beside each receiver's message, and gone with the last of them."""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.attachments.blob_handlers import UPLOADS_MAX
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import BLOB_PART_BYTES_MAX
from support import attached
from support.attached import beside, blob, blobs, described, digest_of, get, put, send
from support.post_office import eventually

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from maestro_schemas.documents import PruneDoc
    from support.post_office import PostOffice

PATCH = b"--- a\n+++ b\n" * 100
HOURS_S = 7_200
SETTINGS = {"attachment_bytes_max": 4096, "attachments_max": 2, "message_attachments_bytes_max": 6000}


def _refused(client: Client, *files: Any, key: str = "m1", to: str = "bob") -> Any:
    return send(client, to, *files, key=key)["error"]


def _pruned(operator: Client) -> PruneDoc:
    reports = [operator.prune()]

    def is_done() -> bool:
        reports.append(operator.prune(number=reports[0]["round"]))
        return reports[-1]["done"]

    eventually(is_done, "the round is over", 20.0)
    return reports[-1]


def _filed(operator: Client) -> None:
    eventually(lambda: operator.stats()["filingBacklog"] == 0, "everything is filed", 20.0)


def _age(path: str) -> None:
    then_s = time.time() - HOURS_S
    os.utime(path, (then_s, then_s))


# --- the whole way ------------------------------------------------------------------------------------------


def test_a_file_comes_beside_the_message_under_its_senders_name(open_office: PostOffice) -> None:
    ann, bob = open_office.client("ann"), open_office.client("bob")
    put(ann, PATCH)
    sent = send(ann, "bob", described(PATCH))
    path = beside(open_office, "bob", sent["id"], "cart.patch")
    # At once: an agent may be shown the path before anything is filed.
    with open(path, "rb") as file:
        assert file.read() == PATCH
    status = os.stat(path)
    assert stat.S_IMODE(status.st_mode) == 0o400
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert os.path.samefile(path, blob(open_office, digest_of(PATCH)))
    [message] = bob.inbox()["messages"]
    assert message["attachments"] == [described(PATCH)]
    assert get(bob, sent["id"], "cart.patch") == PATCH


def test_ten_mib_to_twelve_receivers_are_stored_once(post_office: PostOffice) -> None:
    content = os.urandom(10 << 20)
    post_office.start()
    post_office.sessions("ann", *(names := [f"r{number}" for number in range(12)]))
    ann = post_office.client("ann")
    put(ann, content)
    sent = send(ann, names, described(content, "big.bin"))
    assert sent["accepted"] == 12
    paths = [beside(post_office, name, sent["id"], "big.bin") for name in names]
    assert {os.stat(path).st_ino for path in paths} == {os.stat(blob(post_office, digest_of(content))).st_ino}
    assert os.stat(paths[0]).st_nlink == 13
    assert get(post_office.client("r11"), sent["id"], "big.bin") == content
    assert post_office.client().stats()["attachments"]["bytes"] == len(content)


def test_a_file_of_no_bytes_is_one(open_office: PostOffice) -> None:
    ann = open_office.client("ann")
    put(ann, b"")
    sent = send(ann, "bob", described(b"", "empty"))
    assert get(open_office.client("bob"), sent["id"], "empty") == b""
    assert os.path.getsize(beside(open_office, "bob", sent["id"], "empty")) == 0


def test_names_are_made_safe_and_different(open_office: PostOffice) -> None:
    ann = open_office.client("ann")
    put(ann, PATCH)
    given = ["../../etc/passwd", "-rf", "x\x1b[31m\u202e.txt", "y" * 300 + ".md", "a/x.txt", "b/X.txt"]
    sent = send(ann, "bob", *(described(PATCH, name) for name in given))
    [message] = open_office.client("bob").inbox()["messages"]
    names = [each["name"] for each in message["attachments"]]
    assert names == ["passwd", "rf", "x.txt", "y" * 117 + ".md", "x(2).txt", "X(3).txt"]
    assert sorted(os.listdir(beside(open_office, "bob", sent["id"]))) == sorted(names)


# --- uploads ------------------------------------------------------------------------------------------------


def test_an_upload_goes_on_where_it_was(open_office: PostOffice) -> None:
    ann, content = open_office.client("ann"), os.urandom(3_000)
    sha256 = digest_of(content)
    assert ann.blob_put(sha256, 3_000, 0, content[:1_000])["held"] == 1_000
    assert ann.blob_put(sha256, 3_000, 500, content[500:1_500])["held"] == 1_500, "a part may overlap"
    assert ann.blob_put(sha256, 3_000, 0, content[:1_000])["held"] == 1_500, "and may be put again"
    assert ann.blob_put(sha256, 3_000, 2_000, content[2_000:])["held"] == 1_500, "a gap is not taken"
    assert ann.blob_stat(sha256, 3_000) == {"sha256": sha256, "held": 1_500, "whole": False}
    open_office.kill()
    open_office.start()
    assert ann.blob_stat(sha256, 3_000)["held"] == 1_500
    assert blobs(open_office) == []
    assert ann.blob_put(sha256, 3_000, 1_500, content[1_500:]) == {"sha256": sha256, "held": 3_000, "whole": True}
    assert ann.blob_put(sha256, 3_000, 0, content[:10])["whole"] is True
    assert os.listdir(os.path.join(attached.store(open_office), "parts")) == []


def test_an_upload_of_which_all_bytes_are_there_is_finished_by_an_empty_part(open_office: PostOffice) -> None:
    ann, sha256 = open_office.client("ann"), digest_of(PATCH)
    ann.blob_put(sha256, len(PATCH), 0, PATCH[:-1])
    open_office.kill()
    [part] = os.listdir(os.path.join(attached.store(open_office), "parts"))
    with open(os.path.join(attached.store(open_office), "parts", part), "ab") as file:
        file.write(PATCH[-1:])  # as a kill before the last step leaves it
    open_office.start()
    assert ann.blob_stat(sha256, len(PATCH)) == {"sha256": sha256, "held": len(PATCH), "whole": False}
    assert ann.blob_put(sha256, len(PATCH), len(PATCH), b"")["whole"] is True


def test_content_of_another_digest_is_refused_and_gone(open_office: PostOffice) -> None:
    ann, sha256 = open_office.client("ann"), digest_of(PATCH)
    ann.blob_put(sha256, len(PATCH), 0, PATCH[:-1])
    with pytest.raises(MaestroError) as refused:
        ann.blob_put(sha256, len(PATCH), len(PATCH) - 1, b"?")
    assert refused.value.code == "BLOB_MISMATCH"
    assert ann.blob_stat(sha256, len(PATCH))["held"] == 0
    assert blobs(open_office) == []
    assert put(ann, PATCH) == sha256


def test_wrong_bytes_of_another_session_spoil_no_upload(open_office: PostOffice) -> None:
    ann, bob, sha256 = open_office.client("ann"), open_office.client("bob"), digest_of(PATCH)
    bob.blob_put(sha256, len(PATCH), 0, b"?" * (len(PATCH) - 1))
    assert ann.blob_stat(sha256, len(PATCH))["held"] == 0
    put(ann, PATCH)
    assert bob.blob_stat(sha256, len(PATCH))["whole"] is True
    assert os.listdir(os.path.join(attached.store(open_office), "parts")) == [], "what bob had begun is gone"
    assert open_office.client().stats()["attachments"]["bytes"] == len(PATCH)


def test_two_put_one_file_at_the_same_time(open_office: PostOffice) -> None:
    content = os.urandom(4 << 20)
    failed: list[BaseException] = []

    def upload(name: str) -> None:
        try:
            with open_office.client(name) as client:
                put(client, content, part_bytes=100_000)
        except BaseException as error:  # noqa: BLE001 - the test reports it
            failed.append(error)

    threads = [threading.Thread(target=upload, args=(name,)) for name in ("ann", "ann", "bob", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert blobs(open_office) == [digest_of(content)]
    assert os.listdir(os.path.join(attached.store(open_office), "parts")) == []
    with open(blob(open_office, digest_of(content)), "rb") as file:
        assert file.read() == content
    assert open_office.client().stats()["attachments"] == {"files": 1, "bytes": len(content), "bytesMax": 1 << 30}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sha256": "../../../../etc/passwd"}, "INVALID"),
        ({"sha256": "A" * 64}, "INVALID"),
        ({"sha256": "a" * 63}, "INVALID"),
        ({"sha256": ""}, "INVALID"),
        ({"size": -1}, "INVALID"),
        ({"size": (10 << 20) + 1}, "ATTACHMENT_TOO_LARGE"),
        ({"size": 2**63 - 1}, "ATTACHMENT_TOO_LARGE"),
        ({"offset": -1}, "INVALID"),
        ({"offset": 2**62}, "INVALID"),
        ({"offset": 1, "data": b"four"}, "INVALID"),
        ({"size": 10 << 20, "data": b"x" * (BLOB_PART_BYTES_MAX + 1)}, "INVALID"),
    ],
)
def test_a_hostile_part_changes_nothing(open_office: PostOffice, fields: dict[str, Any], code: str) -> None:
    body = {"sha256": digest_of(b"four"), "size": 4, "offset": 0, "data": b"four", **fields}
    with pytest.raises(MaestroError) as refused:
        open_office.client("ann").call("blob.put", body)
    assert refused.value.code == code
    assert not os.path.exists(attached.store(open_office))


def test_the_store_has_a_limit_and_reading_goes_on(post_office: PostOffice) -> None:
    post_office.start(attachments_total_bytes_max=10_000)
    post_office.sessions("ann", "bob")
    ann, bob = post_office.client("ann"), post_office.client("bob")
    put(ann, b"a" * 6_000)
    sent = send(ann, "bob", described(b"a" * 6_000, "a"))
    with pytest.raises(MaestroError) as refused:
        put(ann, b"b" * 6_000)
    assert (refused.value.code, refused.value.limit, refused.value.actual) == ("STORAGE_FULL", 10_000, 12_000)
    assert get(bob, sent["id"], "a") == b"a" * 6_000
    put(ann, b"c" * 4_000)
    post_office.kill()
    post_office.start(attachments_total_bytes_max=10_000)
    assert post_office.client().stats()["attachments"] == {"files": 2, "bytes": 10_000, "bytesMax": 10_000}


# --- sends --------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_named_and_the_same_send_is_taken_after_it(open_office: PostOffice) -> None:
    ann = open_office.client("ann")
    error = _refused(ann, described(PATCH), described(b"other", "other"))
    assert (error["code"], error["details"]) == (
        "BLOB_NOT_FOUND",
        {"digests": [digest_of(PATCH), digest_of(b"other")]},
    )
    put(ann, PATCH)
    assert _refused(ann, described(PATCH), described(b"other"))["details"] == {"digests": [digest_of(b"other")]}
    put(ann, b"other")
    assert send(ann, "bob", described(PATCH), described(b"other", "other"))["status"] == 201
    assert open_office.client().stats()["messages"]["accepted"] == 1


def test_a_repeat_has_the_same_files(open_office: PostOffice) -> None:
    ann = open_office.client("ann")
    put(ann, PATCH)
    put(ann, b"other")
    first = send(ann, "bob", described(PATCH, "a/x"), described(PATCH, "b/x"))
    assert first["status"] == 201
    assert send(ann, "bob", described(PATCH, "c/x"), described(PATCH, "x"))["status"] == 200
    assert _refused(ann, described(PATCH, "x"))["code"] == "CONFLICT"
    assert _refused(ann)["code"] == "CONFLICT"
    assert _refused(ann, described(b"other", "x"), described(PATCH, "x"))["code"] == "CONFLICT"
    # Of a message without files, too.
    send(ann, "bob", key="m2")
    assert _refused(ann, described(PATCH), key="m2")["code"] == "CONFLICT"


def test_the_limits_of_a_message(post_office: PostOffice) -> None:
    post_office.start(**SETTINGS)
    post_office.sessions("ann", "bob")
    ann = post_office.client("ann")
    one, two = b"1" * 4_000, b"2" * 3_000
    for content in (one, two):
        put(ann, content)
    many = _refused(ann, *(described(two, str(number)) for number in range(3)))
    assert (many["code"], many["limit"], many["actual"]) == ("TOO_MANY", 2, 3)
    long = _refused(ann, {**described(one), "size": 5_000})
    assert (long["code"], long["limit"], long["actual"]) == ("ATTACHMENT_TOO_LARGE", 4_096, 5_000)
    together = _refused(ann, described(one), described(two))
    assert (together["code"], together["limit"], together["actual"]) == ("ATTACHMENT_TOO_LARGE", 6_000, 7_000)
    assert _refused(ann, {**described(one), "size": 3_999})["code"] == "BLOB_MISMATCH"
    assert _refused(ann, {**described(one), "sha256": "../../heads"})["code"] == "INVALID"
    assert _refused(ann, {**described(one), "type": "text/x\n"})["code"] == "INVALID"
    assert post_office.client("bob").inbox()["count"] == 0


# --- who may have them --------------------------------------------------------------------------------------


def test_who_sees_the_message_has_its_files(post_office: PostOffice) -> None:
    post_office.start()
    post_office.sessions("ann", "bob", "eve")
    post_office.session("lead", role="orchestrator")
    post_office.session("far", role="orchestrator", project="elsewhere")
    ann = post_office.client("ann")
    put(ann, PATCH)
    sent = send(ann, ["bob", "lead"], described(PATCH))
    for name in ("ann", "bob", "lead", None):
        assert get(post_office.client(name), sent["id"], "cart.patch") == PATCH
    for name in ("eve", "far"):
        with pytest.raises(MaestroError) as refused:
            post_office.client(name).blob_get(sent["id"], "cart.patch")
        assert refused.value.code == "MESSAGE_NOT_FOUND"
    for name, code in (("../cart.patch", "BLOB_NOT_FOUND"), ("", "BLOB_NOT_FOUND")):
        with pytest.raises(MaestroError) as refused:
            ann.blob_get(sent["id"], name)
        assert refused.value.code == code
    for offset, limit in ((-1, None), (0, 0), (0, BLOB_PART_BYTES_MAX + 1)):
        with pytest.raises(MaestroError) as refused:
            ann.blob_get(sent["id"], "cart.patch", offset=offset, limit=limit)
        assert refused.value.code == "INVALID"
    assert ann.blob_get(sent["id"], "cart.patch", offset=10**6)["data"] == b""


def test_a_token_is_needed(post_office: PostOffice) -> None:
    post_office.start()
    post_office.session("ann", token="secret-of-ann-000")
    for call, body in (
        ("blob.stat", {"sha256": digest_of(PATCH), "size": len(PATCH)}),
        ("blob.put", {"sha256": digest_of(PATCH), "size": len(PATCH), "offset": 0, "data": PATCH}),
        ("blob.get", {"id": "m1", "name": "x"}),
    ):
        with pytest.raises(MaestroError) as refused:
            post_office.client("ann").call(call, body)
        assert refused.value.code == "TOKEN_REQUIRED"


# --- the end of a file --------------------------------------------------------------------------------------


def test_a_file_goes_with_its_last_message(open_office: PostOffice) -> None:
    ann, bob, operator = open_office.client("ann"), open_office.client("bob"), open_office.client()
    sha256 = put(ann, PATCH)
    ids = [send(ann, "bob", described(PATCH), key=key)["id"] for key in ("m1", "m2")]
    _filed(operator)
    bob.delete([ids[0]])
    _filed(operator)
    assert not os.path.exists(beside(open_office, "bob", ids[0]))
    _age(blob(open_office, sha256))
    assert _pruned(operator)["swept"].get("attachments", 0) == 0
    assert get(bob, ids[1], "cart.patch") == PATCH
    bob.delete([ids[1]])
    _filed(operator)
    assert _pruned(operator)["swept"]["attachments"] == 1
    assert blobs(open_office) == []
    assert operator.stats()["attachments"]["bytes"] == 0


def test_a_file_that_was_named_lately_is_kept(open_office: PostOffice) -> None:
    ann, operator = open_office.client("ann"), open_office.client()
    sha256 = put(ann, PATCH)
    assert "attachments" not in _pruned(operator)["swept"]
    _age(blob(open_office, sha256))
    ann.blob_stat(sha256, len(PATCH))
    assert "attachments" not in _pruned(operator)["swept"]
    _age(blob(open_office, sha256))
    # A send that is refused for another reason has named it all the same.
    assert _refused(ann, described(PATCH), to="no-such-session")["code"] == "RECEIVER_NOT_FOUND"
    send(ann, "bob", described(PATCH), described(b"missing"))
    assert "attachments" not in _pruned(operator)["swept"]
    assert operator.prune(dry_run=True)
    eventually(lambda: not operator.stats()["sweep"]["running"], "the dry run is over")


def test_an_upload_that_ended_early_is_removed(open_office: PostOffice) -> None:
    ann, operator = open_office.client("ann"), open_office.client()
    ann.blob_put(digest_of(PATCH), len(PATCH), 0, PATCH[:10])
    parts = os.path.join(attached.store(open_office), "parts")
    assert "attachments" not in _pruned(operator)["swept"]
    [part] = os.listdir(parts)
    _age(os.path.join(parts, part))
    assert _pruned(operator)["swept"] == {"attachments": 1, "bytes": 10}
    assert os.listdir(parts) == []


def test_files_are_removed_with_old_mail_and_an_orphan_by_itself(open_office: PostOffice) -> None:
    ann, bob, operator = open_office.client("ann"), open_office.client("bob"), open_office.client()
    put(ann, PATCH)
    sent = send(ann, "bob", described(PATCH))
    bob.confirm([sent["id"]], "read")
    _filed(operator)
    orphan = beside(open_office, "bob", "msg_gone")
    os.mkdir(orphan, 0o700)
    with open(os.path.join(orphan, "x"), "wb") as file:
        file.write(b"x")
    reports = [operator.prune(older_than_ms=0)]
    eventually(lambda: operator.prune(number=reports[0]["round"])["done"], "the round is over", 20.0)
    assert not os.path.exists(beside(open_office, "bob", sent["id"]))
    assert os.path.exists(orphan), "it may be of a message that is not filed yet"
    _age(orphan)
    _pruned(operator)
    assert not os.path.exists(orphan)


def test_a_copy_of_the_data_loses_no_file(open_office: PostOffice) -> None:
    ann, operator = open_office.client("ann"), open_office.client()
    sha256 = put(ann, PATCH)
    sent = send(ann, "bob", described(PATCH))
    _filed(operator)
    open_office.stop()
    path = beside(open_office, "bob", sent["id"], "cart.patch")
    os.unlink(path)
    with open(path, "wb") as file:  # as a copy that knows no hard links
        file.write(PATCH)
    _age(blob(open_office, sha256))
    open_office.start()
    assert _pruned(operator)["swept"]["attachments"] == 1
    assert get(open_office.client("bob"), sent["id"], "cart.patch") == PATCH


# --- attacks ------------------------------------------------------------------------------------------------


def test_uploads_that_are_never_finished_are_few(open_office: PostOffice) -> None:
    """Each takes a file on the disk, also one of a single byte; another session's uploads do not count."""
    ann = open_office.client("ann")
    digests = [digest_of(b"%d" % number) for number in range(UPLOADS_MAX + 1)]
    for sha256 in digests:
        assert ann.blob_put(sha256, 2, 0, b"")["held"] == 0
    assert not os.path.isdir(parts := os.path.join(attached.store(open_office), "parts")), "no byte, no file"
    for sha256 in digests[:-1]:
        ann.blob_put(sha256, 2, 0, b"x")
    with pytest.raises(MaestroError) as refused:
        ann.blob_put(digests[-1], 2, 0, b"x")
    assert (refused.value.code, refused.value.limit, refused.value.actual) == (
        "TOO_MANY",
        UPLOADS_MAX,
        UPLOADS_MAX + 1,
    )
    assert len(os.listdir(parts)) == UPLOADS_MAX
    put(open_office.client("bob"), PATCH)


@pytest.mark.parametrize("planted", ["link", "fifo"])
def test_what_is_no_file_in_a_blobs_place_is_replaced(open_office: PostOffice, planted: str) -> None:
    ann, path = open_office.client("ann"), blob(open_office, digest_of(PATCH))
    os.makedirs(os.path.dirname(path))
    os.symlink("/etc/passwd", path) if planted == "link" else os.mkfifo(path)
    put(ann, PATCH)
    sent = send(ann, "bob", described(PATCH))
    assert get(open_office.client("bob"), sent["id"], "cart.patch") == PATCH


def test_a_folder_in_a_blobs_place_is_an_error_and_no_endless_work(open_office: PostOffice) -> None:
    os.makedirs(blob(open_office, digest_of(PATCH)))
    with pytest.raises(MaestroError) as refused:
        put(open_office.client("ann"), PATCH)
    assert refused.value.code == "INTERNAL"
