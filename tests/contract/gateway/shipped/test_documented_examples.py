"""The requests that the documents of the first design show, as they are printed there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.gateways import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

REVIEW = "Review PR in task_456"
OWN = {"X-Session-ID": "sess_a"}


@pytest.fixture(scope="module")
def seeded(office: PostOffice) -> Iterator[Gateway]:
    """A gateway with the sessions of the documents: `sess_orch`, and the workers `sess_a` and `sess_b`."""
    with Gateway(office) as made:
        for session, role in (("sess_orch", "orchestrator"), ("sess_a", "worker"), ("sess_b", "worker")):
            body = {"id": session, "name": session, "projectId": "proj_1", "metadata": {"role": role}}
            assert made.ask("POST", "/api/sessions", body).status == 201
        yield made


def test_the_roles_of_the_first_generation(seeded: Gateway) -> None:
    """Its sessions have them in `metadata.role`."""
    for session, role in (("sess_orch", "orchestrator"), ("sess_a", "worker")):
        assert seeded.ask("GET", f"/api/sessions/{session}").json["role"] == role


BODIES: tuple[dict[str, Any], ...] = (
    {"message": REVIEW},
    {"from": "sess_a", "to": "sess_b", "message": REVIEW, "metadata": {"taskId": "task_456", "type": "request"}},
    {"message": REVIEW, "metadata": {"taskId": "task_456", "type": "request", "priority": "high"}},
    {"message": REVIEW, "metadata": {"type": "request", "requiresResponse": True}},
    {"message": REVIEW, "metadata": {"type": "notification", "priority": "low", "requiresAck": True}},
    {"message": REVIEW, "metadata": {"type": "command", "priority": "medium"}},
    {"from": "sess_a", "message": REVIEW},
    {"to": "sess_b", "message": REVIEW, "metadata": {}},
    {"message": REVIEW, "metadata": {"inReplyTo": "null"}},
    {"message": REVIEW, "metadata": {"inReplyTo": None}},
)


@pytest.mark.parametrize("body", BODIES)
def test_a_documented_send(seeded: Gateway, body: dict[str, Any]) -> None:
    answer = seeded.ask("POST", "/api/sessions/sess_b/messages", body, headers=OWN)
    message = answer.json
    assert answer.status == 201, message
    assert [message[name] for name in ("from", "to", "message", "status")] == ["sess_a", "sess_b", REVIEW, "pending"]
    assert isinstance(message["createdAt"], int)
    # And what it said of itself is what the receiver sees.
    asked = {name: value for name, value in body.get("metadata", {}).items() if name != "inReplyTo"}
    page = seeded.ask("GET", "/api/sessions/sess_b/messages?status=pending").json
    [found] = [one for one in page["messages"] if one["id"] == message["id"]]
    assert found.get("metadata", {}) == asked


@pytest.mark.parametrize(
    ("path", "body", "headers", "words"),
    [
        (
            "/api/sessions/sess_b/messages",
            {"from": "sess_b"},
            OWN,
            "`from` is 'sess_b', and X-Session-ID says 'sess_a'",
        ),
        ("/api/sessions/sess_b/messages", {"to": "sess_a"}, OWN, "`to` is 'sess_a', and the path says 'sess_b'"),
        ("/api/sessions/sess_b/messages", {"to": ["sess_b"]}, OWN, "$.to"),
        ("/api/sessions/sess_b/messages", {"colour": "red"}, OWN, "colour"),
        ("/api/messages", {"to": "sess_b", "from": "sess_b"}, OWN, "X-Session-ID says 'sess_a'"),
    ],
)
def test_a_body_that_contradicts(
    seeded: Gateway, path: str, body: dict[str, Any], headers: dict[str, str], words: str
) -> None:
    answer = seeded.ask("POST", path, {"message": REVIEW, **body}, headers=headers)
    assert (answer.status, answer.json["code"]) == (400, "INVALID")
    assert words in answer.json["message"]


def test_a_sender_in_the_body_alone(seeded: Gateway) -> None:
    """A body proves nothing: the header says who sends."""
    body = {"from": "sess_a", "to": "sess_b", "message": REVIEW}
    answer = seeded.ask("POST", "/api/sessions/sess_b/messages", body)
    assert (answer.status, answer.json["code"]) == (401, "NO_SESSION")


def test_a_message_that_was_never_there(seeded: Gateway) -> None:
    for path in ("/api/sessions/sess_b/messages", "/api/messages"):
        body = {"message": "x", "metadata": {"inReplyTo": "msg_1_unknown"}} | (
            {"to": "sess_b"} if "sess_b" not in path else {}
        )
        answer = seeded.ask("POST", path, body, headers=OWN)
        assert (answer.status, answer.json["code"]) == (404, "MESSAGE_NOT_FOUND")
        assert "metadata.inReplyTo" in answer.json["message"]


def test_the_documented_life_of_a_message(seeded: Gateway) -> None:
    """Send, list, read, delete."""
    sent = seeded.ask("POST", "/api/sessions/sess_orch/messages", {"message": REVIEW}, headers=OWN).json
    page = seeded.ask("GET", "/api/sessions/sess_orch/messages?status=pending&limit=10").json
    assert (page["count"], page["hasMore"], page["messages"][0]["id"]) == (1, False, sent["id"])
    read = seeded.ask("PATCH", f"/api/messages/{sent['id']}", {"status": "read"}).json
    assert (read["id"], read["status"]) == (sent["id"], "read")
    assert isinstance(read["readAt"], int)
    assert seeded.ask("DELETE", f"/api/messages/{sent['id']}").status == 204


def test_request_and_response(seeded: Gateway) -> None:
    """A question, its answer, and their thread."""
    asked = {"message": "What is the status of task_456?", "metadata": {"type": "request", "requiresResponse": True}}
    request = seeded.ask("POST", "/api/sessions/sess_b/messages", asked, headers=OWN).json
    given = {"message": "80% complete", "metadata": {"type": "response", "inReplyTo": request["id"]}}
    headers = {"X-Session-ID": "sess_b"}
    response = seeded.ask("POST", "/api/sessions/sess_a/messages", given, headers=headers).json
    thread = seeded.ask("GET", f"/api/messages/{request['id']}/thread", headers=headers).json
    assert [one["id"] for one in thread["messages"]] == [request["id"], response["id"]]
    # The filters of a mailbox.
    for query, expected in (
        (f"thread={request['id']}", [response["id"]]),
        ("type=response", [response["id"]]),
        ("from=sess_b", [response["id"]]),
        ("from=sess_b&type=request", []),
        ("from=sess_orch", []),
        ("from=a%20session%20that%20is%20gone", []),
        ("direction=received&from=sess_b", [response["id"]]),
        (f"direction=sent&thread={request['id']}", [request["id"]]),
        ("direction=sent&type=response", []),
        ("direction=sent&status=read", []),
    ):
        page = seeded.ask("GET", f"/api/sessions/sess_a/messages?{query}").json
        assert [one["id"] for one in page["messages"]] == expected, query
    for query in ("direction=sent&from=sess_b", "direction=sent&since=0", "direction=up"):
        answer = seeded.ask("GET", f"/api/sessions/sess_a/messages?{query}")
        assert (answer.status, answer.json["code"]) == (400, "INVALID")


def test_what_a_session_sent_page_by_page(seeded: Gateway) -> None:
    """The newest first page; `Link` leads to the older ones."""
    seeded.ask("POST", "/api/sessions", {"id": "sess_many", "projectId": "proj_1"})
    named = {"X-Session-ID": "sess_many"}
    sent = [
        seeded.ask("POST", "/api/sessions/sess_b/messages", {"message": f"{number}"}, headers=named).json["id"]
        for number in range(5)
    ]
    path = "/api/sessions/sess_many/messages?direction=sent&limit=2"
    found: list[str] = []
    while path:
        answer = seeded.ask("GET", path, headers=named)
        found = [one["id"] for one in answer.json["messages"]] + found
        path = answer.headers.get("link", "").partition("<")[2].partition(">")[0]
    assert found == sent
    refused = seeded.ask("GET", "/api/sessions/sess_many/messages?direction=sent", headers=OWN)
    assert (refused.status, refused.json["code"]) == (403, "FORBIDDEN")
    person = seeded.ask(
        "GET", "/api/sessions/sess_many/messages?direction=sent", headers={"X-Session-ID": "operator"}
    )
    assert [one["id"] for one in person.json["messages"]] == sent


def test_lines_of_a_timeline(seeded: Gateway) -> None:
    """A line keeps its metadata, and has an id; the list is a call of its own."""
    body = {
        "type": "message_sent",
        "message": "Sent message to sess_b",
        "metadata": {"messageId": "m", "to": "sess_b"},
    }
    session = seeded.ask("POST", "/api/sessions/sess_a/timeline", body).json
    line = session["timeline"][-1]
    assert {name: line[name] for name in body} == body
    assert line["id"].startswith("evt_")
    assert line in seeded.ask("GET", "/api/sessions/sess_a/timeline").json
    # A client that sends the whole timeline adds only what is new, by id or by content.
    lines = [*session["timeline"], {"type": "messages_read", "message": "Read 2", "timestamp": 7, "id": "evt_7_mine"}]
    lines += [{name: line[name] for name in ("type", "message", "timestamp")}]
    for _ in range(2):
        after = seeded.ask("PATCH", "/api/sessions/sess_a", {"timeline": lines}).json["timeline"]
        assert after == [*session["timeline"], lines[-2]]
    for wrong, code in (({"id": "../x"}, "INVALID_ID"), ({"metadata": {"x": "y" * 1_024}}, "DATA_TOO_LARGE")):
        answer = seeded.ask("POST", "/api/sessions/sess_a/timeline", {"type": "t", "message": "m", **wrong})
        assert (answer.status, answer.json["code"]) == (400, code)


@pytest.mark.parametrize(
    ("metadata", "role"),
    [
        ({"role": "orchestrator"}, "orchestrator"),
        ({"role": "worker"}, "worker"),
        ({"role": "coordinator"}, "orchestrator"),
        ({"mode": "coordinated-coordinator"}, "orchestrator"),
        ({"mode": "worker", "role": "orchestrator"}, "worker"),
        ({"role": 1}, "worker"),
        ({}, "worker"),
    ],
)
def test_the_role_in_metadata(seeded: Gateway, metadata: dict[str, Any], role: str) -> None:
    answer = seeded.ask("POST", "/api/sessions", {"projectId": "proj_1", "metadata": metadata})
    assert (answer.json["role"], answer.json["metadata"]) == (role, metadata)
    assert seeded.ask("POST", "/api/sessions", {"metadata": metadata, "role": "worker"}).json["role"] == "worker"


@pytest.mark.parametrize(
    ("method", "path", "use"),
    [
        ("GET", "/api/sessions/log-digests?parentSessionId=sess_a&last=5", "/timeline"),
        ("GET", "/api/sessions/sess_a/log-digest?last=5", "/timeline"),
        ("GET", "/api/sessions/sess_a/docs", "/messages"),
        ("POST", "/api/sessions/sess_a/docs", "/messages"),
        ("POST", "/api/sessions/sess_a/events", "/timeline"),
        ("POST", "/api/sessions/spawn", "parentSessionId"),
        ("GET", "/api/sessions/sess_a/mode", "metadata.mode"),
        ("POST", "/api/v1/sessions/sess_a/mode", "metadata.mode"),
        ("GET", "/api/tasks?projectId=p", "taskId"),
        ("PATCH", "/api/tasks/task_1", "taskId"),
        ("GET", "/api/projects", "projectId"),
        ("GET", "/api/teams/t/members", "/api/groups"),
        ("GET", "/api/team-members?projectId=p", "/api/groups"),
        ("POST", "/api/announce", "@workers"),
        ("GET", "/api/master/context", "/api/presence"),
    ],
)
def test_calls_that_a_post_office_does_not_have(seeded: Gateway, method: str, path: str, use: str) -> None:
    """They say what to use, also where a word could be a session's id."""
    for headers in ({}, OWN, {"X-Session-ID": "sess_unknown"}):
        answer = seeded.ask(method, path, {} if method in ("POST", "PATCH") else None, headers=headers)
        assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND")
        assert use in answer.json["message"]
        assert use in answer.json["hint"]


def test_a_session_may_have_such_a_name(seeded: Gateway) -> None:
    assert seeded.ask("POST", "/api/sessions", {"id": "log-digests"}).status == 201
    assert seeded.ask("GET", "/api/sessions/log-digests").json["id"] == "log-digests"


def test_a_prompt_keeps_its_mode_and_is_for_another(seeded: Gateway) -> None:
    body = {"content": "Look.", "mode": "paste", "senderSessionId": "sess_a"}
    assert seeded.ask("POST", "/api/sessions/sess_orch/prompt", body).json == {"success": True}
    [got] = seeded.ask("GET", "/api/sessions/sess_orch/messages?type=command").json["messages"]
    assert got["metadata"] == {"type": "command", "data": {"mode": "paste"}}
    for headers in ({}, OWN):
        answer = seeded.ask("POST", "/api/sessions/sess_a/prompt", body, headers=headers)
        assert (answer.status, answer.json["code"]) == (400, "INVALID")
        assert "itself" in answer.json["message"]
    assert seeded.ask("POST", "/api/sessions/sess_a/prompt", {"content": "x"}, headers=OWN).status == 400


def test_messages_are_lines_of_the_timeline(office: PostOffice, seeded: Gateway) -> None:
    """Derived when they are asked for, without texts, beside the lines that the session added; for those that may see
    its mail."""
    office.sessions("line_a", "line_b", "stranger")
    office.session("safe", token="t" * 20)
    sent = seeded.ask(
        "POST", "/api/sessions/line_b/messages", {"message": "Secret words."}, headers={"X-Session-ID": "line_a"}
    )
    prompt = {"content": "Secret too.", "senderSessionId": "line_b"}
    assert seeded.ask("POST", "/api/sessions/line_a/prompt", prompt).status == 200
    assert (
        seeded.ask(
            "PATCH", f"/api/messages/{sent.json['id']}", {"status": "read"}, headers={"X-Session-ID": "line_b"}
        ).status
        == 200
    )
    assert seeded.ask("POST", "/api/sessions/line_a/timeline", {"type": "progress", "message": "Half."}).status == 201

    def lines(session: str, **headers: str) -> list[dict[str, Any]]:
        answer = seeded.ask("GET", f"/api/sessions/{session}/timeline", headers=headers)
        assert answer.status == 200
        assert b"Secret" not in answer.body
        found: list[dict[str, Any]] = answer.json
        assert [line["timestamp"] for line in found] == sorted(line["timestamp"] for line in found)
        assert len({line["id"] for line in found}) == len(found)
        return found

    own = lines("line_a")
    assert [(line["type"], line["message"]) for line in own] == [
        ("message_sent", "Sent message to line_b"),
        ("prompt_received", "Received prompt from line_b"),
        ("progress", "Half."),
    ]
    assert own[0]["metadata"] == {"messageId": sent.json["id"], "to": "line_b"}
    assert [line["type"] for line in lines("line_b")] == ["message_received", "message_sent", "messages_read"]
    # Another worker sees what the session says of itself.
    assert [line["type"] for line in lines("line_a", **{"X-Session-ID": "stranger"})] == ["progress"]
    seeded.ask("POST", "/api/sessions/safe/messages", {"message": "Secret."}, headers={"X-Session-ID": "line_a"})
    assert lines("safe") == []
    with_token = {"X-Session-ID": "safe", "Authorization": "Bearer " + "t" * 20}
    assert [line["type"] for line in lines("safe", **with_token)] == ["message_received"]
