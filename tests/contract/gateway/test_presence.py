"""Presence over HTTP: what is known of sessions when asked, and each change at once to those that may see it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_runtime import hook_state
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from support.gateways import Gateway

from .test_events import FLAT, Stream, ask, nothing_more, receive, websocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice


@pytest.fixture
def gateway(alone: Gateway) -> Gateway:
    return alone


class Agent:
    """A process to which bob belongs, and the signs of its hooks."""

    def __init__(self, office: PostOffice) -> None:
        self.process = subprocess.Popen(["sleep", "600"])
        self._path = hook_state.path(office.data, "bob")
        start = pid_start(self.process.pid)
        self._sign = HookState("idle", "Event", "codex", self.process.pid, start)
        with Client(office.router(), Caller("bob")) as own:
            own.touch_session(agent="codex", pid=self.process.pid, pidStart=start)

    def sign(self, state: str, detail: str | None = None) -> None:
        hook_state.write(self._path, self._sign._replace(state=state, detail=detail))  # type: ignore[arg-type]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def agent(open_office: PostOffice, alone: Gateway) -> Iterator[Agent]:
    made = Agent(open_office)
    yield made
    made.close()


def presence_of(frame: dict[str, Any]) -> tuple[str, str, str | None]:
    assert frame["event"] == "session:presence", frame
    return frame["data"]["sessionId"], frame["data"]["status"], frame["data"].get("detail")


def test_each_change_comes_to_those_that_may_see_the_session(
    open_office: PostOffice, gateway: Gateway, agent: Agent
) -> None:
    """The session itself, an orchestrator of its project and the operator; not its colleague, not another project."""
    open_office.session("chief", role="orchestrator", project="default")
    open_office.session("foreign", role="orchestrator", project="other")
    with (
        websocket(gateway) as operator,
        websocket(gateway, session="bob") as own,
        websocket(gateway, session="chief") as chief,
        websocket(gateway, session="ann") as ann,
        websocket(gateway, session="foreign") as foreign,
    ):
        agent.sign("waiting", "permission:Bash")
        for opened in (operator, own, chief):
            assert presence_of(receive(opened)) == ("bob", "waiting", "permission:Bash")
        agent.process.kill()
        for opened in (operator, own, chief):
            frame = receive(opened)
            assert presence_of(frame) == ("bob", "gone", None)
        for opened in (ann, foreign):
            nothing_more(opened)
        data = dict(frame["data"])
        assert isinstance(data.pop("since"), int)
        assert data == {
            "sessionId": "bob",
            "id": "bob",
            "name": None,
            "role": "worker",
            "projectId": "default",
            "status": "gone",
            "by": "process",
        }
        assert "index" not in frame, "it is no event of a record"


def test_a_presence_frame_is_a_place_to_resume_from(open_office: PostOffice, gateway: Gateway, agent: Agent) -> None:
    """Its `lsn` is one up to which the client has every event, and no replay repeats it."""
    with websocket(gateway) as opened:
        open_office.client("ann").send("bob", "one")
        frame = {"event": ""}
        agent.sign("working")
        seen = []
        while frame["event"] != "session:presence":
            frame = receive(opened)
            seen.append((frame["lsn"], frame["event"]))
        lsn = frame["lsn"]
    assert lsn == seen[-1][0]
    before = {at for at, name in seen if name != "session:presence"}
    open_office.client("ann").send("bob", "two")
    with websocket(gateway, path=f"{FLAT}&since={lsn}") as opened:
        after: list[dict[str, Any]] = []
        while not after or after[-1]["event"] != "session:message_received" or after[-1]["data"]["message"] != "two":
            after.append(receive(opened))
    names = [frame["event"] for frame in after]
    assert "session:presence" not in names
    texts = {frame["data"]["message"] for frame in after if "message" in frame["data"]}
    assert texts == ({"two"} if before else {"one", "two"})


def test_a_subscription_to_one_session_has_its_presence_alone(
    open_office: PostOffice, gateway: Gateway, agent: Agent
) -> None:
    with websocket(gateway) as opened:
        assert ask(opened, type="subscribe", sessionIds=["ann"])["type"] == "subscribed"
        agent.sign("working")
        with Client(open_office.router(), Caller("ann")) as own:
            own.touch_session(status="working")
        names = ["session:status_changed", "session:updated"]
        assert [receive(opened)["event"] for _ in names] == names
        assert presence_of(receive(opened)) == ("ann", "working", None)


def test_a_stream_of_server_sent_events(open_office: PostOffice, gateway: Gateway, agent: Agent) -> None:
    stream = Stream(gateway, "bob", **{"X-Session-ID": "bob"})
    agent.sign("idle")
    name, frame = next(iter(stream))
    assert (name, presence_of(frame)) == ("session:presence", ("bob", "idle", None))
    stream.close()


def test_changes_come_again_after_a_restart_of_the_broker(
    open_office: PostOffice, gateway: Gateway, agent: Agent
) -> None:
    with websocket(gateway) as opened:
        agent.sign("working")
        assert presence_of(receive(opened))[1] == "working"
        open_office.kill()
        open_office.start()
        # Until the gateway's subscription is in force again, changes are missed.
        seen: list[str] = []
        while not seen:
            for state in ("idle", "working"):
                agent.sign(state)
                with contextlib.suppress(TimeoutError):
                    seen.append(presence_of(json.loads(opened.recv(timeout=0.5)))[1])
        assert seen[0] in ("idle", "working")


def test_the_call(open_office: PostOffice, gateway: Gateway, agent: Agent) -> None:
    agent.sign("waiting", "permission:Bash")
    sent = open_office.client("ann").send("bob", "one")
    with httpx.Client(base_url=gateway.url) as client:
        [ann, bob] = client.get("/api/presence").json()["presence"]
        assert (ann["session"], ann["state"], ann["unread"]) == ("ann", "unknown", 0)
        assert isinstance(bob.pop("since"), int)
        assert bob.pop("wake")["state"] == "off", "its hooks named no way to wake it"
        assert bob == {
            "session": "bob",
            "role": "worker",
            "projectId": "default",
            "agent": "codex",
            "state": "waiting",
            "by": "hook",
            "detail": "permission:Bash",
            "unread": 1,
            "oldestAt": sent["createdAt"],
        }
        [seen_by_ann] = client.get("/api/presence?session=bob", headers={"X-Session-ID": "ann"}).json()["presence"]
        assert "unread" not in seen_by_ann
        assert client.get("/api/presence?projectId=nothing").json() == {"presence": []}
        first = client.get("/api/presence?limit=1")
        assert [line["session"] for line in first.json()["presence"]] == ["ann"]
        following = client.get(first.links["next"]["url"])
        assert [line["session"] for line in following.json()["presence"]] == ["bob"]
        assert "next" not in following.links
        refused = client.get("/api/presence?session=nowhere")
        assert (refused.status_code, refused.json()["code"]) == (404, "SESSION_NOT_FOUND")
        client.patch("/api/sessions/bob", json={"status": "completed"})
        [ended] = client.get("/api/presence?session=bob").json()["presence"]
        assert ended["state"] == "ended"
        assert [line["session"] for line in client.get("/api/presence").json()["presence"]] == ["ann"]
