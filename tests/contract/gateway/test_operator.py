"""The operator over HTTP: the person of the gateway's user on this machine, by the kernel's word, and no one else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from maestro_clients.protocol.callers import Caller
from support.gateways import WITHOUT_OWNERS, Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.gateways import Answer
    from support.post_office import PostOffice
    from support.users import OtherUser

PERSON = {"X-Session-ID": "operator"}
OPERATOR = Caller("operator")
BOX = "/api/sessions/operator/messages"
WAIT_S = 20.0


@pytest.fixture(scope="module")
def staffed(office: PostOffice) -> PostOffice:
    """The sessions have tokens, so that only the operator's right opens their mail."""
    for name, project in (("amy", "a"), ("ben", "b")):
        office.session(name, token=f"{name}s", project=project)
    office.session("boss", token="bosss", role="orchestrator", project="a")
    office.session("zed", token="zeds", project="a")
    return office


@pytest.fixture
def gateway(staffed: PostOffice, standing: Gateway) -> Gateway:
    with staffed.client("operator") as person:
        waiting = person.inbox(status=["pending", "delivered", "read"])["messages"]
        if waiting:
            person.delete([message["id"] for message in waiting])
    return standing


def headers(session: str) -> dict[str, str]:
    return {"X-Session-ID": session, "Authorization": f"Bearer {session}s"}


def said(gateway: Gateway, sender: dict[str, str], to: str, text: str, **more: Any) -> str:
    """The id of an accepted message."""
    got = gateway.ask("POST", f"/api/sessions/{to}/messages", {"message": text, **more}, headers=sender)
    assert got.status == 201, got
    return str(got.json["id"])


def texts(got: Answer) -> list[str]:
    assert got.status == 200, got
    return [message["message"] for message in got.json["messages"]]


# --- the person's own program ----------------------------------------------------------------------------------


def test_the_person_and_a_worker_write_to_each_other(gateway: Gateway) -> None:
    question = said(gateway, headers("amy"), "operator", "May I?", metadata={"type": "request"})
    assert texts(gateway.ask("GET", BOX, headers=PERSON)) == ["May I?"]
    answer = said(gateway, PERSON, "amy", "Yes.", metadata={"inReplyTo": question})
    [message] = gateway.ask("GET", "/api/sessions/amy/messages", headers=headers("amy")).json["messages"]
    assert (message["id"], message["from"]) == (answer, "operator")
    assert said(gateway, headers("amy"), "operator", "Thanks.", metadata={"inReplyTo": answer})
    thread = gateway.ask("GET", f"/api/messages/{question}/thread", headers=PERSON).json
    assert [each["message"] for each in thread["messages"]] == ["May I?", "Yes.", "Thanks."]


def test_the_person_reads_what_went_to_several_others(gateway: Gateway) -> None:
    body = {"to": ["amy", "zed"], "message": "both", "confirm": True}
    sent = gateway.ask("POST", "/api/messages", body, headers=headers("boss"))
    assert (sent.status, sent.json["accepted"]) == (201, 2), sent
    one = gateway.ask("GET", f"/api/messages/{sent.json['id']}", headers=PERSON)
    assert (one.status, one.json["message"], one.json["to"]) == (200, "both", "amy")
    thread = gateway.ask("GET", f"/api/messages/{sent.json['id']}/thread", headers=PERSON)
    assert [message["to"] for message in thread.json["messages"]] == ["amy"]
    # A session that may not see it learns nothing of its receivers.
    assert gateway.ask("GET", f"/api/messages/{sent.json['id']}", headers=headers("ben")).status == 404


def test_receipts_both_ways(gateway: Gateway) -> None:
    up = said(gateway, headers("ben"), "operator", "done")
    for status in ("delivered", "read"):
        assert gateway.ask("PATCH", f"/api/messages/{up}", {"status": status}, headers=PERSON).status == 200
        assert gateway.ask("GET", f"/api/messages/{up}", headers=headers("ben")).json["status"] == status
    down = said(gateway, PERSON, "ben", "go on")
    assert gateway.ask("PATCH", f"/api/messages/{down}", {"status": "read"}, headers=headers("ben")).status == 200
    assert gateway.ask("GET", f"/api/messages/{down}", headers=PERSON).json["status"] == "read"


def test_a_repeat_of_the_persons_key_is_one_message(gateway: Gateway) -> None:
    key = {**PERSON, "Idempotency-Key": "the-persons-own"}
    first, again = (
        gateway.ask("POST", "/api/sessions/ben/messages", {"message": "once"}, headers=key) for _ in range(2)
    )
    assert first.json["id"] == again.json["id"]
    assert again.headers["idempotent-replayed"] == "true"


def test_the_operator_is_shown_and_never_changed_or_listed(gateway: Gateway) -> None:
    shown = gateway.ask("GET", "/api/sessions/operator").json
    assert (shown["id"], shown["role"], shown["projectId"]) == ("operator", "orchestrator", "")
    assert "operator" not in {each["id"] for each in gateway.ask("GET", "/api/sessions").json}
    for method, path, body in (
        ("POST", "/api/sessions", {"id": "operator"}),
        ("PATCH", "/api/sessions/operator", {"status": "completed"}),
        ("POST", "/api/sessions/operator/timeline", {"type": "note", "message": "x"}),
    ):
        assert gateway.ask(method, path, body, headers=PERSON).status in (400, 403)


def test_reading_others_mail_marks_nothing(gateway: Gateway) -> None:
    """The page reads with the right of the operator, and no GET of today's calls marks or holds a message."""
    sent = said(gateway, headers("amy"), "boss", "between two")
    before = gateway.ask("GET", f"/api/messages/{sent}", headers=headers("amy")).json
    for path in (
        "/api/sessions/boss/messages",
        "/api/sessions/boss/messages?since=0",
        f"/api/messages/{sent}",
        f"/api/messages/{sent}/thread",
        f"/api/messages/{sent}/receipt",
        "/api/messages?with=boss",
        "/api/messages?session=boss",
        "/api/presence",
        "/api/sessions/boss",
    ):
        got = gateway.ask("GET", path, headers=PERSON)
        assert got.status == 200, got
    assert gateway.ask("GET", f"/api/messages/{sent}", headers=headers("amy")).json == before


def test_the_mail_of_older_clients_is_taken(gateway: Gateway) -> None:
    sent = said(gateway, headers("boss"), "ben", "taken")
    got = gateway.ask("GET", "/api/sessions/ben/mail", headers=PERSON)
    assert sent in {message["id"] for message in got.json}
    assert gateway.ask("GET", f"/api/messages/{sent}", headers=headers("boss")).json["status"] == "read"
    own = said(gateway, headers("amy"), "operator", "taken too")
    assert [message["id"] for message in gateway.ask("GET", "/api/sessions/operator/mail").json] == [own]
    assert gateway.ask("GET", f"/api/messages/{own}", headers=headers("amy")).json["status"] == "read"


def test_the_person_acknowledges_no_mail_of_others(gateway: Gateway) -> None:
    sent = said(gateway, headers("boss"), "ben", "for ben")
    got = gateway.ask("PATCH", f"/api/messages/{sent}", {"status": "read"}, headers=PERSON)
    assert (got.status, got.json["code"]) == (403, "FORBIDDEN")
    assert "GET /api/messages" in got.json["hint"]
    assert gateway.ask("GET", f"/api/messages/{sent}", headers=headers("boss")).json["status"] == "pending"
    assert gateway.ask("DELETE", f"/api/messages/{sent}", headers=PERSON).status == 204, "it may delete"


def test_an_older_client_may_name_the_operator_as_its_sender(gateway: Gateway) -> None:
    got = gateway.ask("POST", "/api/sessions/ben/mail", {"fromSessionId": "operator", "message": "old style"})
    assert got.status == 200, got
    shown = gateway.ask("GET", f"/api/messages/{got.json['mailId']}", headers=headers("ben")).json
    assert shown["from"] == "operator"


def test_the_person_writes_to_several_at_once(gateway: Gateway) -> None:
    """The list of workers is long enough to need a confirmation of any session. The person needs none."""
    body = {"to": ["@workers", "@orchestrators"], "message": "Stop, main is red.", "metadata": {"type": "request"}}
    got = gateway.ask("POST", "/api/messages", body, headers=PERSON)
    assert got.status == 201, got
    receivers = {each["to"] for each in got.json["recipients"]}
    assert {"amy", "ben", "boss"} <= receivers
    assert "operator" not in receivers
    boss = gateway.ask("POST", "/api/messages", body, headers=headers("boss"))
    assert (boss.status, boss.json["code"]) == (409, "CONFIRM_FANOUT")
    assert "operator" not in {each["session"] for each in boss.json["details"]["receivers"]}


# --- its events ------------------------------------------------------------------------------------------------


def test_a_stream_of_the_operators_events_has_the_texts(gateway: Gateway) -> None:
    with connect(gateway.ws_url + "/ws", additional_headers=PERSON, compression=None) as opened:
        wanted = {"to the person", "to the boss"}
        said(gateway, headers("ben"), "operator", "to the person")
        said(gateway, headers("amy"), "boss", "to the boss")
        while wanted:
            frame = opened.recv(timeout=WAIT_S)
            wanted = {text for text in wanted if json.dumps(text) not in str(frame)}


def test_a_server_sent_stream_of_the_operator(gateway: Gateway) -> None:
    import http.client

    host, port = gateway.address
    for path, to in ((f"{BOX}/stream", "operator"), ("/api/sessions/boss/messages/stream", "boss")):
        connection = http.client.HTTPConnection(host, port, timeout=WAIT_S)
        connection.request("GET", path, headers=PERSON)
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.readline().startswith(b"retry:")
        sent = said(gateway, headers("amy"), to, "live")
        while sent.encode() not in answer.readline():
            pass
        connection.close()


# --- everyone else ---------------------------------------------------------------------------------------------


def test_no_session_is_the_operator(gateway: Gateway) -> None:
    said(gateway, headers("ben"), "operator", "for the person alone")
    for session in ("amy", "boss"):
        for path in (BOX, "/api/sessions/operator/mail", f"{BOX}/stream"):
            got = gateway.ask("GET", path, headers=headers(session))
            assert (got.status, got.json["code"]) == (403, "FORBIDDEN")


def refuses_the_operator(gateway: Gateway, person: dict[str, str]) -> None:
    """Each way to name the operator is 403 and says why."""
    tries: tuple[tuple[str, str, Any], ...] = (
        ("GET", BOX, None),
        ("GET", "/api/sessions", None),
        ("GET", "/api/sessions/ben/messages", None),
        ("GET", "/api/sessions/operator/mail", None),
        ("GET", f"{BOX}/stream", None),
        ("POST", "/api/sessions/ben/messages", {"message": "forged"}),
        ("POST", "/api/sessions/ben/mail", {"fromSessionId": "operator", "message": "forged"}),
    )
    for method, path, body in tries:
        got = gateway.ask(method, path, body, headers=person)
        assert (got.status, got.json["code"]) == (403, "FORBIDDEN"), (path, got)
        assert "X-Session-ID" in got.json["hint"]


@pytest.fixture
def exposed(open_office: PostOffice) -> Iterator[Gateway]:
    """A gateway that other machines can reach."""
    with Gateway(open_office, "--host", "0.0.0.0") as made:
        made.url = made.url.replace("0.0.0.0", "127.0.0.1")
        yield made


@pytest.fixture
def unsure(open_office: PostOffice) -> Iterator[Gateway]:
    """A gateway whose kernel does not say who has connected."""
    with Gateway(open_office, first=WITHOUT_OWNERS) as made:
        yield made


@pytest.mark.parametrize("kind", ["exposed", "unsure"])
def test_where_the_kernel_gives_no_word_no_one_is_the_operator(
    open_office: PostOffice, request: pytest.FixtureRequest, kind: str
) -> None:
    open_office.session("zoe", token="zoes", role="orchestrator")
    gateway: Gateway = request.getfixturevalue(kind)
    for person in (PERSON, {**PERSON, "Authorization": "Bearer guessed"}):
        refuses_the_operator(gateway, person)
    forged = {"fromSessionId": "operator", "message": "forged"}
    got = gateway.ask("POST", "/api/sessions/bob/mail", forged, headers=headers("zoe"))
    assert (got.status, got.json["code"]) == (403, "FORBIDDEN")
    with open_office.client() as reader:
        assert reader.inbox(session="bob", since=0)["messages"] == []
    assert said(gateway, headers("zoe"), "operator", "to the person it writes all the same")
    with connect(gateway.ws_url + "/ws", additional_headers=headers("zoe"), compression=None) as opened:
        opened.send(json.dumps({"type": "auth", "sessionId": "operator", "token": "x"}))
        assert json.loads(opened.recv(timeout=WAIT_S))["code"] == "FORBIDDEN"
        with pytest.raises(ConnectionClosed):
            opened.recv(timeout=WAIT_S)


def test_another_user_of_the_machine_is_not_the_operator(gateway: Gateway, other_user: OtherUser) -> None:
    host, port = gateway.address
    script = (
        "import http.client, sys\n"
        "wire = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)\n"
        'wire.request(sys.argv[3], sys.argv[4], b\'{"message": "forged"}\', '
        "{'X-Session-ID': 'operator', 'Content-Type': 'application/json'})\n"
        "got = wire.getresponse()\n"
        "print(got.status, got.read().decode())\n"
    )
    for method, path in (("GET", BOX), ("POST", "/api/sessions/ben/messages")):
        done = other_user.run(other_user.python, "-c", script, host, str(port), method, path)
        assert done.stdout.startswith(("401 ", "403 ")), done
        assert "forged" not in done.stdout
