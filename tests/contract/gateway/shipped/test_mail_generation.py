"""The mail generation's calls, as its client sends them: without a header, and without a key."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.gateways import Gateway
from support.post_office import eventually
from support.shipped_clients import ShippedClient

if TYPE_CHECKING:
    from support.gateways import Answer
    from support.post_office import PostOffice

PROJECT = "proj_demo"
FIELDS = {
    "id", "projectId", "fromSessionId", "toSessionId", "replyToMailId", "type", "subject", "body", "createdAt",
    "threadId",
}  # fmt: skip


@pytest.fixture
def team(gateway: Gateway) -> dict[str, ShippedClient]:
    """A coordinator `boss`, and its workers `w1`, `w2` and `w3`."""
    members = {name: ShippedClient(gateway, name) for name in ("boss", "w1", "w2", "w3")}
    assert members["boss"].register(metadata={"mode": "coordinator"}).status == 201
    for name in ("w1", "w2", "w3"):
        metadata = {"mode": "coordinated-worker", "teamMemberId": f"tm_{name[1]}"}
        assert members[name].register(metadata=metadata, parentSessionId="boss").status == 201
    return members


def mail(client: ShippedClient, to: str | None = "boss", **fields: Any) -> Answer:
    """`mail send`, or `mail broadcast` without a receiver."""
    body = {
        "projectId": PROJECT, "fromSessionId": client.session, "toSessionId": to, "replyToMailId": None,
        "type": "query", "subject": "Which port?", "body": {"question": "Which one does the server take?"}, **fields,
    }  # fmt: skip
    return client.call("POST", "/api/mail", body)


def inbox(client: ShippedClient, **query: Any) -> list[dict[str, Any]]:
    """`mail inbox`."""
    more = "".join(f"&{name}={value}" for name, value in query.items())
    answer = client.call("GET", f"/api/mail/inbox/{client.session}?projectId={PROJECT}{more}")
    assert answer.status == 200, answer.json
    found: list[dict[str, Any]] = answer.json
    return found


def wait(client: ShippedClient, timeout: int = 30_000, **query: Any) -> list[dict[str, Any]]:
    """`mail wait`."""
    more = "".join(f"&{name}={value}" for name, value in query.items())
    path = f"/api/mail/wait/{client.session}?projectId={PROJECT}&timeout={timeout}{more}"
    answer = client.call("GET", path)
    assert answer.status == 200, answer.json
    found: list[dict[str, Any]] = answer.json
    return found


def status_of(office: PostOffice, message_id: str) -> str:
    with office.client() as client:
        return client.message(message_id)["status"]


BODIES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("assignment", {"instructions": "Mend it.\nSoon.", "task_id": "task_7", "priority": "high"}, "Mend it.\nSoon."),
    ("status_update", {"message": "half", "task_id": "t", "status": "in_progress"}, "half"),
    ("query", {"question": "Why?"}, "Why?"),
    ("response", {"answer": "Because."}, "Because."),
    ("directive", {"details": "Stop.", "action": "stop"}, "Stop."),
    ("notification", {"message": "done 🙂", "numbers": [1, None, {"a": "b"}]}, "done 🙂"),
    ("notification", {}, ""),
    ("query", {"message": "under another name"}, ""),
    ("query", {"question": "  "}, ""),
    ("query", {"question": 5}, ""),
)


@pytest.mark.parametrize(("kind", "body", "text"), BODIES)
def test_a_mail_and_what_its_receiver_reads(
    open_office: PostOffice, team: dict[str, ShippedClient], kind: str, body: dict[str, Any], text: str
) -> None:
    """What was sent is shown again, field by field; and as a message to every other reader."""
    answer = mail(team["w1"], type=kind, body=body, subject="On \u00e4 subject", priority="critical")
    sent = answer.json
    assert answer.status == 201, sent
    assert set(sent) == FIELDS | {"priority"}
    expected = {
        "projectId": PROJECT, "fromSessionId": "w1", "toSessionId": "boss", "replyToMailId": None, "type": kind,
        "subject": "On \u00e4 subject", "body": body, "priority": "critical", "threadId": sent["id"],
        "id": sent["id"],
    }  # fmt: skip
    assert {**sent, "createdAt": 0} == {**expected, "createdAt": 0}
    [got] = inbox(team["boss"])
    assert got == sent
    assert team["boss"].call("GET", f"/api/mail/{sent['id']}").json == sent
    with open_office.client() as client:
        message = client.message(sent["id"])
    assert message["message"] == ("On \u00e4 subject\n\n" + text if text else "On \u00e4 subject")
    assert message["metadata"]["priority"] == "high"


@pytest.mark.parametrize(
    ("priority", "ours"), [("critical", "high"), ("high", "high"), ("normal", "medium"), ("low", "low"), (None, None)]
)
def test_priorities(
    open_office: PostOffice, team: dict[str, ShippedClient], priority: str | None, ours: str | None
) -> None:
    sent = mail(team["w1"], **({} if priority is None else {"priority": priority})).json
    assert sent.get("priority") == priority
    with open_office.client() as client:
        assert client.message(sent["id"])["metadata"].get("priority") == ours


def test_an_inbox_is_by_priority_and_then_the_newest(team: dict[str, ShippedClient]) -> None:
    for subject, fields in (
        ("a", {}), ("b", {"priority": "low"}), ("c", {"priority": "critical"}), ("d", {"priority": "normal"}),
        ("e", {"priority": "high", "type": "directive"}), ("f", {}), ("g", {"priority": "critical"}),
    ):  # fmt: skip
        mail(team["w1"], subject=subject, **fields)
    found = inbox(team["boss"])
    assert [one["subject"] for one in found] == ["g", "c", "e", "f", "d", "a", "b"]
    assert [one["subject"] for one in inbox(team["boss"], type="directive")] == ["e"]
    times = {one["subject"]: one["createdAt"] for one in found}
    assert {one["subject"] for one in inbox(team["boss"], since=times["e"])} == {
        subject for subject, at in times.items() if at > times["e"]
    }
    assert inbox(team["boss"], since=times["g"]) == []
    assert inbox(team["w2"]) == []


def test_a_mailbox_has_every_message(gateway: Gateway, team: dict[str, ShippedClient]) -> None:
    """Also those that no client of this generation sent."""
    sent = {
        "plain\nwith a second line": ("notification", "message", None),
        "asking": ("query", "question", "high"),
        "ordering": ("directive", "details", "low"),
        "answering": ("response", "answer", None),
    }
    metadata: tuple[dict[str, Any], ...] = (
        {}, {"type": "request", "priority": "high"}, {"type": "command", "priority": "low"}, {"type": "response"},
    )  # fmt: skip
    for text, more in zip(sent, metadata, strict=True):
        body = {"message": text, "metadata": {**more, "data": {"mail": {"type": ["no"], "subject": 1}}}}
        assert gateway.ask("POST", "/api/sessions/boss/messages", body, headers={"X-Session-ID": "w1"}).status == 201
    for one in inbox(team["boss"]):
        [(field, text)] = one["body"].items()
        assert (one["type"], field, one.get("priority")) == sent[text]
        assert (one["subject"], one["projectId"]) == (text.partition("\n")[0], PROJECT)


def test_a_foreign_hand_in_the_data(gateway: Gateway, team: dict[str, ShippedClient]) -> None:
    """Any sender may write the fields in which a mail is kept; nothing of them is trusted."""
    kept: tuple[Any, ...] = (
        {"type": "query", "subject": "s", "textAt": 10**9, "body": 7, "priority": {}, "projectId": []},
        {"type": "query", "subject": "s", "textAt": -1},
        {"type": "query", "subject": "s", "textAt": True, "body": {"question": "kept"}},
        {"type": "unknown", "subject": "s"},
        [],
    )
    for mail_data in kept:
        body = {"message": "text", "metadata": {"data": {"mail": mail_data}}}
        assert gateway.ask("POST", "/api/sessions/boss/messages", body, headers={"X-Session-ID": "w1"}).status == 201
    assert len(inbox(team["boss"])) == 5
    assert {one["projectId"] for one in inbox(team["boss"])} == {PROJECT}


def test_answers_and_their_thread(team: dict[str, ShippedClient]) -> None:
    """`mail reply` reads the mail and answers its sender; each answer is in the thread of the first mail."""
    first = mail(team["w1"]).json
    threads = {first["threadId"]}
    at, last = "boss", first
    for turn in range(4):
        original = team[at].call("GET", f"/api/mail/{last['id']}").json
        answer = mail(
            team[at], original["fromSessionId"], replyToMailId=original["id"], type="response",
            subject=f"Re: {original['subject']}", body={"answer": f"answer {turn}"},
        )  # fmt: skip
        assert answer.status == 201, answer.json
        assert answer.json["replyToMailId"] == last["id"]
        last, at = answer.json, original["fromSessionId"]
        threads.add(last["threadId"])
    assert threads == {first["id"]}
    for client in (team["boss"], team["w1"]):
        thread = client.call("GET", f"/api/mail/thread/{first['id']}").json
        assert [one["body"].get("answer") for one in thread] == [None, *(f"answer {turn}" for turn in range(4))]
    # The words that the client writes for none, and one that was never there.
    assert mail(team["w1"], replyToMailId="null").json["replyToMailId"] is None
    unknown = mail(team["w1"], replyToMailId="mail_1_unknown")
    assert (unknown.status, unknown.json["code"]) == (404, "MESSAGE_NOT_FOUND")
    for path in ("/api/mail/mail_1_unknown", "/api/mail/thread/mail_1_unknown"):
        assert team["w1"].call("GET", path).status == 404


def test_mail_to_many(team: dict[str, ShippedClient]) -> None:
    """One mail for each receiver; a broadcast without a scope is one mail to none by name."""
    lonely = mail(team["w1"], None, scope="my-workers")
    assert (lonely.status, lonely.json["code"]) == (404, "NO_RECEIVERS")
    assert mail(team["boss"], None, scope="team").status == 404, "it has no parent"
    for client, fields, expected in (
        ("boss", {"scope": "my-workers"}, ["w1", "w2", "w3"]),
        ("w1", {"scope": "team"}, ["w2", "w3"]),
        ("boss", {"scope": "all"}, ["w1", "w2", "w3"]),
        ("w2", {"scope": "all"}, ["boss", "w1", "w3"]),
        ("boss", {"toTeamMemberId": "tm_2"}, ["w2"]),
    ):
        answer = mail(team[client], None, subject=f"{client} {fields}", **fields)
        assert answer.status == 201, answer.json
        assert sorted(one["toSessionId"] for one in answer.json) == expected
        for receiver in expected:
            [got] = [one for one in inbox(team[receiver]) if one["subject"] == f"{client} {fields}"]
            assert {**got, "toSessionId": receiver} in answer.json
    broadcast = mail(team["boss"], None, type="notification", subject="to all", body={"message": "x"})
    assert (broadcast.status, broadcast.json["toSessionId"]) == (201, None)
    # Whichever of them answers it: one of several receivers is read for a client that names none.
    for receiver in ("w3", "w1"):
        original = team[receiver].call("GET", f"/api/mail/{broadcast.json['id']}").json
        answer = mail(team[receiver], original["fromSessionId"], replyToMailId=original["id"], type="response")
        assert (answer.status, answer.json["toSessionId"]) == (201, "boss")
    assert len(team["w1"].call("GET", f"/api/mail/thread/{broadcast.json['id']}").json) >= 2
    unclear = team["w1"].call("DELETE", f"/api/mail/{broadcast.json['id']}")
    assert (unclear.status, unclear.json["code"]) == (409, "AMBIGUOUS_ID")
    nobodys = mail(team["boss"], None, toTeamMemberId="tm_9")
    assert (nobodys.status, nobodys.json["code"]) == (404, "RECEIVER_NOT_FOUND")


def test_deleting(team: dict[str, ShippedClient]) -> None:
    sent = mail(team["w1"]).json
    path = f"/api/mail/{sent['id']}"
    answer = team["boss"].call("DELETE", path)
    assert (answer.status, answer.json) == (200, {"deleted": True, "id": sent["id"]})
    assert inbox(team["boss"]) == []
    assert team["boss"].call("DELETE", path).status == team["boss"].call("GET", path).status == 404


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"type": "gossip"}, "type"),
        ({"type": None}, "type"),
        ({"subject": 5}, "subject"),
        ({"body": "text"}, "body"),
        ({"body": []}, "body"),
        ({"priority": "medium"}, "priority"),
        ({"scope": "world", "toSessionId": None}, "scope"),
        ({"scope": "all"}, "scope"),
        ({"toTeamMemberId": "tm_1"}, "toTeamMemberId"),
        ({"toSessionId": ["w1"]}, "toSessionId"),
        ({"replyToMailId": 7}, "replyToMailId"),
    ],
)
def test_mail_that_is_refused(team: dict[str, ShippedClient], fields: dict[str, Any], path: str) -> None:
    more = {"to" if name == "toSessionId" else name: value for name, value in fields.items()}
    body = mail(team["w1"], **more).json
    assert (body["statusCode"], body["code"], body["error"]) == (400, "VALIDATION_ERROR", True)
    [fault] = body["details"]
    assert fault["path"] == path
    assert fault["message"]


def test_fields_that_are_missing(gateway: Gateway, team: dict[str, ShippedClient]) -> None:
    for body, path in (({"type": "query"}, "subject"), ({"subject": "x"}, "type"), ([], "")):
        answer = gateway.ask("POST", "/api/mail", body)
        assert (answer.status, answer.json["details"][0]["path"]) == (400, path)
    for query, path in (("timeout=999", "timeout"), ("timeout=120001", "timeout"), ("since=soon", "since")):
        answer = gateway.ask("GET", f"/api/mail/wait/boss?{query}")
        assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")
        assert [fault["path"] for fault in answer.json["details"]] == [path]
    answer = gateway.ask("GET", "/api/mail/inbox/boss?type=gossip")
    assert answer.json["details"][0]["path"] == "type"
    # What the post office itself refuses keeps its own code.
    assert mail(team["w1"], "w9").json["code"] == "RECEIVER_NOT_FOUND"
    assert mail(team["w1"], subject=" ", body={}).json["code"] == "EMPTY_MESSAGE"
    assert mail(team["w1"], body={"question": "x" * 10_001}).json["code"] == "TEXT_TOO_LONG"
    nameless = gateway.ask("POST", "/api/mail", {"type": "query", "subject": "x", "toSessionId": "boss"})
    assert (nameless.status, nameless.json["code"]) == (401, "NO_SESSION")


# --- what the reading changes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["inbox", "wait"])
def test_shown_mail_is_delivered(open_office: PostOffice, team: dict[str, ShippedClient], call: str) -> None:
    """Not read, which these clients never say. HEAD, a page of another site, and the other calls change nothing."""
    sent, gateway = mail(team["w1"]).json, team["w1"].gateway
    path = f"/api/mail/{call}/boss"
    for other in (f"/api/mail/{sent['id']}", f"/api/mail/thread/{sent['id']}"):
        assert gateway.ask("GET", other).status == 200
    assert gateway.ask("HEAD", path).status == 200
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://page.example"}):
        assert gateway.ask("GET", path, headers=header).json["code"] == "ORIGIN_REFUSED"
    assert status_of(open_office, sent["id"]) == "pending"
    assert [one["id"] for one in gateway.ask("GET", path).json] == [sent["id"]]
    eventually(lambda: status_of(open_office, sent["id"]) == "delivered", "it is delivered")
    # The list shows it again; a wait is for new mail, or for that of a time.
    assert [one["id"] for one in inbox(team["boss"])] == [sent["id"]]
    assert wait(team["boss"], 1_000) == []
    assert [one["id"] for one in wait(team["boss"], since=sent["createdAt"] - 1)] == [sent["id"]]
    assert wait(team["boss"], 1_000, since=sent["createdAt"]) == []


def test_sessions_with_tokens(open_office: PostOffice, team: dict[str, ShippedClient]) -> None:
    """Their mail is theirs alone, as with every other call."""
    with open_office.client() as client:
        client.start_session("eve", token="a secret", role="orchestrator", project_id=PROJECT)
    sent, gateway = mail(team["w1"], "eve").json, team["w1"].gateway
    own = {"X-Session-ID": "eve", "Authorization": "Bearer a secret"}
    paths = ["/api/mail/inbox/eve", "/api/mail/wait/eve", f"/api/mail/{sent['id']}", f"/api/mail/thread/{sent['id']}"]
    for path in paths:
        for headers, code in (
            ({}, "TOKEN_REQUIRED"),
            ({"Authorization": "Bearer x"}, "TOKEN_MISMATCH"),
            ({"X-Session-ID": "eve"}, "TOKEN_REQUIRED"),
        ):
            assert gateway.ask("GET", path, headers=headers).json["code"] == code, path
    for path in paths[:2]:
        assert gateway.ask("GET", path, headers={"X-Session-ID": "w2"}).json["code"] == "FORBIDDEN"
    assert gateway.ask("GET", paths[2], headers={"X-Session-ID": "w2"}).status == 404
    assert gateway.ask("DELETE", paths[2]).json["code"] == "TOKEN_REQUIRED"
    assert mail(ShippedClient(gateway, "eve")).json["code"] == "TOKEN_REQUIRED"
    assert status_of(open_office, sent["id"]) == "pending"
    assert gateway.ask("GET", paths[0], headers=own).json == gateway.ask("GET", paths[3], headers=own).json == [sent]


# --- repeats ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [{"to": "boss"}, {"to": None, "scope": "team"}, {"to": None}])
def test_a_repeat_after_a_503(open_office: PostOffice, team: dict[str, ShippedClient], to: dict[str, Any]) -> None:
    """The broker is killed, and the client sends the same without a key until there is an answer."""
    once = ShippedClient(team["w1"].gateway, "w1", attempts=1)
    open_office.kill()
    assert mail(once, **to).status == 503
    eventually(lambda: mail(team["w1"], **to).status == 201, "it is sent")
    for receiver in ("w2", "w3") if "scope" in to else ("boss",):
        assert len(inbox(team[receiver])) == 1
    assert mail(team["w1"], **to).status == 201
    assert len(inbox(team["w2" if "scope" in to else "boss"])) == 2, "the same words again are a second mail"


def test_a_repeat_after_an_answer_that_could_not_be_sent(
    open_office: PostOffice, team: dict[str, ShippedClient]
) -> None:
    """The client hangs up while the broker is paused; its three further attempts are that mail."""
    gateway = team["w1"].gateway
    body = {"projectId": PROJECT, "fromSessionId": "w1", "toSessionId": "boss", "type": "query", "subject": "once"}
    raw = json.dumps(body).encode()
    head = b"POST /api/mail HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    os.kill(open_office.pid, signal.SIGSTOP)
    try:
        with socket.create_connection(gateway.address) as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            wire.sendall(head + b"Content-Length: %d\r\n\r\n" % len(raw) + raw)
            assert gateway.ask("GET", "/health/live").status == 200
    finally:
        os.kill(open_office.pid, signal.SIGCONT)
    with open_office.client() as client:
        eventually(lambda: client.inbox(session="boss")["count"] == 1, "it is accepted")
    again = gateway.ask("POST", "/api/mail", body)
    assert again.status == 201
    assert [one["id"] for one in inbox(team["boss"])] == [again.json["id"]]


# --- waiting ----------------------------------------------------------------------------------------------------


class Waiting:
    """`mail wait` of a client, in a thread."""

    def __init__(self, client: ShippedClient, timeout: int = 30_000) -> None:
        self.found: list[dict[str, Any]] | None = None
        self._thread = threading.Thread(target=self._wait, args=(client, timeout))
        self._thread.start()

    def _wait(self, client: ShippedClient, timeout: int) -> None:
        self.found = wait(client, timeout)

    def end(self) -> list[dict[str, Any]] | None:
        """What it got."""
        self._thread.join(60)
        return self.found


def test_mail_ends_a_wait(gateway: Gateway, team: dict[str, ShippedClient]) -> None:
    """Mail that is there is the answer at once; else the first that comes, long before the time is over."""
    there = mail(team["w1"], subject="there").json
    assert wait(team["boss"]) == [there]
    eventually(lambda: gateway.ask("GET", f"/api/messages/{there['id']}").json["status"] == "delivered", "delivered")
    waiting = Waiting(team["boss"], 120_000)
    eventually(lambda: waits(gateway) == 1, "it waits")
    came = mail(team["w2"], subject="came").json
    assert waiting.end() == [came]
    eventually(lambda: waits(gateway) == 0, "nothing is left of it")


def test_a_wait_without_mail(team: dict[str, ShippedClient]) -> None:
    """An empty list, and not before the time is over."""
    began_s = time.monotonic()
    assert wait(team["boss"], 1_000) == []
    assert time.monotonic() - began_s >= 1.0


@pytest.mark.parametrize("goes", ["reset", "closed", "half closed"])
def test_a_wait_ends_with_its_client(open_office: PostOffice, team: dict[str, ShippedClient], goes: str) -> None:
    """Long before its time. The mail that comes then is not counted as delivered."""
    gateway = team["boss"].gateway
    with socket.create_connection(gateway.address) as wire:
        wire.sendall(b"GET /api/mail/wait/boss?timeout=120000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: waits(gateway) == 1, "it waits")
        if goes == "half closed":
            wire.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: wire.recv(4_096), b""))
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"[]")
        elif goes == "reset":
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    eventually(lambda: waits(gateway) == 0, "the wait has ended")
    sent = mail(team["w1"]).json
    assert status_of(open_office, sent["id"]) == "pending"
    assert wait(team["boss"]) == [sent]


def test_two_waits_get_a_mail_once(team: dict[str, ShippedClient]) -> None:
    """The second one goes on waiting, until there is more; each session waits for its own."""
    gateway = team["boss"].gateway
    waiting = [Waiting(team["boss"], 120_000), Waiting(team["boss"], 120_000), Waiting(team["w3"], 120_000)]
    eventually(lambda: waits(gateway) == 3, "they wait")
    sent = [mail(team["w1"], subject="one").json]
    eventually(lambda: waits(gateway) == 2, "one of them has it")
    sent += [mail(team["w2"], subject="two").json, mail(team["w2"], "w3", subject="three").json]
    got = [one.end() for one in waiting]
    assert sorted(letter["subject"] for found in got for letter in found or ()) == ["one", "three", "two"]
    assert [len(found or ()) for found in got] == [1, 1, 1]
    assert got[2] == sent[2:]


def test_waits_are_limited_and_end_with_the_gateway(open_office: PostOffice) -> None:
    open_office.environ["MAESTRO_HTTP_MAIL_WAITS_MAX"] = "2"
    with Gateway(open_office) as gateway:
        agents = [ShippedClient(gateway, "ann"), ShippedClient(gateway, "bob")]
        wires = []
        for agent in agents:
            wires.append(socket.create_connection(gateway.address))
            path = f"/api/mail/wait/{agent.session}?timeout=120000"
            wires[-1].sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        eventually(lambda: waits(gateway) == 2, "they wait")
        answer = gateway.ask("GET", "/api/mail/wait/ann?timeout=1000")
        assert (answer.status, answer.json["code"], answer.json["limit"], answer.json["actual"]) == (
            503,
            "BUSY",
            2,
            3,
        )
        assert int(answer.headers["retry-after"]) >= 1
        # What needs no wait is answered all the same.
        assert inbox(agents[0]) == []
        mail(agents[0], "bob")
        with wires[1].makefile("rb") as answered:
            assert any(b'"subject":"Which port?"' in line for line in answered)
        gateway.stop()
        assert wires[0].recv(4_096).startswith(b"HTTP/1.1 503 ")
        for wire in wires:
            wire.close()


def test_a_wait_lasts_over_a_restart_of_the_broker(open_office: PostOffice, team: dict[str, ShippedClient]) -> None:
    gateway = team["boss"].gateway
    waiting = Waiting(team["boss"], 120_000)
    eventually(lambda: waits(gateway) == 1, "it waits")
    open_office.kill()
    open_office.start()
    sent: list[dict[str, Any]] = []

    def has_sent() -> bool:
        answer = mail(team["w1"])
        sent.extend([answer.json] if answer.status == 201 else [])
        return bool(sent)

    eventually(has_sent, "the broker is back")
    assert waiting.end() == sent


def waits(gateway: Gateway) -> int:
    """The waits that are under way, by the gateway's own count."""
    for line in gateway.ask("GET", "/metrics").body.decode().splitlines():
        if line.startswith("maestro_mail_waits "):
            return int(float(line.split()[1]))
    raise AssertionError("no such number")
