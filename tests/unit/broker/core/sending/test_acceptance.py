"""What becomes of a message that waited in an outbox and is refused for good, and when a message expires."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Message, Metadata
from maestro_schemas.names import is_id
from maestro_schemas.replies import SendResult
from maestro_schemas.requests import Confirm, Delete, GetMessage, GetThread, Identity, Outgoing, Send
from support.offices import Office, keys, refused


def _office(**limits: Any) -> Office:
    office = Office(Limits(rate_limit=0, **limits))
    office.start("boss", role="orchestrator")
    office.start("ann")
    office.start("bob")
    office.start("far", project_id="other")
    office.start("amy", token="secret")
    return office


def _queued(office: Office, sender: str, to: Any, key: str, text: str = "hello", **fields: Any) -> SendResult:
    """Send one message as the drain of an outbox does."""
    outgoing = Outgoing(id=key, to=to, text=text, **fields)
    token = "secret" if sender == "amy" else None
    result: SendResult = office.do(Send(messages=[outgoing], who=Identity(sender, token), queued=True)).results[0]
    office.ids[key] = result.id
    return result


def _failed(office: Office, key: str, asking: str | None = None) -> Message:
    message: Message = office.do(GetMessage(id=key, who=Identity(asking))).message
    assert message.status == "failed"
    return message


def test_a_refusal_for_good_is_kept_with_its_reason() -> None:
    office = _office()
    result = _queued(office, "ann", "far", "m1", metadata=Metadata(task_id="t"), ttl_ms=1_000)
    assert isinstance(result.error, dict)
    assert (result.status, result.state, result.error["code"]) == (403, "failed", "ROLE_FORBIDDEN")
    message = _failed(office, "m1", "ann")
    assert (message.sender, message.receiver, message.text, message.seq) == ("ann", "far", "hello", 0)
    assert message.failure is not None
    assert (message.failure.code, message.meta.task_id) == ("ROLE_FORBIDDEN", "t")
    assert message.expires_at == message.created_at + 1_000
    assert office.inbox("far") == []


@pytest.mark.parametrize("file", [False, True])
@pytest.mark.parametrize("crash", [False, True])
def test_it_is_the_same_send_wherever_it_is_kept(file: bool, crash: bool) -> None:
    """In memory, on disk, after a crash: another judgement of the entry changes nothing."""
    office = _office()
    first = _queued(office, "ann", "ghost", "m1")
    if file:
        office.file()
        office.make_checkpoint()
    if crash:
        office.crash()
    lsn = office.state.lsn
    office.start("ghost")
    again = _queued(office, "ann", "ghost", "m1")
    assert (again.state, again.id, again.status) == ("failed", first.id, first.status)
    assert office.state.lsn == lsn + 1, "the start of the session alone"
    assert len(office.inbox("ann")) == 1
    plain = office.send("ann", "ghost", "m1")
    assert isinstance(plain.error, dict)
    assert (plain.error["code"], "refused for good" in plain.error["message"]) == ("RECEIVER_NOT_FOUND", True)
    assert f"message retry {first.id}" in plain.error["hint"]


def test_a_message_that_was_accepted_before_stays_what_it_is() -> None:
    office = _office()
    office.accept("ann", "bob", "m1")
    assert _queued(office, "ann", "bob", "m1").status == 200
    other = _queued(office, "ann", "bob", "m1", "another text")
    assert isinstance(other.error, dict)
    assert (other.error["code"], other.state) == ("CONFLICT", None)
    assert keys(office.inbox("bob")) == ["m1"]


def test_the_sender_is_notified_once_and_before_the_record() -> None:
    """A crash may tear a batch behind the notice: then the entry is judged again, and the notice is there."""
    office = _office()
    result = _queued(office, "amy", "ghost", "m1")
    [notice] = _mail(office, "amy")
    assert (notice.sender, notice.meta.type) == ("maestro", "notification")
    for part in (result.id, "ghost", "RECEIVER_NOT_FOUND", f"maestro message retry {result.id}"):
        assert part in notice.text
    del office.journal[-1]  # the record of the failed message
    office.crash()
    assert _queued(office, "amy", "ghost", "m1").state == "failed"
    assert len(_mail(office, "amy")) == 1


def test_a_session_without_a_token_proves_nothing_to_its_notice() -> None:
    office = _office()
    _queued(office, "ann", "your user says so", "run_this", "run this")
    [notice] = office.inbox("ann")
    for words in ("run_this", "run this", "your user"):
        assert words not in notice.text + notice.id
    assert "RECEIVER_NOT_FOUND" in notice.text


def test_not_now_is_no_refusal_for_good() -> None:
    office = _office(pending_max=1)
    office.accept("ann", "bob", "m1")
    result = _queued(office, "ann", "bob", "m2")
    assert isinstance(result.error, dict)
    assert (result.error["code"], result.state) == ("MAILBOX_FULL", None)
    office.circumstances = {"back_pressure": MaestroError("STORAGE_FULL", "full", retry_after_s=1.0)}
    lsn = office.state.lsn
    result = _queued(office, "ann", "ghost", "m3")
    assert isinstance(result.error, dict)
    assert (result.error["code"], result.state, office.state.lsn) == ("STORAGE_FULL", None, lsn)


def test_the_sender_that_has_ended_fails_too() -> None:
    office = _office()
    office.accept("ann", "bob", "m1")
    office.end("ann")
    assert _queued(office, "ann", "bob", "m1").status == 200, "it was accepted before"
    result = _queued(office, "ann", "bob", "m2")
    assert isinstance(result.error, dict)
    assert (result.error["code"], result.state) == ("SESSION_ENDED", "failed")


@pytest.mark.parametrize(
    ("fields", "code", "kept"),
    [
        ({"text": "x" * 11}, "TEXT_TOO_LONG", {"text": "x" * 10, "note": "beginning"}),
        ({"text": "\x1b"}, "EMPTY_MESSAGE", {"text": ""}),
        ({"metadata": Metadata(data="y" * 5_000)}, "DATA_TOO_LARGE", {"text": "hello", "note": "metadata"}),
        ({"metadata": Metadata(thread_id="t")}, "INVALID", {"text": "hello", "note": "metadata"}),
        ({"metadata": Metadata(in_reply_to="absent")}, "MESSAGE_NOT_FOUND", {"text": "hello"}),
        ({"ttl_ms": -5}, "INVALID", {"text": "hello", "expires_at": 999_995}),
        ({"ttl_ms": 1 << 70}, "INVALID", {"text": "hello"}),
        ({"expires_at": 5}, "INVALID", {"text": "hello", "expires_at": 5}),
        ({"expires_at": 1 << 70}, "INVALID", {"text": "hello", "expires_at": None}),
        ({"ttl_ms": 5, "expires_at": 5}, "INVALID", {"text": "hello"}),
    ],
)
def test_what_is_kept_of_a_content_that_is_not_allowed(
    fields: dict[str, Any], code: str, kept: dict[str, Any]
) -> None:
    office = _office(text_chars_max=10)
    text = fields.pop("text", "hello")
    result = _queued(office, "ann", "bob", "m1", text, **fields)
    assert isinstance(result.error, dict)
    assert (result.error["code"], result.state) == (code, "failed")
    message = _failed(office, "m1", "ann")
    assert message.failure is not None
    assert message.text == kept["text"]
    assert kept.get("note", "") in message.failure.message
    if "expires_at" in kept:
        assert message.expires_at == kept["expires_at"]


def test_a_list_of_addresses_fails_as_one_message() -> None:
    office = _office()
    result = _queued(office, "ann", ["ghost", "bob"], "m1")
    assert result.state == "failed"
    message = _failed(office, "m1")
    assert message.audience is not None
    assert (message.receiver, message.audience.to, message.audience.size) == ("ghost", ("ghost", "bob"), 0)
    assert office.inbox("bob") == []


def test_an_id_that_can_be_none_is_kept_nowhere() -> None:
    office = _office()
    result = _queued(office, "ann", "bob", "no/id")
    assert not is_id("no/id")
    assert isinstance(result.error, dict)
    assert (result.error["code"], result.state) == ("INVALID_ID", None)


def test_who_sees_a_failed_message() -> None:
    """Its sender, an orchestrator of the sender's project, the operator; not the receiver that never got it."""
    office = _office()
    office.start("chief", role="orchestrator", project_id="other")
    office.end("bob")
    failed = _queued(office, "ann", "bob", "m1").id
    for asking in ("ann", "boss", None):
        assert _failed(office, failed, asking).id == failed
        assert keys(office.do(GetThread(id=failed, who=Identity(asking))).messages) == ["m1"]
    for asking in ("bob", "far", "chief"):
        assert refused(office, GetMessage(id=failed, who=Identity(asking))).code == "MESSAGE_NOT_FOUND"


def test_a_caller_that_gives_only_the_id_speaks_for_the_sender_of_a_failed_message() -> None:
    office = _office()
    failed = _queued(office, "amy", "ghost", "m1").id
    request = GetMessage(id=failed, as_receiver=True)
    assert refused(office, request).code == "TOKEN_REQUIRED"
    shown = office.do(GetMessage(id=failed, as_receiver=True, who=Identity(None, "secret"))).message
    assert shown.id == failed
    for ask in (Confirm(ids=[failed], kind="read"), Delete(ids=[failed])):
        [result] = office.do(ask).results
        assert result.error["code"] == "MESSAGE_NOT_FOUND", "it is in no mailbox"


def test_an_expiry_at_a_time_is_that_of_a_life() -> None:
    office = _office()
    at = office.now_ms + 5_000
    sent = office.accept("ann", "bob", "m1", expires_at=at)
    assert sent.expires_at == at
    assert office.accept("ann", "bob", "m1", expires_at=at).status == 200
    assert office.accept("ann", "bob", "m1", ttl_ms=5_000).status == 200, "the same time, said otherwise"
    other = office.send("ann", "bob", "m1", expires_at=at + 1)
    assert isinstance(other.error, dict)
    assert other.error["code"] == "CONFLICT"
    office.now_ms = at
    office.expire_due()
    assert office.do(GetMessage(id=sent.id)).message.status == "expired"
    assert office.accept("ann", "bob", "m1", expires_at=at).status == 200, "a repeat after its time"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"expires_at": 999_000}, "can't expire 1s ago"),
        ({"expires_at": 1_000_000}, "ago"),
        ({"expires_at": 1_000_000 + 8 * 86_400_000}, "can't expire 8d from now"),
        ({"expires_at": 1_001_000, "ttl_ms": 1_000}, "both given"),
    ],
)
def test_a_time_that_is_not_allowed_is_refused_with_words(fields: dict[str, Any], words: str) -> None:
    result = _office().send("ann", "bob", "m1", **fields)
    assert isinstance(result.error, dict)
    assert (result.error["code"], words in result.error["message"]) == ("INVALID", True), result.error


def _mail(office: Office, session: str) -> list[Message]:
    from maestro_schemas.requests import Inbox

    found: list[Message] = office.do(Inbox(session=session)).messages
    return found
