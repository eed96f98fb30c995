"""Groups over HTTP, with a real gateway and a real broker: the calls, their refusals, and the events of changes."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import connect

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from support.gateways import Answer, Gateway
    from support.post_office import PostOffice

WAIT_S = 20.0


@pytest.fixture
def team(open_office: PostOffice) -> PostOffice:
    """lead leads ann and bob; far is of another project."""
    open_office.session("lead", role="orchestrator")
    open_office.session("far", project="elsewhere")
    return open_office


def ask(gateway: Gateway, method: str, path: str, who: str | None = None, body: Any = None) -> Answer:
    headers = {"X-Session-ID": who} if who is not None else {}
    return gateway.ask(method, f"/api/groups{path}", body, headers=headers)


def members(answer: Answer) -> list[str]:
    return [member["session"] for member in answer.json["members"]]


def code(answer: Answer) -> tuple[int, str]:
    assert answer.json["error"] is True
    return answer.status, answer.json["code"]


def test_a_group_from_its_making_to_its_end(team: PostOffice, gateway: Gateway) -> None:
    made = ask(gateway, "PUT", "/reviews", "ann", {"members": ["bob"]})
    assert (made.status, made.headers["location"]) == (201, "/api/groups/reviews")
    assert (made.json["creator"], made.json["size"], members(made)) == ("ann", 1, ["bob"])
    again = ask(gateway, "PUT", "/@reviews", "ann", {"members": ["bob"]})
    assert (again.status, again.json) == (200, made.json)
    assert "location" not in again.headers
    joined = ask(gateway, "PUT", "/reviews/members/ann", "ann")
    assert (joined.status, members(joined)) == (200, ["bob", "ann"])
    assert ask(gateway, "PUT", "/reviews/members/ann", "ann").json == joined.json
    left = ask(gateway, "DELETE", "/reviews/members/bob", "ann")
    assert (left.status, members(left)) == (200, ["ann"])
    assert ask(gateway, "DELETE", "/reviews/members/bob", "ann").json == left.json
    assert ask(gateway, "GET", "/reviews", "far").json == left.json
    gone = ask(gateway, "DELETE", "/reviews", "lead")
    assert (gone.status, gone.body) == (204, b"")
    assert code(ask(gateway, "DELETE", "/reviews", "lead")) == (404, "GROUP_NOT_FOUND")


def test_the_list_is_paged_and_has_members_where_they_are_asked_for(team: PostOffice, gateway: Gateway) -> None:
    assert ask(gateway, "GET", "").json == []
    for name in ("a", "b", "c"):
        ask(gateway, "PUT", f"/{name}", None, {"members": ["bob"]})
    ask(gateway, "PUT", "/d", None, {"members": ["far"]})
    listed = ask(gateway, "GET", "?limit=2")
    assert [group["name"] for group in listed.json] == ["a", "b"]
    assert "members" not in listed.json[0]
    path = listed.headers["link"].partition(">")[0].removeprefix("<")
    rest = gateway.ask("GET", path)
    assert [group["name"] for group in rest.json] == ["c", "d"]
    assert "link" not in rest.headers
    shown = ask(gateway, "GET", "?members=true&projectId=elsewhere").json
    assert [(group["name"], group["members"][0]["session"]) for group in shown] == [("d", "far")]
    assert code(ask(gateway, "GET", "?limit=0")) == (400, "INVALID")


@pytest.mark.parametrize(
    ("method", "path", "who", "body", "expected"),
    [
        ("GET", "/nothing", None, None, (404, "GROUP_NOT_FOUND")),
        ("PUT", "/all", "ann", {}, (400, "INVALID")),
        ("PUT", "/docs", "ann", {}, (409, "CONFLICT")),
        ("PUT", "/new", "ann", {"members": ["ghost"]}, (404, "SESSION_NOT_FOUND")),
        ("PUT", "/new", "ann", {"projectId": "elsewhere"}, (403, "FORBIDDEN")),
        ("PUT", "/new", "ann", {"members": ["far"]}, (403, "ROLE_FORBIDDEN")),
        ("PUT", "/new", "ann", {"color": "red"}, (400, "INVALID")),
        ("PUT", "/new", "ghost", {}, (401, "UNKNOWN_SESSION")),
        ("PUT", "/docs/members/far", "far", None, (403, "FORBIDDEN")),
        ("PUT", "/docs/members/bob", "ann", None, (403, "FORBIDDEN")),
        ("PUT", "/docs/members/operator", None, None, (400, "INVALID")),
        ("DELETE", "/docs/members/lead", "ann", None, (403, "FORBIDDEN")),
        ("DELETE", "/docs/members/ghost", "lead", None, (404, "SESSION_NOT_FOUND")),
        ("DELETE", "/docs", "ann", None, (403, "FORBIDDEN")),
        ("POST", "/docs", "ann", {}, (405, "METHOD_NOT_ALLOWED")),
    ],
)
def test_what_is_refused(
    team: PostOffice, gateway: Gateway, method: str, path: str, who: str | None, body: Any, expected: tuple[int, str]
) -> None:
    """With a step for a caller that has no shell."""
    ask(gateway, "PUT", "/docs", None, {"members": ["lead"]})
    answer = ask(gateway, method, path, who, body)
    assert code(answer) == expected
    hint = answer.json.get("hint", "")
    assert hint
    assert "maestro group" not in hint


def test_members_hear_of_changes_over_websocket(team: PostOffice, gateway: Gateway) -> None:
    """And other sessions do not."""
    ask(gateway, "PUT", "/reviews", "lead", {"members": ["bob"]})
    names = ("bob", "ann", "lead")
    with contextlib.ExitStack() as stack:
        opened = {name: stack.enter_context(_socket(gateway, name)) for name in names}
        for socket in opened.values():
            _await(socket, "type", "pong")
        ask(gateway, "PUT", "/reviews/members/lead", "lead")
        ask(gateway, "DELETE", "/reviews", "lead")
        heard = {}
        for name in ("bob", "lead"):
            heard[name] = [json.loads(opened[name].recv(timeout=WAIT_S)) for _ in range(2)]
        assert heard["bob"] == heard["lead"]
        changed, deleted = heard["bob"]
        assert (changed["event"], deleted["event"]) == ("group:changed", "group:deleted")
        assert changed["data"] == {
            "sessionId": "lead", "by": "lead", "group": "reviews", "members": ["bob", "lead"], "joined": ["lead"],
            "projectId": "default",
        }  # fmt: skip
        assert deleted["data"]["members"] == ["bob", "lead"]
        opened["ann"].send(json.dumps({"type": "ping"}))
        assert json.loads(opened["ann"].recv(timeout=WAIT_S))["type"] == "pong"


def test_one_session_s_stream_has_the_changes_of_its_groups(team: PostOffice, gateway: Gateway) -> None:
    """A replay of one session's events, which the broker chooses."""
    ask(gateway, "PUT", "/reviews", "lead", {"members": ["bob"]})
    ask(gateway, "PUT", "/others", "lead", {"members": ["ann"]})
    with _socket(gateway, "lead") as socket:
        socket.send(json.dumps({"type": "subscribe", "sessionIds": ["bob"], "since": 0}))
        changed = _await(socket, "event", "group:changed")
    assert changed["data"]["group"] == "reviews"


def _socket(gateway: Gateway, session: str) -> ClientConnection:
    return connect(f"{gateway.ws_url}/ws", additional_headers={"X-Session-ID": session})


def _await(socket: ClientConnection, field: str, value: str) -> dict[str, Any]:
    """The first frame with this value; `pong` is asked for."""
    if value == "pong":
        socket.send(json.dumps({"type": "ping"}))
    while True:
        frame: dict[str, Any] = json.loads(socket.recv(timeout=WAIT_S))
        if frame.get(field) == value:
            return frame
