"""The audit: each refusal and each step of a message is one line, without a word of the message's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from support.cli_shell import Shell

SECRET = "the text that no audit holds"


@pytest.fixture(scope="module")
def shell_environ() -> dict[str, str]:
    limits = {
        "TEXT_CHARS_MAX": 100,
        "PENDING_MAX": 2,
        "RATE_LIMIT": 30,
        "DATA_BYTES_MAX": 10,
        "BATCH_MESSAGES_MAX": 2,
    }
    return {f"MAESTRO_{name}": str(value) for name, value in limits.items()}


@pytest.fixture
def shell(shared_person: Shell) -> Shell:
    return shared_person


def lines(shell: Shell, **filters: Any) -> list[dict[str, Any]]:
    with shell.anonymous().client() as client:
        return [dict(event) for event in client.events(0, **filters)["events"]]


def test_each_code_that_a_send_can_have_is_in_the_audit(shell: Shell) -> None:
    alice, bob, gone, rival = (shell.session(name, role="orchestrator") for name in ("alice", "bob", "gone", "bob2"))
    worker, foreign, other = shell.session("w1"), shell.session("w2", project="elsewhere"), shell.session("other")
    with gone.client() as client:
        client.end_session()
    provoked: dict[str, str] = {}

    def refused(by: Shell, to: str, text: str = SECRET, message_id: str | None = None, **more: Any) -> None:
        with by.client() as client, pytest.raises(MaestroError) as caught:
            client.send(to, text, message_id=message_id, **more)
        provoked[caught.value.code] = by.session_id

    refused(alice, "absent")
    refused(alice, gone.session_id)
    refused(worker, foreign.session_id)
    refused(alice, bob.session_id, "")
    refused(alice, bob.session_id, SECRET * 10)
    refused(alice, bob.session_id, message_id="no id!")
    refused(alice, bob.session_id, ttl_ms=0)
    refused(alice, bob.session_id, metadata={"data": {"a": "x" * 20}})
    alice.send(bob, SECRET, message_id="msg_taken")
    refused(alice, bob.session_id, "another text", message_id="msg_taken")
    alice.send(bob, SECRET)
    refused(alice, bob.session_id)
    with rival.client() as client:
        for _ in range(30):
            client.confirm([client.send(rival.session_id, SECRET)["id"]], "delivered")
    refused(rival, other.session_id)
    refused(gone, bob.session_id)
    refused(shell.like(MAESTRO_SESSION_ID="sess_unknown"), bob.session_id)
    refused(alice.like(MAESTRO_SESSION_TOKEN=""), bob.session_id)
    refused(alice.like(MAESTRO_SESSION_TOKEN="tok_wrong"), bob.session_id)
    with alice.client() as client, pytest.raises(MaestroError) as caught:
        client.send_many([{"id": f"msg_{n}", "to": bob.session_id, "message": SECRET} for n in range(3)])
    provoked[caught.value.code] = alice.session_id
    with shell.anonymous().client() as client, pytest.raises(MaestroError) as caught:
        client.send(bob.session_id, SECRET)
    assert caught.value.code == "NO_SESSION"
    expected = {
        "RECEIVER_NOT_FOUND", "RECEIVER_ENDED", "ROLE_FORBIDDEN", "EMPTY_MESSAGE", "TEXT_TOO_LONG",
        "INVALID_ID", "INVALID", "DATA_TOO_LARGE", "CONFLICT", "MAILBOX_FULL", "RATE_LIMITED", "SESSION_ENDED",
        "UNKNOWN_SESSION", "TOKEN_REQUIRED", "TOKEN_MISMATCH", "TOO_MANY",
    }  # fmt: skip
    assert set(provoked) == expected
    logged = {(line["code"], line.get("from")) for line in lines(shell, events=["refused"])}
    assert set(provoked.items()) | {("NO_SESSION", None)} <= logged
    assert SECRET not in repr(lines(shell))


def test_calls_that_were_not_allowed_are_in_the_audit(shell: Shell) -> None:
    owner, thief = shell.session("owner"), shell.session("thief")
    message = owner.send(owner, SECRET)
    wrong = Caller(owner.session_id, "tok_wrong")
    with thief.client() as client:
        before = client.events(-1, limit=1)["head"]
        for call in (
            lambda: client.confirm([message], "read", session=owner.session_id),
            lambda: client.delete([message], session=owner.session_id),
            lambda: client.inbox(session=owner.session_id),
            lambda: client.events(0, caller=wrong),
            lambda: client.shutdown(caller=wrong),
            lambda: client.end_session(caller=wrong),
        ):
            with pytest.raises(MaestroError):
                call()
    with shell.anonymous().client() as client:
        found = client.events(before, events=["message.refused"])["events"]
    assert [line["code"] for line in found] == ["FORBIDDEN"] * 3 + ["TOKEN_MISMATCH"] * 3
    # The caller of session.start claims to be that session.
    with shell.anonymous().client() as client:
        with pytest.raises(MaestroError, match="is in use"):
            client.start_session(owner.session_id, token="tok_wrong")
        [line] = client.events(-1, limit=1)["events"]
    assert (line["code"], line.get("from")) == ("NAME_TAKEN", owner.session_id)


def test_filters_find_each_step_of_a_message_and_of_a_session(shell: Shell) -> None:
    reader = shell.session("reader")
    message = reader.send(reader, SECRET)
    with reader.client() as client:
        for kind in ("offered", "delivered", "read"):
            client.confirm([message], kind, via="test")
        client.delete([message])
        client.touch_session(status="working")
        client.end_session()
    found = lines(shell, message=message)
    steps = ["accepted", "offered", "delivered", "read", "deleted"]
    assert [line["event"] for line in found] == [f"message.{step}" for step in steps]
    own = lines(shell, session=reader.session_id, events=["session"])
    assert [line["event"] for line in own] == ["session.started", "session.changed", "session.ended"]
    at = found[2]["at"]
    assert [line for line in lines(shell, message=message, since=at) if line["at"] < at] == []
    assert {line["lsn"] for line in lines(shell, message=message, since=at)} == {
        line["lsn"] for line in found if line["at"] >= at
    }
    assert {line["lsn"] for line in lines(shell, message=message, until=at)} == {
        line["lsn"] for line in found if line["at"] < at
    }
    with shell.anonymous().client() as client, pytest.raises(MaestroError, match="no event 'raed'") as caught:
        client.events(0, events=["raed"])
    assert "message.read" in caught.value.hint
