"""Each call of the HTTP gateway and each of its errors, with a real gateway and a real broker."""

from __future__ import annotations

import http.client
import os
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.outbox import outbox_files
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import CODES
from support.gateways import Answer, Gateway
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from support.post_office import PostOffice

HTTP_CODES = {"NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405, "UNSUPPORTED_MEDIA_TYPE": 415}
# Deeper than any parser allows; in a field for JSON of any shape, because other fields are not parsed so deep.
DEEP = b'{"message": "x", "metadata": {"data": ' + b"[" * 100_000
SHAPE = {"error", "statusCode", "code", "message", "hint", "details", "limit", "actual", "retryAfter"}


def speaking(session: str, token: str | None = None, **more: str) -> dict[str, str]:
    """The headers of a session."""
    named = {"X-Session-ID": session, **more}
    return named if token is None else {**named, "Authorization": f"Bearer {token}"}


def send(gateway: Gateway, text: str = "x", to: str = "bob", sender: str = "ann", **fields: Any) -> Answer:
    return gateway.ask("POST", f"/api/sessions/{to}/messages", {"message": text, **fields}, headers=speaking(sender))


def refused(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The body of a refusal, which has the documented shape."""
    body: dict[str, Any] = answer.json
    assert (answer.status, body["code"]) == (status, code), body
    assert body["error"] is True
    assert body["statusCode"] == status
    assert body["message"]
    assert set(body) <= SHAPE
    assert code in CODES or HTTP_CODES[code] == status
    assert answer.headers["content-type"] == "application/json"
    return body


# --- messages --------------------------------------------------------------------------------------------------


def test_a_send_is_on_disk_and_says_where(open_office: PostOffice, gateway: Gateway) -> None:
    answer = send(gateway, "hello\n-- 🙂", metadata={"priority": "high", "data": {"a": [1, None]}}, ttlMs=60_000)
    message = answer.json
    assert answer.status == 201
    assert answer.headers["location"] == f"/api/messages/{message['id']}"
    assert "idempotent-replayed" not in answer.headers
    assert (message["from"], message["to"], message["status"], message["seq"]) == ("ann", "bob", "pending", 1)
    assert message["expiresAt"] == message["createdAt"] + 60_000
    assert gateway.ask("GET", answer.headers["location"]).json == message
    assert open_office.look(message["id"]) == message


def test_a_message_may_expire_at_a_time(open_office: PostOffice, gateway: Gateway) -> None:
    at = time.time_ns() // 1_000_000 + 60_000
    first = send(gateway, expiresAt=at, id="e1")
    assert (first.status, first.json["expiresAt"]) == (201, at)
    assert send(gateway, expiresAt=at, id="e1").headers["idempotent-replayed"] == "true"
    refused(send(gateway, expiresAt=at + 1, id="e1"), 409, "CONFLICT")


def test_a_send_that_failed_in_the_outbox_is_a_message_with_that_status(
    open_office: PostOffice, gateway: Gateway
) -> None:
    """GET of the message, with and without its sender; dead letters; no status of it can be changed."""
    outbox_files.queue(open_office.data, Caller("ann"), {"id": "q1", "to": "ghost", "message": "hello"}, 1)
    open_office.client().drain_outbox()
    [letter] = gateway.ask("GET", "/api/sessions/ann/dead-letters", headers=speaking("ann")).json["messages"]
    assert (letter["status"], letter["to"], letter["failure"]["code"]) == ("failed", "ghost", "RECEIVER_NOT_FOUND")
    path = f"/api/messages/{letter['id']}"
    for headers in (speaking("ann"), {}):
        assert gateway.ask("GET", path, headers=headers).json == letter
    refused(gateway.ask("GET", path, headers=speaking("bob")), 404, "MESSAGE_NOT_FOUND")
    refused(gateway.ask("PATCH", path, {"status": "read"}, headers=speaking("ann")), 409, "STATUS_CONFLICT")
    refused(gateway.ask("DELETE", path), 404, "MESSAGE_NOT_FOUND")
    refused(send(gateway, "hello", to="ghost", id="q1"), 404, "RECEIVER_NOT_FOUND")


def test_receivers_by_name_and_by_parent(open_office: PostOffice, gateway: Gateway) -> None:
    start = {"id": "d1", "name": "Dee Dee", "parentSessionId": "bob"}
    assert gateway.ask("POST", "/api/sessions", start).status == 201
    assert send(gateway, to=urllib.parse.quote("Dee Dee")).json["to"] == "d1"
    assert send(gateway, to="parent", sender="d1").json["to"] == "bob"
    twin = {"id": "d2", "name": "dee dee"}
    body = refused(gateway.ask("POST", "/api/sessions", twin), 409, "NAME_TAKEN")
    assert (body["details"]["id"], body["details"]["process"]) == ("d1", "unknown")


def test_percent_encoded_ids(gateway: Gateway) -> None:
    """An id is the same however it is written."""
    message = send(gateway, to="%62%6F%62").json
    assert message["to"] == "bob"
    encoded = "".join(f"%{ord(letter):02x}" for letter in message["id"])
    assert gateway.ask("GET", f"/api/messages/{encoded}").json == message
    refused(gateway.ask("GET", "/api/messages/a%2Fb"), 404, "NOT_FOUND")
    refused(gateway.ask("GET", "/api/messages/%ff%fe"), 400, "BAD_REQUEST")
    refused(gateway.ask("GET", "/api/messages/..%00"), 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"message": ""}, "EMPTY_MESSAGE"),
        ({"message": " \n"}, "EMPTY_MESSAGE"),
        ({"message": "x" * 10_001}, "TEXT_TOO_LONG"),
        ({"message": 1}, "INVALID"),
        ({}, "INVALID"),
        ({"message": "x", "colour": "red"}, "INVALID"),
        ({"message": "x", "metadata": {"colour": "red"}}, "INVALID"),
        ({"message": "x", "metadata": {"priority": "urgent"}}, "INVALID"),
        ({"message": "x", "metadata": {"threadId": "m1"}}, "INVALID"),
        ({"message": "x", "metadata": {"inReplyTo": "no id"}}, "INVALID_ID"),
        ({"message": "x", "metadata": {"data": "y" * 5_000}}, "DATA_TOO_LARGE"),
        ({"message": "x", "metadata": {"data": 1 << 70}}, "INVALID"),
        ({"message": "x", "ttlMs": 0}, "INVALID"),
        ({"message": "x", "ttlMs": 1 << 70}, "INVALID"),
        ({"message": "x", "expiresAt": 1_000}, "INVALID"),
        ({"message": "x", "expiresAt": 4_102_444_800_000}, "INVALID"),
        ({"message": "x", "expiresAt": 4_102_444_800_000, "ttlMs": 5}, "INVALID"),
        ({"message": "x", "expiresAt": "tomorrow"}, "INVALID"),
        ({"message": "x", "id": "no id"}, "INVALID_ID"),
        ({"message": "x", "id": ""}, "INVALID_ID"),
    ],
)
def test_bodies_that_are_refused(standing: Gateway, fields: dict[str, Any], code: str) -> None:
    body = refused(standing.ask("POST", "/api/sessions/bob/messages", fields, headers=speaking("ann")), 400, code)
    if code == "TEXT_TOO_LONG":
        assert (body["limit"], body["actual"]) == (10_000, 10_001)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"nonsense", b'{"message": "\xff"}', b'{"message": "\\ud800"}', b"\x00", b"NaN", DEEP],
)
def test_bodies_that_are_no_json(standing: Gateway, raw: bytes) -> None:
    refused(standing.ask("POST", "/api/sessions/bob/messages", raw, headers=speaking("ann")), 400, "BAD_REQUEST")


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"1", b"null"])
def test_json_that_is_no_object(standing: Gateway, raw: bytes) -> None:
    refused(standing.ask("POST", "/api/sessions/bob/messages", raw, headers=speaking("ann")), 400, "INVALID")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_a_body_that_is_not_said_to_be_json(standing: Gateway, kind: str) -> None:
    headers = speaking("ann", **{"Content-Type": kind})
    answer = standing.ask("POST", "/api/sessions/bob/messages", b'{"message": "x"}', headers=headers)
    assert "application/json" in refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")["hint"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/problem+json"])
def test_kinds_of_json(standing: Gateway, kind: str) -> None:
    headers = speaking("ann", **{"Content-Type": kind})
    answer = standing.ask("POST", "/api/sessions/bob/messages", b'{"message": "x"}', headers=headers)
    assert answer.status == 201


def test_a_body_over_the_brokers_limit(gateway: Gateway) -> None:
    """The gateway's limit allows for the JSON around the text; a larger body is not even read."""
    body = refused(send(gateway, "x" * (1 << 20)), 413, "FRAME_TOO_LARGE")
    assert body["actual"] > body["limit"] == 1 << 20
    body = refused(send(gateway, "x" * (2 << 20)), 413, "FRAME_TOO_LARGE")
    assert body["actual"] > body["limit"] > 1 << 20


def test_senders_that_may_not(open_office: PostOffice, gateway: Gateway) -> None:
    """Each is refused before the broker looks at data that is not the caller's."""
    open_office.session("far", project="elsewhere")
    open_office.session("old")
    gateway.ask("PATCH", "/api/sessions/old", {"status": "completed"})
    path = "/api/sessions/bob/messages"
    answer = gateway.ask("POST", path, {"message": "x"})
    refused(answer, 401, "NO_SESSION")
    assert answer.headers["www-authenticate"] == "Bearer"
    refused(send(gateway, sender="stranger"), 401, "UNKNOWN_SESSION")
    refused(send(gateway, sender="old"), 401, "SESSION_ENDED")
    refused(send(gateway, to="absent"), 404, "RECEIVER_NOT_FOUND")
    refused(send(gateway, to="old"), 409, "RECEIVER_ENDED")
    refused(send(gateway, to="far"), 403, "ROLE_FORBIDDEN")


def test_pages_and_filters(gateway: Gateway) -> None:
    """By seq with `since`, high priority first without; `upTo` leads to the next page."""
    kinds = ["request", "notification", "request", "response"]
    ids = [send(gateway, kind, metadata={"type": kind}).json["id"] for kind in kinds]
    ids.append(send(gateway, "now", metadata={"priority": "high"}).json["id"])
    gateway.ask("PATCH", f"/api/messages/{ids[0]}", {"status": "read"})

    def listed(query: str = "") -> list[str]:
        page = gateway.ask("GET", f"/api/sessions/bob/messages{query}").json
        assert page["count"] == len(page["messages"])
        return [message["id"] for message in page["messages"]]

    assert listed() == [ids[4], *ids[:4]]
    assert listed("?status=pending&since=0") == ids[1:]
    assert listed("?status=read") == ids[:1]
    assert listed("?status=read,pending&since=0") == ids
    assert listed("?type=request&since=0") == [ids[0], ids[2]]
    assert listed("?status=&since=3") == ids[3:]
    seen: list[str] = []
    since, pages = 0, 0
    while True:
        page = gateway.ask("GET", f"/api/sessions/bob/messages?since={since}&limit=2").json
        seen += [message["id"] for message in page["messages"]]
        since, pages = page["upTo"], pages + 1
        if not page["hasMore"]:
            break
    assert (seen, pages) == (ids, 3)
    assert page["pending"] == 4


@pytest.mark.parametrize(
    "query",
    [
        "status=lost",
        "type=lost",
        "since=x",
        "since=null",
        "since=",
        "limit=0",
        "limit=-1",
        "limit=1.5",
        "limit=99999999999999999999",
        "limit=1&limit=2",
    ],
)
def test_queries_that_are_refused(standing: Gateway, query: str) -> None:
    refused(standing.ask("GET", f"/api/sessions/bob/messages?{query}"), 400, "INVALID")


def test_reading_changes_nothing(gateway: Gateway) -> None:
    message = send(gateway).json
    for _ in range(2):
        gateway.ask("GET", "/api/sessions/bob/messages")
        gateway.ask("GET", f"/api/messages/{message['id']}", headers=speaking("bob"))
        gateway.ask("HEAD", "/api/sessions/bob/messages")
    assert gateway.ask("GET", f"/api/messages/{message['id']}").json == message


def test_steps_of_a_message(gateway: Gateway) -> None:
    """Delivered, read, read again; and never back."""
    message = send(gateway).json
    path = f"/api/messages/{message['id']}"
    delivered = gateway.ask("PATCH", path, {"status": "delivered"}).json
    assert set(delivered) == {"id", "status", "deliveredAt"}
    read = gateway.ask("PATCH", path, {"status": "read"}, headers=speaking("bob")).json
    assert (read["status"], read["deliveredAt"]) == ("read", delivered["deliveredAt"])
    assert gateway.ask("PATCH", path, {"status": "read"}).json == read
    assert gateway.ask("PATCH", path, {"status": "delivered"}).json == read
    refused(gateway.ask("PATCH", path, {"status": "pending"}), 400, "INVALID")
    refused(gateway.ask("PATCH", path, {}), 400, "INVALID")
    refused(gateway.ask("PATCH", path, {"status": "read"}, headers=speaking("ann")), 403, "FORBIDDEN")
    refused(gateway.ask("PATCH", "/api/messages/none", {"status": "read"}), 404, "MESSAGE_NOT_FOUND")


def test_an_expired_message_takes_no_step(open_office: PostOffice, gateway: Gateway) -> None:
    message = send(gateway, ttlMs=1).json
    eventually(lambda: open_office.status_of(message["id"]) == "expired", "it expires")
    answer = gateway.ask("PATCH", f"/api/messages/{message['id']}", {"status": "read"})
    refused(answer, 409, "STATUS_CONFLICT")


def test_deleting(gateway: Gateway) -> None:
    """The receiver deletes it, and it is gone for both."""
    path = f"/api/messages/{send(gateway).json['id']}"
    refused(gateway.ask("DELETE", path, headers=speaking("ann")), 403, "FORBIDDEN")
    answer = gateway.ask("DELETE", path)
    assert (answer.status, answer.body) == (204, b"")
    for method in ("GET", "DELETE"):
        refused(gateway.ask(method, path), 404, "MESSAGE_NOT_FOUND")


def test_others_see_nothing(open_office: PostOffice, gateway: Gateway) -> None:
    open_office.session("cyd")
    message = send(gateway).json
    refused(gateway.ask("GET", "/api/sessions/bob/messages", headers=speaking("cyd")), 403, "FORBIDDEN")
    path = f"/api/messages/{message['id']}"
    for method in ("GET", "DELETE"):
        refused(gateway.ask(method, path, headers=speaking("cyd")), 404, "MESSAGE_NOT_FOUND")
    assert gateway.ask("GET", path, headers=speaking("ann")).json == message


def test_mailboxes_by_name_and_mailboxes_that_there_are_not(gateway: Gateway) -> None:
    gateway.ask("POST", "/api/sessions", {"id": "dee", "name": "Dee Dee"})
    send(gateway, to="dee")
    assert gateway.ask("GET", "/api/sessions/Dee%20Dee/messages").json["count"] == 1
    refused(gateway.ask("GET", "/api/sessions/absent/messages"), 404, "SESSION_NOT_FOUND")


def test_threads(gateway: Gateway) -> None:
    first = send(gateway).json
    answer = send(gateway, to="ann", sender="bob", metadata={"inReplyTo": first["id"]}).json
    assert answer["metadata"]["threadId"] == first["id"]
    thread = gateway.ask("GET", f"/api/messages/{answer['id']}/thread").json
    assert [message["id"] for message in thread["messages"]] == [first["id"], answer["id"]]
    assert (thread["threadId"], thread["count"], thread["hasMore"]) == (first["id"], 2, False)


def test_what_was_said_page_by_page(open_office: PostOffice, gateway: Gateway) -> None:
    """By `Link` from the newest back, and by `after` on; each session its own, the person all; nothing is marked."""
    for number in range(5):
        send(gateway, str(number))
    send(gateway, "back", to="ann", sender="bob")
    open_office.session("cyd")

    def pages(path: str, session: str = "ann") -> list[Any]:
        found = [gateway.ask("GET", path, headers=speaking(session))]
        while "link" in found[-1].headers:
            address = found[-1].headers["link"].partition("<")[2].partition(">")[0]
            found.append(gateway.ask("GET", address, headers=speaking(session)))
        assert all(answer.status == 200 and answer.json["count"] == len(answer.json["messages"]) for answer in found)
        return [[said["message"]["message"] for said in answer.json["messages"]] for answer in found]

    assert pages("/api/messages?limit=2") == [["4", "back"], ["2", "3"], ["0", "1"]]
    assert pages("/api/messages?limit=4&after=0") == [["0", "1", "2", "3"], ["4", "back"]]
    assert pages("/api/messages?box=in") == [["back"]]
    assert pages("/api/messages", "cyd") == [[]]
    assert pages("/api/messages", "operator") == [["0", "1", "2", "3", "4", "back"]]
    assert pages("/api/messages?session=bob&box=out", "operator") == [["back"]]
    body = gateway.ask("GET", "/api/messages?with=bob&counts=true", headers=speaking("ann")).json
    assert (body["with"], body["session"], body["people"]["bob"]) == ("bob", "ann", {"role": "worker"})
    since = gateway.ask("GET", f"/api/messages?since={1 << 50}", headers=speaking("ann"))
    assert (since.status, since.json["messages"]) == (200, [])
    assert open_office.client("bob").inbox()["pending"] == 5


def test_what_was_said_is_for_a_named_session(open_office: PostOffice, gateway: Gateway) -> None:
    open_office.session("eve", token="secret")
    body = refused(gateway.ask("GET", "/api/messages"), 401, "NO_SESSION")
    assert "X-Session-ID" in body["hint"]
    refused(gateway.ask("GET", "/api/messages", headers=speaking("ghost")), 401, "UNKNOWN_SESSION")
    refused(gateway.ask("GET", "/api/messages", headers=speaking("eve")), 401, "TOKEN_REQUIRED")
    assert gateway.ask("GET", "/api/messages", headers=speaking("eve", "secret")).status == 200
    for query, status, code in (
        ("with=ghost", 404, "SESSION_NOT_FOUND"),
        ("with=@ghosts", 404, "GROUP_NOT_FOUND"),
        ("with=@all", 400, "INVALID"),
        ("session=bob", 403, "FORBIDDEN"),
        ("limit=0", 400, "INVALID"),
        ("limit=x", 400, "INVALID"),
        ("box=all", 400, "INVALID"),
        ("before=0", 400, "INVALID"),
        ("before=3&after=1", 400, "INVALID"),
        (f"after={1 << 40}", 409, "CURSOR_AHEAD"),
    ):
        refused(gateway.ask("GET", f"/api/messages?{query}", headers=speaking("ann")), status, code)


# --- repeats ---------------------------------------------------------------------------------------------------


def keyed(gateway: Gateway, key: str, text: str = "x", sender: str = "ann") -> Answer:
    headers = speaking(sender, **{"Idempotency-Key": key})
    return gateway.ask("POST", "/api/sessions/bob/messages", {"message": text}, headers=headers)


def test_a_key_makes_a_repeat_the_same_send(gateway: Gateway) -> None:
    """A repeat gets the same answer with one header more; another text under the same id is a conflict."""
    first, again = keyed(gateway, "k 1"), keyed(gateway, "k 1")
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    refused(keyed(gateway, "k 1", "other"), 409, "CONFLICT")
    assert keyed(gateway, "k 2").json["id"] != first.json["id"]
    assert gateway.ask("GET", "/api/sessions/bob/messages").json["count"] == 2


def test_two_senders_may_choose_the_same_key(open_office: PostOffice, gateway: Gateway) -> None:
    open_office.session("cyd")
    assert keyed(gateway, "k").json["id"] != keyed(gateway, "k", sender="cyd").json["id"]


def test_the_bodys_id_comes_before_the_key(gateway: Gateway) -> None:
    headers = speaking("ann", **{"Idempotency-Key": "k"})
    for _ in range(2):
        body = {"message": "x", "id": "m1"}
        assert gateway.ask("POST", "/api/sessions/bob/messages", body, headers=headers).json["id"] == own_id(
            "ann", "m1"
        )
    refused(send(gateway, "other", id="m1"), 409, "CONFLICT")


def test_keys_that_are_none(gateway: Gateway) -> None:
    """An empty key is a mistake, and does not count as no key."""
    refused(keyed(gateway, ""), 400, "INVALID")
    assert keyed(gateway, "k" * 255).status == 201
    body = refused(keyed(gateway, "k" * 256), 400, "INVALID")
    assert (body["limit"], body["actual"]) == (255, 256)


def test_a_repeat_of_a_deleted_message(gateway: Gateway) -> None:
    first = keyed(gateway, "k").json
    gateway.ask("DELETE", f"/api/messages/{first['id']}")
    again = keyed(gateway, "k")
    assert (again.status, again.json) == (201, {"id": first["id"], "to": "bob", "status": "deleted"})


def test_many_at_once_with_one_key(gateway: Gateway) -> None:
    """One message, and the same answer for all repeats."""
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(keyed(gateway, "k"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1


# --- not now ---------------------------------------------------------------------------------------------------


def test_too_many_sends(post_office: PostOffice) -> None:
    """429, with the same wait in the header, in whole seconds, and in the body."""
    post_office.start(rate_limit=2)
    post_office.sessions("ann", "bob")
    with Gateway(post_office) as gateway:
        assert [send(gateway).status for _ in range(2)] == [201, 201]
        answer = send(gateway)
        body = refused(answer, 429, "RATE_LIMITED")
        assert 0 < body["retryAfter"] <= 60
        assert body["retryAfter"] <= int(answer.headers["retry-after"]) < body["retryAfter"] + 1.001
        assert (body["limit"], body["actual"]) == (2, 3)


def test_a_full_mailbox(post_office: PostOffice) -> None:
    post_office.start(pending_max=1)
    post_office.sessions("ann", "bob")
    with Gateway(post_office) as gateway:
        assert send(gateway).status == 201
        answer = send(gateway)
        refused(answer, 429, "MAILBOX_FULL")
        assert answer.headers["retry-after"] == "5"


def test_a_broker_that_is_away(open_office: PostOffice, alone: Gateway) -> None:
    """503 at once, with the time to wait; and calls succeed when the broker is back."""
    gateway = alone
    open_office.kill()
    for answer in (send(gateway), gateway.ask("GET", "/api/sessions")):
        body = refused(answer, 503, "BROKER_UNREACHABLE")
        assert body["retryAfter"] == int(answer.headers["retry-after"]) == 1
        assert open_office.root not in str(body)
    assert gateway.ask("GET", "/health/live").status == 200
    health = gateway.ask("GET", "/health")
    assert (health.status, health.json["live"], health.json["ready"]) == (503, True, False)
    assert health.headers["retry-after"] == "1"
    open_office.start()
    assert send(gateway).status == 201
    assert gateway.ask("GET", "/health").json["broker"]["pid"] == open_office.pid


# --- sessions --------------------------------------------------------------------------------------------------


def test_the_documented_session(gateway: Gateway) -> None:
    """Every documented field is there, null or empty where the session has no value."""
    answer = gateway.ask("POST", "/api/sessions", {"metadata": {"mode": "coordinator"}, "unknown": 1})
    session = answer.json
    assert answer.status == 201
    assert answer.headers["location"] == f"/api/sessions/{session['id']}"
    assert session["id"].startswith("sess_")
    assert (session["role"], session["status"], session["projectId"]) == ("orchestrator", "idle", "default")
    empty: dict[str, Any] = {
        "name": None,
        "parentSessionId": None,
        "taskIds": [],
        "completedAt": None,
        "timeline": [],
    }
    assert empty.items() <= session.items()
    assert session["needsInput"] == {"active": False}
    again = gateway.ask("GET", answer.headers["location"]).json
    # How it is at the moment.
    assert again.pop("presence")["state"] == "unknown"
    assert again == session


def test_sessions_that_cannot_be(open_office: PostOffice, gateway: Gateway) -> None:
    for body, code in (
        ({"id": "no id"}, "INVALID_ID"),
        ({"id": "operator"}, "INVALID_ID"),
        ({"name": "a\nb"}, "INVALID"),
        ({"role": "king"}, "INVALID"),
        ({"status": "completed"}, "INVALID"),
        ({"metadata": {"x": "y" * 20_000}}, "DATA_TOO_LARGE"),
        ({"taskIds": ["t"] * 257}, "TOO_MANY"),
    ):
        refused(gateway.ask("POST", "/api/sessions", body), 400, code)
    refused(gateway.ask("POST", "/api/sessions", {"parentSessionId": "absent"}), 404, "SESSION_NOT_FOUND")
    answer = gateway.ask("POST", "/api/sessions", {"role": "orchestrator"}, headers=speaking("ann"))
    refused(answer, 403, "ROLE_FORBIDDEN")
    refused(gateway.ask("POST", "/api/sessions", {"id": "bob"}, headers=speaking("ann")), 409, "NAME_TAKEN")


def test_lists_of_sessions(open_office: PostOffice, gateway: Gateway) -> None:
    for body in (
        {"id": "boss", "role": "orchestrator", "projectId": "p1"},
        {"id": "w1", "parentSessionId": "boss", "status": "working"},
        {"id": "w2", "parentSessionId": "boss"},
    ):
        assert gateway.ask("POST", "/api/sessions", body).status == 201
    gateway.ask("PATCH", "/api/sessions/w2", {"status": "failed"})

    def ids(query: str) -> list[str]:
        return [session["id"] for session in gateway.ask("GET", f"/api/sessions{query}").json]

    assert ids("") == ["ann", "bob", "boss", "w1", "w2"]
    assert ids("?projectId=p1") == ["boss", "w1", "w2"]
    assert ids("?parentSessionId=boss") == ["w1", "w2"]
    assert ids("?projectId=p1&active=true") == ["boss", "w1"]
    assert ids("?active=false") == ["w2"]
    assert ids("?status=working,failed") == ["w1", "w2"]
    for query in ("?status=lost", "?active=perhaps", "?active=null"):
        refused(gateway.ask("GET", f"/api/sessions{query}"), 400, "INVALID")
    answer = gateway.ask("GET", "/api/sessions?limit=2&projectId=p1")
    assert [session["id"] for session in answer.json] == ["boss", "w1"]
    path = answer.headers["link"].removeprefix("<").partition(">")[0]
    assert answer.headers["link"].endswith('; rel="next"')
    answer = gateway.ask("GET", path)
    assert ([session["id"] for session in answer.json], "link" in answer.headers) == (["w2"], False)
    for query in ("?limit=0", "?limit=x", "?after=x"):
        refused(gateway.ask("GET", f"/api/sessions{query}"), 400, "INVALID")
    assert "link" in gateway.ask("GET", "/api/sessions/w1/siblings?limit=1").headers
    siblings = gateway.ask("GET", "/api/sessions/w1/siblings").json
    assert [session["id"] for session in siblings] == ["w2"]
    assert gateway.ask("GET", "/api/sessions/boss/siblings").json == []
    refused(gateway.ask("GET", "/api/sessions/absent/siblings"), 404, "SESSION_NOT_FOUND")


def test_changing_a_session(open_office: PostOffice, gateway: Gateway) -> None:
    path = "/api/sessions/bob"
    waits = {"active": True, "message": "which?", "since": 5}
    changed = gateway.ask("PATCH", path, {"status": "working", "needsInput": waits, "taskIds": ["t1"], "x": 1}).json
    assert (changed["status"], changed["needsInput"], changed["taskIds"]) == ("working", waits, ["t1"])
    noted = gateway.ask("POST", f"{path}/timeline", {"type": "progress", "message": "half"})
    assert noted.status == 201
    [note] = noted.json["timeline"]
    # A client that sends all lines back adds only the new ones.
    lines = [note, {"type": "progress", "message": "all", "timestamp": 7}]
    assert gateway.ask("PATCH", path, {"timeline": lines}).json["timeline"] == lines
    refused(gateway.ask("PATCH", path, {"status": "idle"}, headers=speaking("ann")), 403, "FORBIDDEN")
    refused(gateway.ask("PATCH", path, {"status": "asleep"}), 400, "INVALID")
    refused(gateway.ask("POST", f"{path}/timeline", {"type": "x", "message": " "}), 400, "EMPTY_MESSAGE")
    refused(gateway.ask("PATCH", "/api/sessions/absent", {}), 404, "SESSION_NOT_FOUND")
    ended = gateway.ask("PATCH", path, {"completedAt": 1}).json
    assert ended["status"] == "completed"
    assert ended["completedAt"] > 1
    assert gateway.ask("PATCH", path, {"status": "completed"}).json["status"] == "completed"
    refused(gateway.ask("PATCH", path, {"name": "robert"}), 401, "SESSION_ENDED")
    assert gateway.ask("POST", "/api/sessions", {"id": "bob"}).json["status"] == "idle"
    gateway.ask("PATCH", path, {"status": "stopped"})
    assert gateway.ask("PATCH", path, {"status": "working"}).json["status"] == "working", "it is started again"


# --- tokens ----------------------------------------------------------------------------------------------------


def test_names_over_http(open_office: PostOffice, gateway: Gateway) -> None:
    """A new name, one that is taken, and the ways of the operator to take it."""
    assert gateway.ask("PATCH", "/api/sessions/bob", {"name": "Bob"}).json["name"] == "Bob"
    refused(gateway.ask("PATCH", "/api/sessions/ann", {"name": "bob"}), 409, "NAME_TAKEN")
    refused(gateway.ask("PATCH", "/api/sessions/ann", {"name": "@all"}), 400, "INVALID")
    body = {"id": "carl", "name": "Bob", "replace": True}
    refused(gateway.ask("POST", "/api/sessions", body, headers=speaking("ann")), 403, "FORBIDDEN")
    assert gateway.ask("POST", "/api/sessions", body).status == 201
    assert gateway.ask("GET", "/api/sessions/bob").json["status"] == "stopped"
    takeover = {"id": "carl", "token": "secret", "takeover": True}
    refused(gateway.ask("POST", "/api/sessions", takeover, headers=speaking("ann")), 403, "FORBIDDEN")
    assert gateway.ask("POST", "/api/sessions", takeover).json["hasToken"]


def test_rights_over_http(open_office: PostOffice, gateway: Gateway) -> None:
    """A worker raises itself no more, and moves to no other project, by headers or by its own token."""
    for body in ({"role": "orchestrator"}, {"metadata": {"mode": "coordinator"}}):
        refused(
            gateway.ask("POST", "/api/sessions", {"id": "ann", **body}, headers=speaking("ann")),
            403,
            "ROLE_FORBIDDEN",
        )
    refused(
        gateway.ask("POST", "/api/sessions", {"id": "ann", "projectId": "x"}, headers=speaking("ann")),
        403,
        "FORBIDDEN",
    )
    assert gateway.ask("GET", "/api/sessions/ann").json["role"] == "worker"


def test_a_session_with_a_token_needs_it(open_office: PostOffice, gateway: Gateway) -> None:
    """Everywhere, also where the documented calls name no session."""
    answer = gateway.ask("POST", "/api/sessions", {"id": "tom", "token": "secret"})
    assert answer.json["hasToken"] is True
    assert b"secret" not in answer.body
    message = send(gateway, to="tom").json
    mailbox, one = "/api/sessions/tom/messages", f"/api/messages/{message['id']}"
    body = {"message": "x"}
    calls: list[tuple[str, str, Any]] = [
        ("GET", mailbox, None),
        ("GET", one, None),
        ("GET", f"{one}/thread", None),
        ("PATCH", one, {"status": "read"}),
        ("PATCH", "/api/sessions/tom", {"status": "working"}),
        ("POST", "/api/sessions/tom/timeline", {"type": "x", "message": "y"}),
        ("DELETE", one, None),
    ]
    for method, path, what in [*calls, ("POST", "/api/sessions/bob/messages", body)]:
        refused(gateway.ask(method, path, what, headers=speaking("tom")), 401, "TOKEN_REQUIRED")
        refused(gateway.ask(method, path, what, headers=speaking("tom", "wrong")), 401, "TOKEN_MISMATCH")
    for method, path, what in calls:
        refused(gateway.ask(method, path, what), 401, "TOKEN_REQUIRED")
    for method, path, what in calls:
        assert gateway.ask(method, path, what, headers=speaking("tom", "secret")).status < 300, (method, path)
    bearer = speaking("tom", Authorization="bEARER   secret")
    assert gateway.ask("POST", "/api/sessions/bob/messages", body, headers=bearer).status == 201
    refused(gateway.ask("POST", "/api/sessions", {"id": "tom"}), 409, "NAME_TAKEN")
    assert gateway.ask("POST", "/api/sessions", {"id": "tom", "token": "secret"}).status == 201


# --- HTTP ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/api", "/api/", "/api/sessions/", "/api/v2/sessions", "/api/sessions//messages", "/%2e%2e/x"],
)
def test_paths_that_there_are_not(standing: Gateway, path: str) -> None:
    assert refused(standing.ask("GET", path), 404, "NOT_FOUND")["hint"] == "/docs lists every call."


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/sessions/bob/messages", {"GET", "HEAD", "POST"}),
        ("DELETE", "/api/sessions", {"GET", "HEAD", "POST"}),
        ("POST", "/api/messages/m", {"DELETE", "GET", "HEAD", "PATCH"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("HEAD", "/api/sessions/bob/prompt", {"POST"}),
        ("OPTIONS", "/api/sessions", {"GET", "HEAD", "POST"}),
        ("PROPFIND", "/api/sessions", {"GET", "HEAD", "POST"}),
    ],
)
def test_methods_that_a_path_does_not_take(standing: Gateway, method: str, path: str, allowed: set[str]) -> None:
    answer = standing.ask(method, path)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    if method != "HEAD":
        refused(answer, 405, "METHOD_NOT_ALLOWED")


def test_head_is_get_without_a_body(gateway: Gateway) -> None:
    send(gateway)
    for path in ("/", "/health", "/docs", "/openapi.json", "/api/sessions", "/api/sessions/bob/messages"):
        head, get = gateway.ask("HEAD", path), gateway.ask("GET", path)
        assert (head.status, head.body) == (200, b""), path
        assert head.headers.keys() == get.headers.keys()
        assert head.headers["content-type"] == get.headers["content-type"]
    assert gateway.ask("HEAD", "/api/messages/none").status == 404


def test_both_prefixes_are_the_same(gateway: Gateway) -> None:
    message = gateway.ask("POST", "/api/v1/sessions/bob/messages", {"message": "x"}, headers=speaking("ann")).json
    for path in (
        "/sessions",
        "/sessions/bob",
        "/sessions/bob/messages",
        f"/messages/{message['id']}",
        "/messages/no",
    ):
        old, new = gateway.ask("GET", f"/api{path}"), gateway.ask("GET", f"/api/v1{path}")
        assert (old.status, old.json) == (new.status, new.json)
    assert gateway.ask("DELETE", f"/api/v1/messages/{message['id']}").status == 204


def test_a_connection_serves_many_requests_without_a_wait(gateway: Gateway) -> None:
    """An answer that waits for a delayed acknowledgement takes 40 ms; twenty of them take most of a second."""
    connection = http.client.HTTPConnection(*gateway.address, timeout=20.0)
    took = []
    try:
        for _ in range(20):
            began_s = time.monotonic()
            connection.request("GET", "/health/live")
            assert connection.getresponse().read()
            took.append(time.monotonic() - began_s)
    finally:
        connection.close()
    assert sorted(took)[10] < 0.03


def test_no_answer_names_a_place_of_this_machine(open_office: PostOffice, gateway: Gateway) -> None:
    """Neither the data directory nor a file of the code."""
    for method, path in (("GET", "/"), ("GET", "/health"), ("GET", "/openapi.json"), ("GET", "/api/messages/none")):
        body = gateway.ask(method, path).body.decode()
        assert open_office.root not in body
        assert os.path.dirname(os.__file__) not in body
