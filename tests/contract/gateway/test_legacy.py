"""The calls of the programs that Maestro shipped before, as they make them: without a header or a key."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from maestro_clients.protocol.new_ids import new_message_id
from support.gateways import Answer, Gateway, send
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice


@pytest.fixture
def gateway(open_office: PostOffice) -> Iterator[Gateway]:
    """A gateway in front of a broker with `ann`, an orchestrator, and `bob` and `cyd`."""
    with Gateway(open_office) as gateway:
        for session, mode in (("ann", "coordinator"), ("bob", "worker"), ("cyd", "execute")):
            body = {"id": session, "name": f"{session}-name", "metadata": {"mode": mode}, "projectId": "shop"}
            assert gateway.ask("POST", "/api/sessions", body).status == 201
        yield gateway


def texts(office: PostOffice, session: str) -> list[str]:
    """The messages of a mailbox, by seq."""
    with office.client() as client:
        page = client.inbox(session=session, since=0, status=["pending", "delivered", "read"])
        return [message["message"] for message in page["messages"]]


def test_a_prompt(open_office: PostOffice, gateway: Gateway) -> None:
    body = {"content": "Look at it.\n\tNow.", "mode": "send", "senderSessionId": "ann"}
    answer = gateway.ask("POST", "/api/sessions/bob/prompt", body)
    assert (answer.status, answer.json) == (200, {"success": True})
    with open_office.client() as client:
        [message] = client.inbox(session="bob")["messages"]
    assert (message["from"], message["message"]) == ("ann", "Look at it.\n\tNow.")
    assert message["metadata"]["type"] == "command"


def test_mail_and_its_reading(gateway: Gateway) -> None:
    sent = [
        gateway.ask("POST", "/api/sessions/bob/mail", body).json
        for body in (
            {"fromSessionId": "ann", "fromName": "Ann", "message": "short", "detail": "the long\n\nform"},
            {"fromSessionId": "cyd", "message": "only short"},
            {"fromSessionId": "cyd", "fromName": "", "message": "bell\x07 gone", "detail": "more"},
        )
    ]
    assert all(answer["success"] for answer in sent)
    mail = gateway.ask("GET", "/api/sessions/bob/mail").json
    assert [one["id"] for one in mail] == [answer["mailId"] for answer in sent]
    assert set(mail[0]) == {
        "id", "parentSessionId", "fromSessionId", "fromName", "toSessionId", "message", "detail", "createdAt",
        "readAt",
    }  # fmt: skip
    assert [(one["fromName"], one["message"], one["detail"]) for one in mail] == [
        ("Ann", "short", "the long\n\nform"),
        ("cyd-name", "only short", None),
        ("cyd-name", "bell gone\n\nmore", None),
    ]
    assert [one["readAt"] for one in mail] == [None] * 3
    eventually(lambda: gateway.ask("GET", f"/api/messages/{mail[0]['id']}").json["status"] == "read", "it is read")
    assert gateway.ask("GET", "/api/sessions/bob/mail").json == []
    assert gateway.ask("GET", "/api/v1/sessions/cyd/mail").json == []
    assert gateway.ask("GET", "/api/sessions/cyd-name/mail").json == [], "by its name"
    assert gateway.ask("GET", "/api/sessions/absent/mail").status == 404


def test_more_mail_than_one_confirmation_takes(open_office: PostOffice, gateway: Gateway) -> None:
    """Shown mail is read; the next call gets the rest."""
    sent = [f"number {number}" for number in range(300)]
    with open_office.client("ann") as client:
        for some in (sent[:150], sent[150:]):
            results = client.send_many([{"id": new_message_id(), "to": "bob", "message": text} for text in some])
            assert {result["status"] for result in results} == {201}
    first = gateway.ask("GET", "/api/sessions/bob/mail").json
    assert [one["message"] for one in first] == sent[:256]

    def is_read() -> bool:
        with open_office.client() as client:
            return client.inbox(session="bob", since=0, limit=1_000, status=["read"])["count"] == 256

    eventually(is_read, "it is read")
    assert [one["message"] for one in gateway.ask("GET", "/api/sessions/bob/mail").json] == sent[256:]


@pytest.mark.parametrize("prefix", ["/api", "/api/v1"])
def test_mail_is_not_read_without_its_body(open_office: PostOffice, gateway: Gateway, prefix: str) -> None:
    """HEAD marks nothing as read. A GET from a page of another site would, and is refused."""
    with open_office.client("ann") as client:
        client.send("bob", "hello")
    assert gateway.ask("HEAD", f"{prefix}/sessions/bob/mail").status == 200
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://page.example"}):
        answer = gateway.ask("GET", f"{prefix}/sessions/bob/mail", headers=header)
        assert (answer.status, answer.json["code"]) == (403, "ORIGIN_REFUSED")
    with open_office.client() as client:
        [message] = client.inbox(session="bob", since=0, status=["pending", "delivered", "read"])["messages"]
    assert message["status"] == "pending"
    assert [one["message"] for one in gateway.ask("GET", f"{prefix}/sessions/bob/mail").json] == ["hello"]


def test_mail_that_the_reader_did_not_take_is_there_again(open_office: PostOffice, gateway: Gateway) -> None:
    """The client hung up before the end of the answer: nothing counts as read, and after the lease it comes again."""
    for number in range(30):
        with open_office.client("ann") as client:
            client.send("bob", f"{number} " + "x" * 9_000)
    raw = socket.socket()
    # So small a buffer that a part of the answer must wait: bytes that the kernel has taken count as arrived.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing sends a reset
    raw.connect(gateway.address)
    raw.sendall(b"GET /api/sessions/bob/mail HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert raw.recv(100)
    raw.close()
    assert gateway.ask("GET", "/api/sessions/bob/mail").json == [], "it is under the lease of the client that hung up"
    with open_office.client() as client:
        page = client.inbox(session="bob", since=0, status=["pending", "delivered", "read"])
    assert {message["status"] for message in page["messages"]} == {"pending"}


@pytest.mark.parametrize("call", ["prompt", "mail"])
def test_to_a_session_that_has_ended(gateway: Gateway, call: str) -> None:
    """The original program answered "success" and lost it."""
    assert gateway.ask("PATCH", "/api/sessions/bob", {"status": "completed", "completedAt": 5}).status == 200
    body = {"content": "hello", "senderSessionId": "ann", "message": "hello", "fromSessionId": "ann"}
    answer = gateway.ask("POST", f"/api/sessions/bob/{call}", body)
    assert (answer.status, answer.json["code"], answer.json["error"]) == (409, "RECEIVER_ENDED", True)


def test_without_a_sender(gateway: Gateway) -> None:
    answer = gateway.ask("POST", "/api/sessions/bob/prompt", {"content": "hello"})
    assert (answer.status, answer.json["code"]) == (401, "NO_SESSION")
    headers = {"X-Session-ID": "ann"}
    assert gateway.ask("POST", "/api/sessions/bob/prompt", {"content": "hello"}, headers=headers).status == 200


def test_the_same_words_twice_are_two_messages(open_office: PostOffice, gateway: Gateway) -> None:
    body = {"content": "again", "senderSessionId": "ann"}
    connection = http.client.HTTPConnection(*gateway.address)
    for _ in range(3):
        assert send(connection, "POST", "/api/sessions/bob/prompt", body).status == 200
    connection.close()
    assert texts(open_office, "bob") == ["again"] * 3


def test_a_repeat_after_an_answer_that_could_not_be_sent(open_office: PostOffice, gateway: Gateway) -> None:
    """The client hangs up while the broker is paused. The message is accepted, and the repeats are that message."""
    body = json.dumps({"content": "once", "senderSessionId": "ann"}).encode()
    head = b"POST /api/sessions/bob/prompt HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    os.kill(open_office.pid, signal.SIGSTOP)
    try:
        with socket.create_connection(gateway.address) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raw.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            # An answer on another connection: the gateway has taken the first request by then.
            assert gateway.ask("GET", "/health/live").status == 200
    finally:
        os.kill(open_office.pid, signal.SIGCONT)
    eventually(lambda: texts(open_office, "bob") == ["once"], "it is accepted")
    answers = [gateway.ask("POST", "/api/sessions/bob/prompt", body) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    # The first repeat settled it; the second one is a new message.
    assert texts(open_office, "bob") == ["once", "once"]


def test_a_repeat_after_a_503(open_office: PostOffice, gateway: Gateway) -> None:
    """The broker is killed during the request, and the client repeats it without a key, as it does."""
    open_office.environ["MAESTRO_AUTOSTART"] = "0"
    body = {"fromSessionId": "ann", "message": "once"}
    open_office.kill()
    answer: Answer = gateway.ask("POST", "/api/sessions/bob/mail", body)
    assert (answer.status, answer.json["statusCode"]) == (503, 503)
    assert int(answer.headers["retry-after"]) >= 1
    eventually(lambda: gateway.ask("POST", "/api/sessions/bob/mail", body).status == 200, "it is sent")
    assert texts(open_office, "bob") == ["once"]
