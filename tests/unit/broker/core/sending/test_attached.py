"""What a send may say of its files, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_broker.core.model.records import Accepted
from maestro_broker.core.sending import attached
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Attachment
from maestro_schemas.requests import GetMessage, Identity, Outgoing, Send
from support.offices import Office

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)
LIMITS = Limits(rate_limit=0, attachment_bytes_max=100, attachments_max=2, message_attachments_bytes_max=150)


def file(sha256: str = ONE, name: str = "x.txt", size: int = 10, kind: str = "text/plain") -> Attachment:
    return Attachment(name, size, kind, sha256)


@pytest.fixture
def office() -> Office:
    made = Office(LIMITS)
    for name in ("ann", "bob", "cyd"):
        made.start(name)
    made.blobs = {ONE: 10, TWO: 80}
    return made


def _error(office: Office, *files: Attachment, key: str = "m1") -> dict[str, Any]:
    result = office.send("ann", "bob", key, attachments=files)
    assert isinstance(result.error, dict)
    return result.error


def test_a_message_has_its_files_at_each_receiver(office: Office) -> None:
    result = office.send("ann", ["bob", "cyd"], "m1", attachments=(file(name="a/x"), file(TWO, "b/x", 80)))
    assert result.accepted == 2
    for name in ("bob", "cyd"):
        message = office.do(GetMessage(id="m1", who=Identity(name))).message
        assert message.attachments == (file(name="x"), file(TWO, "x(2)", 80))
    [record] = office.state.attached
    assert isinstance(record, Accepted)
    assert record.receivers == ("bob", "cyd")


def test_a_message_without_files_looks_for_none(office: Office) -> None:
    office.send("ann", "bob", "m1")
    assert [read for read in office.reads if read.kind == "blob"] == []
    assert office.state.attached == []


def test_each_file_is_looked_up_once_and_no_wrong_digest_is(office: Office) -> None:
    office.send("ann", "bob", "m1", attachments=(file(), file(name="again")))
    assert [read.message_id for read in office.reads if read.kind == "blob"] == [ONE]
    _error(office, file("../heads"), key="m2")
    assert [read for read in office.reads if read.kind == "blob"] == []
    _error(office, *[file()] * 3, file(TWO), key="m3")
    assert [read.message_id for read in office.reads if read.kind == "blob"] == [ONE], "no more than may be named"


def test_a_send_to_a_wrong_address_looks_for_no_file(office: Office) -> None:
    result = office.send("ann", "zoe", "m1", attachments=(file(),))
    assert isinstance(result.error, dict)
    assert result.error["code"] == "RECEIVER_NOT_FOUND"
    assert [read for read in office.reads if read.kind == "blob"] == []


@pytest.mark.parametrize(
    ("files", "code", "numbers"),
    [
        ([file()] * 3, "TOO_MANY", (2, 3)),
        ([file(size=-1)], "INVALID", (None, None)),
        ([file(size=101)], "ATTACHMENT_TOO_LARGE", (100, 101)),
        ([file(TWO, size=80), file(THREE, size=71)], "ATTACHMENT_TOO_LARGE", (150, 151)),
        ([file(size=11)], "BLOB_MISMATCH", (None, 11)),
        ([file(kind="")], "INVALID", (127, 0)),
        ([file(kind="x" * 128)], "INVALID", (127, 128)),
        ([file(kind="text/\u202ex")], "INVALID", (127, 6 + 1)),
        ([file("A" * 64)], "INVALID", (None, None)),
        ([file(ONE + "\n")], "INVALID", (None, None)),
    ],
)
def test_what_is_refused(office: Office, files: list[Attachment], code: str, numbers: tuple[Any, Any]) -> None:
    error = _error(office, *files)
    assert error["code"] == code
    assert (error.get("limit"), error.get("actual")) == numbers
    assert office.inbox("bob") == []
    assert error["hint"]


def test_a_missing_file_is_named_once_and_is_no_event(office: Office) -> None:
    head = office.state.lsn
    error = _error(office, file(THREE, "a"), file(THREE, "b"))
    assert (error["code"], error["details"]) == ("BLOB_NOT_FOUND", {"digests": [THREE]})
    assert "a, b" in error["message"]
    assert office.state.lsn == head, "the client puts it and sends again, which is the normal course"
    office.blobs[THREE] = 10
    assert office.send("ann", "bob", "m1", attachments=(file(THREE, "a"), file(THREE, "b"))).status == 201


def test_a_repeat_needs_no_file_any_more_and_the_same_files(office: Office) -> None:
    office.send("ann", "bob", "m1", attachments=(file(name="a/x"),))
    office.blobs = {}
    assert office.send("ann", "bob", "m1", attachments=(file(name="b/x"),)).status == 200
    for other in ((), (file(name="y"),), (file(TWO, "x", 80),), (file(name="x"), file(name="x"))):
        assert _error(office, *other)["code"] == "CONFLICT"


@pytest.mark.parametrize(
    ("files", "kept"),
    [((file(THREE, "a/x"),), (file(THREE, "x"),)), ((file("?"),), ()), ((), ())],
)
def test_a_failed_message_keeps_what_is_allowed(
    office: Office, files: tuple[Attachment, ...], kept: tuple[Attachment, ...]
) -> None:
    to = "zoe" if not files else "bob"
    outgoing = Outgoing(id="m1", to=to, text="hello", attachments=files)
    [result] = office.do(Send(messages=[outgoing], who=Identity("ann"), queued=True)).results
    assert result.state == "failed"
    office.ids["m1"] = result.id
    assert office.do(GetMessage(id="m1", who=Identity("ann"))).message.attachments == kept


def test_a_limit_of_no_files_takes_none() -> None:
    office = Office(Limits(rate_limit=0, attachments_max=0))
    office.start("ann")
    office.start("bob")
    office.blobs = {ONE: 10}
    assert _error(office, file())["code"] == "TOO_MANY"
    assert office.send("ann", "bob", "m2").status == 201


def test_a_small_segment_takes_fewer_files_and_every_other_message() -> None:
    office = Office(Limits(rate_limit=0, segment_bytes=1 << 16))
    office.start("ann")
    office.start("bob")
    office.blobs = {ONE: 10}
    error = _error(office, *[file()] * 3)
    assert (error["code"], error["limit"], error["actual"]) == ("TOO_MANY", 2, 3)
    assert office.send("ann", "bob", "m2", attachments=(file(), file())).status == 201


def test_digests() -> None:
    attached.check_digest("0123456789abcdef" * 4)
    for text in ("", "a" * 63, "a" * 65, "g" * 64, "/" * 64, "\u0661" * 64):
        with pytest.raises(MaestroError) as refused:
            attached.check_digest(text)
        assert refused.value.code == "INVALID"
