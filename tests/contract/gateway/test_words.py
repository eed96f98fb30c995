"""The words of an error over HTTP: a step of a caller that has only HTTP, and the values that are allowed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import connect

from support.wire_http import WAIT_S

if TYPE_CHECKING:
    from support.gateways import Gateway
    from support.post_office import PostOffice

SHELL = re.compile(r"\bmaestro [a-z]|`maestro|MAESTRO_[A-Z]|\beval\b|\$\(|(^|[\s`(])--[a-z]|\bshell\b")
ANN = {"X-Session-ID": "ann"}
TOM = {"X-Session-ID": "tom"}


@pytest.fixture(scope="module")
def gateway(office: PostOffice, standing: Gateway) -> Gateway:
    """With a session that has a token, one that has ended, and one whose mailbox is another's."""
    with office.client() as client:
        client.start_session("tom", token="secret")
        client.start_session("gone")
        client.end_session("gone")
    return standing


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code", "step"),
    [
        ("POST", "/api/sessions/bob/messages", {"message": "x"}, {}, "NO_SESSION", "X-Session-ID"),
        ("POST", "/api/sessions/bob/messages", {"message": "x"}, {"X-Session-ID": "no"}, "UNKNOWN_SESSION", "POST"),
        ("POST", "/api/sessions/bob/messages", {"message": "x"}, {"X-Session-ID": "gone"}, "SESSION_ENDED", "POST"),
        ("POST", "/api/sessions/bob/messages", {"message": "x"}, TOM, "TOKEN_REQUIRED", "Authorization: Bearer"),
        (
            "POST",
            "/api/sessions/bob/messages",
            {"message": "x"},
            {**TOM, "Authorization": "Bearer wrong"},
            "TOKEN_MISMATCH",
            "",
        ),
        ("POST", "/api/sessions/bobb/messages", {"message": "x"}, ANN, "RECEIVER_NOT_FOUND", ""),
        ("POST", "/api/sessions/gone/messages", {"message": "x"}, ANN, "RECEIVER_ENDED", ""),
        ("POST", "/api/sessions/parent/messages", {"message": "x"}, ANN, "RECEIVER_NOT_FOUND", ""),
        ("GET", "/api/sessions/bob/messages", None, ANN, "FORBIDDEN", "X-Session-ID"),
        ("GET", "/api/sessions/no/messages", None, {}, "SESSION_NOT_FOUND", "Here: "),
        ("GET", "/api/messages/msg_1", None, ANN, "MESSAGE_NOT_FOUND", ""),
        ("DELETE", "/api/messages/msg_1", None, {}, "MESSAGE_NOT_FOUND", ""),
        ("POST", "/api/sessions", {"id": "x", "role": "orchestrator"}, ANN, "ROLE_FORBIDDEN", ""),
        ("POST", "/api/sessions", {"id": "ann", "name": "bob"}, {}, "NAME_TAKEN", ""),
        ("POST", "/api/sessions", {"id": "tom"}, {}, "NAME_TAKEN", ""),
        ("PATCH", "/api/sessions/bob", {"status": "working"}, ANN, "FORBIDDEN", ""),
        ("PATCH", "/api/sessions/gone", {"name": "other"}, {}, "SESSION_ENDED", "POST"),
        ("GET", "/api/sessions/ann/dead-letters", None, {"X-Session-ID": "bob"}, "FORBIDDEN", ""),
        ("GET", "/api/sessions/bob/messages/stream", None, ANN, "FORBIDDEN", ""),
        ("POST", "/api/sessions/bob/mail", {"message": "x"}, {}, "NO_SESSION", ""),
        ("GET", "/nowhere", None, {}, "NOT_FOUND", "/docs"),
    ],
)
def test_the_hint_of_a_refusal(
    gateway: Gateway, method: str, path: str, body: Any, headers: dict[str, str], code: str, step: str
) -> None:
    got = gateway.ask(method, path, body, headers=headers).json
    assert got["code"] == code, got
    assert step in got["hint"], got["hint"]
    assert got["hint"]
    for words in (got["message"], got["hint"]):
        assert not SHELL.search(words), words


def test_the_hint_of_a_websocket(gateway: Gateway) -> None:
    """The same words in a frame, and in the reason of the end."""
    with connect(f"{gateway.ws_url}/ws?sessionId=no") as events:
        frame = json.loads(events.recv(timeout=WAIT_S))
    assert frame["code"] == "UNKNOWN_SESSION"
    assert "POST /api/sessions" in frame["hint"]


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "values"),
    [
        (
            "POST",
            "/api/sessions/bob/messages",
            {"metadata": {"priority": "asap"}},
            "metadata.priority",
            "high, low, medium",
        ),
        ("POST", "/api/sessions/bob/messages", {"metadata": {"type": "x"}}, "metadata.type", "command"),
        ("POST", "/api/sessions/bob/messages", {"onEnded": "drop"}, "", "error, queue, redirect"),
        ("PATCH", "/api/messages/msg_1", {"status": "seen"}, "status", "delivered, read"),
        ("POST", "/api/sessions", {"role": "king"}, "role", "orchestrator, worker"),
        ("POST", "/api/sessions", {"status": "asleep"}, "status", "completed, failed, idle"),
        ("POST", "/api/sessions", {"status": "failed"}, "", "idle, spawning, working"),
        ("PATCH", "/api/sessions/bob", {"status": "asleep"}, "status", "completed, failed, idle"),
        ("GET", "/api/sessions?status=asleep", None, "", "idle"),
        ("GET", "/api/sessions/bob/messages?status=lost", None, "", "pending"),
        ("GET", "/api/sessions/bob/messages?type=lost", None, "type", "command"),
    ],
)
def test_a_value_that_is_not_allowed(
    gateway: Gateway, method: str, path: str, body: dict[str, Any] | None, field: str, values: str
) -> None:
    """The error lists those that are."""
    if body is not None and path.endswith("/messages"):
        body = {"message": "x", **body}
    got = gateway.ask(method, path, body, headers=ANN if path.endswith("/messages") else {}).json
    assert got["code"] == "INVALID", got
    whole = f"{got['message']} {got['hint']}"
    assert (f"`{field}`" if field else "") in whole, whole
    assert values in whole, whole


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "x", "mesage": "y"}, "the request has no field `mesage`; its fields are: message, metadata"),
        ({"message": "x", "metadata": {"prio": 1}}, "`metadata` has no field `prio`; its fields are: "),
    ],
)
def test_a_field_that_is_not_known(gateway: Gateway, body: dict[str, Any], words: str) -> None:
    got = gateway.ask("POST", "/api/sessions/bob/messages", body, headers=ANN).json
    assert (got["code"], words in got["message"]) == ("INVALID", True), got


def test_a_frame_without_a_kind(gateway: Gateway) -> None:
    """One of an unknown kind is ignored."""
    with connect(f"{gateway.ws_url}/ws") as events:
        events.send('{"type": "follow"}')
        events.send('{"kind": "follow"}')
        frame = json.loads(events.recv(timeout=WAIT_S))
    assert frame["code"] == "INVALID"
    assert "`type`" in frame["message"]


def test_a_long_value_is_not_sent_back(gateway: Gateway) -> None:
    got = gateway.ask("PATCH", "/api/messages/msg_1", {"status": "x" * 1_000_000})
    assert len(got.body) < 600
