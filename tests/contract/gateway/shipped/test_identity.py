"""Clients that name themselves in the header before they are known, and sessions that come back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import connect

from support.gateways import WITHOUT_OWNERS, Gateway
from support.shipped_clients import ShippedClient
from support.wire_http import WAIT_S

if TYPE_CHECKING:
    from support.post_office import PostOffice

NEW = "sess_1770536761607_newcomer1"


@pytest.mark.parametrize("header", ["X-Session-Id", "X-Session-ID", "x-session-id", "X-SESSION-ID"])
def test_a_session_registers_itself(gateway: Gateway, header: str) -> None:
    """The header has the id that the body has."""
    body = {"id": NEW, "name": "new", "projectId": "proj_demo", "metadata": {"mode": "worker"}}
    answer = gateway.ask("POST", "/api/sessions", body, headers={header: NEW})
    assert (answer.status, answer.json["id"], answer.json["parentSessionId"]) == (201, NEW, None)
    # And again, as itself.
    assert gateway.ask("POST", "/api/sessions", body, headers={header: NEW}).status == 201


def test_only_itself(gateway: Gateway) -> None:
    """A caller that was never started registers no other session, and none without an id."""
    for body in ({"id": "another"}, {"name": "unnamed"}, {"id": NEW.upper()}):
        answer = gateway.ask("POST", "/api/sessions", body, headers={"X-Session-ID": NEW})
        assert (answer.status, answer.json["code"]) == (401, "UNKNOWN_SESSION")
    answer = gateway.ask("POST", "/api/sessions", {"id": "operator"}, headers={"X-Session-ID": "operator"})
    assert (answer.status, answer.json["code"]) == (400, "INVALID_ID")


def test_the_rules_of_tokens_stay(gateway: Gateway) -> None:
    """A token in the header is one of a known session, unless it is the one that the session starts with."""
    named = {"X-Session-ID": NEW, "Authorization": "Bearer one"}
    for token in ({}, {"token": "another"}):
        answer = gateway.ask("POST", "/api/sessions", {"id": NEW, **token}, headers=named)
        assert (answer.status, answer.json["code"]) == (401, "UNKNOWN_SESSION")
    assert gateway.ask("GET", "/api/sessions", headers=named).status == 401
    assert gateway.ask("POST", "/api/sessions", {"id": NEW, "token": "one"}, headers=named).json["hasToken"] is True
    for body in ({"id": NEW}, {"id": NEW, "token": "another"}):
        answer = gateway.ask("POST", "/api/sessions", body, headers={"X-Session-ID": NEW})
        assert (answer.status, answer.json["code"]) == (401, "TOKEN_REQUIRED")


READS = (
    "/api/sessions",
    "/api/v1/sessions?active=true",
    "/api/sessions/ann",
    "/api/sessions/ann/siblings",
    "/api/sessions/ann/timeline",
    "/api/sessions/ann/messages",
    "/api/sessions/ann/dead-letters",
    "/api/sessions/ann/mail",
    "/api/presence",
    "/api/groups",
)


@pytest.mark.parametrize("path", READS)
def test_a_read_under_an_unknown_name_is_one_without_a_name(standing: Gateway, path: str) -> None:
    expected = standing.ask("GET", path)
    for method in ("GET", "HEAD"):
        got = standing.ask(method, path, headers={"X-Session-Id": NEW})
        assert got.status == expected.status == 200
        assert got.headers.get("link") == expected.headers.get("link")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("HEAD", "", None),
        ("PATCH", "", {"status": "working"}),
        ("PATCH", "", {"status": "completed", "completedAt": 1}),
        ("POST", "/timeline", {"type": "progress", "message": "x"}),
        ("GET", "/timeline", None),
        ("GET", "/siblings", None),
        ("GET", "/messages", None),
        ("GET", "/messages/stream", None),
        ("GET", "/mail", None),
    ],
)
def test_its_own_unknown_id_is_not_found(standing: Gateway, method: str, path: str, body: Any) -> None:
    answer = standing.ask(method, f"/api/sessions/{NEW}{path}", body, headers={"X-Session-Id": NEW})
    assert answer.status == 404
    if method != "HEAD":
        assert answer.json["code"] == "SESSION_NOT_FOUND"


def test_what_an_unknown_session_may_not(gateway: Gateway) -> None:
    """It sends nothing, changes no other session, and asks for no mail that is a named session's alone."""
    for method, path, body in (
        ("POST", "/api/sessions/bob/messages", {"message": "x"}),
        ("POST", "/api/messages", {"to": "bob", "message": "x"}),
        ("POST", "/api/sessions/bob/prompt", {"content": "x", "senderSessionId": NEW}),
        ("PATCH", "/api/sessions/bob", {"status": "working"}),
        ("POST", "/api/sessions/bob/timeline", {"type": "t", "message": "x"}),
        ("PUT", "/api/groups/reviews", {}),
        ("GET", "/api/messages", None),
    ):
        answer = gateway.ask(method, path, body, headers={"X-Session-Id": NEW})
        assert (answer.status, answer.json["code"]) == (401, "UNKNOWN_SESSION"), (method, path)


def test_events_under_an_unknown_name(standing: Gateway) -> None:
    """As without a name; another name in the address, or a token, is what it was."""
    with connect(f"{standing.ws_url}/", additional_headers={"X-Session-Id": NEW}) as events:
        events.send('{"type": "subscribe", "sessionIds": ["bob"]}')
        assert json.loads(events.recv(timeout=WAIT_S))["type"] == "subscribed"
        sent = standing.ask(
            "POST", "/api/sessions/bob/messages", {"message": "x"}, headers={"X-Session-ID": "ann"}
        ).json
        assert sent["id"] in str(events.recv(timeout=WAIT_S))
    for headers in ({"Authorization": "Bearer x"}, {}):
        named = {"X-Session-ID": NEW, **headers} if headers else {}
        with connect(
            f"{standing.ws_url}/{'' if headers else '?sessionId=' + NEW}", additional_headers=named
        ) as events:
            assert json.loads(events.recv(timeout=WAIT_S))["code"] == "UNKNOWN_SESSION"


@pytest.mark.parametrize("name", ["a b", "../x", "x" * 65, "n\u00e4me"])
def test_a_text_that_is_no_id_is_no_name(standing: Gateway, name: str) -> None:
    """It is a mistake of the caller's, and is refused as before."""
    answer = standing.ask("GET", "/api/sessions", headers={"X-Session-ID": name})
    assert (answer.status, answer.json["code"]) == (401, "UNKNOWN_SESSION")


def test_not_for_a_caller_that_needs_a_token(open_office: PostOffice) -> None:
    """Where the kernel does not vouch for the caller, an unknown name stays unknown."""
    with Gateway(open_office, first=WITHOUT_OWNERS) as unsure:
        headers = {"X-Session-ID": NEW}
        for method, path, body in (("GET", "/api/sessions", None), ("POST", "/api/sessions", {"id": NEW})):
            for more in ({}, {"Authorization": "Bearer x"}):
                assert unsure.ask(method, path, body, headers={**headers, **more}).status == 401


# --- sessions that come back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names_itself", [True, False])
def test_a_session_comes_back(gateway: Gateway, names_itself: bool) -> None:
    """It completed, and its user goes on: it works, takes prompts and reports again."""
    agent = ShippedClient(gateway, NEW, names_itself)
    assert agent.register(projectId="default").status == 201
    path = f"/api/sessions/{NEW}"
    for status in ("completed", "failed", "stopped"):
        note = {"type": "task_completed", "message": "Done."}
        assert agent.call("POST", f"{path}/timeline", note).status == 201
        assert agent.call("PATCH", path, {"status": status, "completedAt": 5}).json["status"] == status
        prompt = {"content": "more", "mode": "send", "senderSessionId": "ann"}
        assert gateway.ask("POST", f"{path}/prompt", prompt).status == 409
        # Its next user prompt; then an agent that is resumed registers once more.
        back = agent.call("PATCH", path, {"status": "working", "needsInput": {"active": False}})
        assert (back.status, back.json["status"], back.json["completedAt"]) == (200, "working", None)
        assert agent.register().json["status"] == "working"
        assert gateway.ask("POST", f"{path}/prompt", prompt).json == {"success": True}
        assert agent.call("POST", f"{path}/timeline", {"type": "progress", "message": "On."}).status == 201
    kinds = [line["type"] for line in agent.call("GET", f"{path}/timeline").json]
    assert [kind for kind in kinds if kind in ("task_completed", "progress")] == ["task_completed", "progress"] * 3


def test_an_ended_session_stays_ended_for_other_changes(gateway: Gateway) -> None:
    gateway.ask("PATCH", "/api/sessions/bob", {"status": "stopped"})
    for body in ({"name": "x"}, {"needsInput": {"active": True}}, {"taskIds": ["t"]}, {}):
        answer = gateway.ask("PATCH", "/api/sessions/bob", body)
        assert (answer.status, answer.json["code"]) == (401, "SESSION_ENDED")
    # Ended twice is ended.
    assert (
        gateway.ask("PATCH", "/api/sessions/bob", {"status": "working", "completedAt": 5}).json["status"] == "stopped"
    )


def test_only_the_session_itself_comes_back(open_office: PostOffice, gateway: Gateway) -> None:
    """With its token, where it has one; and the person, of one without."""
    with open_office.client() as client:
        client.start_session("eve", token="a secret", role="worker")
        client.end_session("eve")
    body, eve = {"status": "working"}, "/api/sessions/eve"
    for headers, status, code in (
        ({}, 401, "TOKEN_REQUIRED"),
        ({"X-Session-ID": "eve"}, 401, "TOKEN_REQUIRED"),
        ({"X-Session-ID": "eve", "Authorization": "Bearer x"}, 401, "TOKEN_MISMATCH"),
        ({"X-Session-ID": "ann"}, 403, "FORBIDDEN"),
        ({"X-Session-ID": NEW}, 401, "UNKNOWN_SESSION"),
    ):
        answer = gateway.ask("PATCH", eve, body, headers=headers)
        assert (answer.status, answer.json["code"]) == (status, code)
    own = {"X-Session-ID": "eve", "Authorization": "Bearer a secret"}
    assert gateway.ask("PATCH", eve, body, headers=own).json["status"] == "working"
    gateway.ask("PATCH", "/api/sessions/bob", {"status": "completed"})
    back = gateway.ask("PATCH", "/api/sessions/bob", {"status": "idle"}, headers={"X-Session-ID": "operator"})
    assert (back.status, back.json["status"]) == (200, "idle")
