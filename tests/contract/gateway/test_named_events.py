"""The form of events that clients get unless they ask for the other: `type` is the event's name, and a message is one
object in `data`."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from support.gateways import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

WAIT_S = 20.0


@pytest.fixture
def gateway(alone: Gateway) -> Gateway:
    return alone


@contextlib.contextmanager
def websocket(gateway: Gateway, path: str = "/", session: str | None = None) -> Iterator[ClientConnection]:
    headers = {} if session is None else {"X-Session-ID": session}
    with connect(gateway.ws_url + path, additional_headers=headers, compression=None, max_queue=None) as opened:
        yield opened


def receive(opened: ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(opened.recv(timeout=WAIT_S))
    return frame


def until(opened: ClientConnection, name: str) -> list[dict[str, Any]]:
    """The frames up to one of this type, without those about presence."""
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] != name:
        frame = receive(opened)
        if frame["type"] != "session:presence":
            frames.append(frame)
    return frames


def ask(opened: ClientConnection, **body: object) -> dict[str, Any]:
    opened.send(json.dumps(body))
    return receive(opened)


def nothing_more(opened: ClientConnection) -> None:
    """No frame waits but those about presence."""
    opened.send(json.dumps({"type": "ping"}))
    assert [frame["type"] for frame in until(opened, "pong")] == ["pong"]


# --- messages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/ws"])
def test_the_frames_of_a_message(open_office: PostOffice, gateway: Gateway, path: str) -> None:
    ann, bob = open_office.client("ann"), open_office.client("bob")
    with websocket(gateway, path) as opened:
        sent = ann.send("bob", "Hello.", metadata={"priority": "high"})["id"]
        frames = until(opened, "session:message_received")
        bob.confirm([sent], "read", via="cli")
        frames += until(opened, "message:read")
        frames += until(opened, "session:message_delivered")
        bob.delete([sent])
        frames += until(opened, "message:deleted")
    message = {**frames[0]["data"]["message"], "status": "read"}
    assert (message["id"], message["message"], message["metadata"]) == (sent, "Hello.", {"priority": "high"})
    assert [(frame["type"], frame["data"]["sessionId"], frame["data"].get("status")) for frame in frames] == [
        ("message:created", "bob", None),
        ("session:message_sent", "ann", None),
        ("session:message_received", "bob", None),
        ("message:delivered", "bob", "delivered"),
        ("session:message_delivered", "ann", "delivered"),
        ("message:read", "bob", "read"),
        ("session:message_delivered", "ann", "read"),
        ("message:deleted", "bob", None),
    ]
    for frame in frames:
        data = frame["data"]
        assert frame["event"] == frame["type"]
        assert set(frame) == {"type", "event", "data", "timestamp", "lsn", "index"}
        assert (data["messageId"], data["from"], data["to"]) == (sent, "ann", "bob")
        # A shipped client takes `data.id`, else `data.sessionId`, for the session of the frame.
        assert "id" not in data
    assert [type(frame["data"]["message"]) for frame in frames[:3]] == [dict] * 3


def test_server_sent_events_have_the_same_objects(open_office: PostOffice, gateway: Gateway) -> None:
    url = f"{gateway.url}/api/sessions/ann/messages/stream"
    with httpx.stream("GET", url, timeout=WAIT_S) as response, websocket(gateway) as opened:
        lines = response.iter_lines()
        assert next(lines).startswith("retry:")
        open_office.client("ann").send("bob", "Hello.")
        name = next(line for line in lines if line.startswith("event: "))
        data = json.loads(next(lines).removeprefix("data: "))
        frame = until(opened, "session:message_sent")[-1]
    assert name == "event: session:message_sent"
    assert data == frame


@pytest.mark.parametrize("path", ["/?frames=nested", "/ws?frames=event"])
def test_an_unknown_form_is_refused(gateway: Gateway, path: str) -> None:
    with websocket(gateway, path) as opened:
        refusal = receive(opened)
    assert (refusal["type"], refusal["code"]) == ("error", "INVALID")
    answer = gateway.ask("GET", "/api/sessions/ann/messages/stream?frames=nested")
    assert (answer.status, answer.json["code"]) == (400, "INVALID")


def test_a_prompt_has_its_text_and_how_to_enter_it(open_office: PostOffice, gateway: Gateway) -> None:
    """For those that may read it. A prompt without its text would be none, so others get no such frame."""
    open_office.session("safe", token="t" * 20)
    ann = open_office.client("ann")
    with websocket(gateway) as opened:
        ann.send("safe", "Not for you.", metadata={"type": "command"})
        first = ann.send("bob", "Go on.", metadata={"type": "command", "data": {"mode": "paste"}})
        ann.send("bob", "And on.", metadata={"type": "command", "data": {"mode": "dance"}})
        ann.send("bob", "No prompt.")
        ann.send("bob", "The last.", metadata={"type": "command", "data": ["send"]})
        frames: list[dict[str, Any]] = []
        while not frames or frames[-1]["content"] != "The last.":
            frames.append(until(opened, "session:prompt_send")[-1]["data"])
    assert [(data["content"], data["mode"]) for data in frames] == [
        ("Go on.", "paste"),
        ("And on.", "send"),
        ("The last.", "send"),
    ]
    sent = open_office.look(first["id"])
    assert frames[0] == {
        "sessionId": "bob",
        "messageId": first["id"],
        "content": "Go on.",
        "mode": "paste",
        "senderSessionId": "ann",
        "senderProjectId": "default",
        "targetProjectId": "default",
        "timestamp": sent["createdAt"],
    }


# --- sessions ------------------------------------------------------------------------------------------------


def test_the_life_of_a_session(open_office: PostOffice, gateway: Gateway) -> None:
    operator = open_office.client()
    with websocket(gateway) as opened:
        operator.start_session("carol", name="reviewer", project_id="p1", metadata={"mode": "worker"})
        carol = open_office.client("carol")
        carol.touch_session(status="working")
        carol.touch_session(note={"type": "progress", "message": "Half.", "timestamp": 5})
        carol.touch_session(note={"type": "task_blocked", "message": "No key.", "timestamp": 6})
        carol.touch_session(needsInput={"active": True, "message": "Which?", "since": 7})
        carol.touch_session(needsInput={"active": False})
        carol.end_session()
        operator.start_session("carol")
        operator.end_session("carol", status="failed")
        frames = until(opened, "notify:session_failed") + until(opened, "session:ended")
    assert [frame["type"] for frame in frames] == [
        "session:created", "session:started",
        "session:status_changed", "session:updated",
        "notify:progress", "session:updated",
        "session:updated",
        "notify:needs_input", "session:updated",
        "session:updated",
        "notify:session_completed", "session:status_changed", "session:updated", "session:ended",
        "session:status_changed", "session:updated", "session:started",
        "notify:session_failed", "session:status_changed", "session:updated", "session:ended",
    ]  # fmt: skip
    assert {frame["data"]["sessionId"] for frame in frames} == {"carol"}
    of = {name: [frame["data"] for frame in frames if frame["type"] == name] for name in {f["type"] for f in frames}}
    about = {"sessionId": "carol", "name": "reviewer"}
    assert of["notify:progress"] == [{**about, "message": "Half."}]
    assert of["notify:needs_input"] == [{**about, "message": "Which?"}]
    assert of["notify:session_completed"] == [about]
    assert [(data["id"], data["was"], data["status"]) for data in of["session:status_changed"]] == [
        ("carol", "idle", "working"),
        ("carol", "working", "completed"),
        ("carol", "completed", "idle"),
        ("carol", "idle", "failed"),
    ]
    shown = gateway.ask("GET", "/api/sessions/carol").json
    for data in of["session:created"] + of["session:updated"]:
        # The whole session, with every documented field.
        assert data.keys() - {"sessionId"} <= shown.keys() | {"completedAt", "needsInput", "presence"}
        assert (data["id"], data["metadata"], data["projectId"]) == ("carol", {"mode": "worker"}, "p1")
    assert [data["status"] for data in of["session:updated"]] == [
        *["working"] * 5, "completed", "idle", "failed",
    ]  # fmt: skip


def test_a_forgotten_session_is_deleted(post_office: PostOffice) -> None:
    post_office.start(retention="2s")
    with Gateway(post_office) as gateway, websocket(gateway) as opened:
        post_office.client().start_session("brief")
        post_office.client().end_session("brief")
        assert until(opened, "session:deleted")[-1]["data"]["id"] == "brief"


# --- subscriptions -------------------------------------------------------------------------------------------


def test_a_session_that_has_ended_already_is_said_to_have_ended(open_office: PostOffice, gateway: Gateway) -> None:
    """A client that waits for the end of several sessions may begin after one of them has ended."""
    open_office.sessions("carol", "dora")
    open_office.client("carol").end_session(status="stopped")
    with websocket(gateway) as opened:
        answer = ask(opened, type="subscribe", sessionIds=["carol", "dora", "ghost"])
        assert answer["type"] == "subscribed"
        frame = receive(opened)
        assert (frame["type"], frame["data"]["id"], frame["data"]["status"]) == (
            "session:updated",
            "carol",
            "stopped",
        )
        assert (frame["event"], frame["lsn"]) == (frame["type"], answer["lsn"])
        nothing_more(opened)
    with websocket(gateway, session="bob") as opened:
        assert ask(opened, type="subscribe", sessionIds=["carol"])["type"] == "subscribed"
        nothing_more(opened)  # a worker sees only what it is a party of


def test_a_subscription_to_a_project(open_office: PostOffice, gateway: Gateway) -> None:
    operator = open_office.client()
    for session, project in (("in1", "shop"), ("in2", "shop"), ("out", "office")):
        operator.start_session(session, project_id=project, role="orchestrator")
    with websocket(gateway) as opened:
        assert ask(opened, type="subscribe", projectId="shop") | {"lsn": 0} == {
            "type": "subscribed",
            "projectId": "shop",
            "lsn": 0,
        }
        open_office.client("out").touch_session(status="working")
        open_office.client("out").send("ann", "Not in it.")
        open_office.client("in1").send("out", "One.")
        open_office.client("in2").touch_session(status="working")
        frames = until(opened, "session:updated")
        assert [(frame["type"], frame["data"]["sessionId"]) for frame in frames] == [
            ("session:message_sent", "in1"),
            ("session:status_changed", "in2"),
            ("session:updated", "in2"),
        ]
        opened.send(json.dumps({"type": "unsubscribe"}))
        assert [frame["type"] for frame in until(opened, "unsubscribed")] == ["unsubscribed"]
        open_office.client("out").send("ann", "All again.")
        assert until(opened, "message:created")[-1]["data"]["message"]["message"] == "All again."


def test_frames_of_unknown_types_are_ignored(gateway: Gateway) -> None:
    with websocket(gateway) as opened:
        for kind in ("heartbeat", "keepalive", "register", ""):
            opened.send(json.dumps({"type": kind, "sessionId": "ann", "timestamp": 1}))
        pong = ask(opened, type="ping")
        assert pong["type"] == "pong"
        assert isinstance(pong["timestamp"], int)
