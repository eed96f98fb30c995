"""The requests of the newest shipped clients, which name themselves in `X-Session-Id` on every call: an orchestrator
watches two workers to their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.gateways import Gateway
from support.shipped_clients import ShippedClient
from support.shipped_watch import Seen, ShippedWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

LEAD, ONE, TWO = "sess_1_lead00000", "sess_2_worker001", "sess_3_worker002"


@pytest.fixture
def gateway(open_office: PostOffice) -> Iterator[Gateway]:
    with Gateway(open_office) as made:
        yield made


@pytest.fixture
def team(gateway: Gateway) -> dict[str, ShippedClient]:
    """An orchestrator and two workers, each registered by its own client."""
    made = {session: ShippedClient(gateway, session, names_itself=True) for session in (LEAD, ONE, TWO)}
    for session, client in made.items():
        mode = "coordinator" if session == LEAD else "coordinated-worker"
        parent = {} if session == LEAD else {"parentSessionId": LEAD}
        assert client.register(metadata={"mode": mode}, taskIds=["task_1"], **parent).status == 201
    return made


def report(client: ShippedClient, kind: str, message: str) -> None:
    """Of `progress`, `task_blocked`, `error`, `task_completed`; the last one also ends the session."""
    assert client.call("POST", f"/api/sessions/{client.session}/timeline", {"type": kind, "message": message}).status
    if kind == "task_completed":
        end(client)


def end(client: ShippedClient, status: str = "completed") -> None:
    answer = client.call("PATCH", f"/api/sessions/{client.session}", {"status": status, "completedAt": 1})
    assert (answer.status, answer.json["status"]) == (200, status)


def change(client: ShippedClient, **fields: Any) -> None:
    answer = client.call("PATCH", f"/api/sessions/{client.session}", fields)
    assert answer.status == 200, answer.json


def prompt(client: ShippedClient, to: str, content: str, mode: str = "send") -> Any:
    body = {"content": content, "mode": mode, "senderSessionId": client.session}
    answer = client.call("POST", f"/api/sessions/{to}/prompt", body)
    return answer.status, answer.json.get("success", answer.json.get("code"))


def test_a_day_of_work_watched_to_its_end(gateway: Gateway, team: dict[str, ShippedClient]) -> None:
    lead, one, two = team.values()
    with ShippedWatch(gateway, ONE, TWO, headers={"X-Session-Id": LEAD}) as watch:
        change(one, status="working", needsInput={"active": False})
        report(one, "progress", "Half of it.")
        assert prompt(lead, ONE, "Hurry.\nPlease.", "paste") == (200, True)
        change(one, needsInput={"active": True, "message": "Which port?", "since": 1})
        change(one, status="working", needsInput={"active": False})
        report(two, "task_blocked", "No key.")
        report(two, "error", "It broke.")
        report(one, "task_completed", "All of it.")
        assert not watch.has_ended
        end(two, "failed")
        lines = watch.run()
    seen = [line for line in lines if line.session == ONE and line.what != "session:presence"]
    assert seen[0] == Seen(ONE, "working")
    assert set(seen) >= {
        Seen(ONE, "notify:progress: Half of it."),
        Seen(ONE, "progress: Half of it."),
        Seen(ONE, "message:created"),
        Seen(ONE, "session:prompt_send"),
        Seen(ONE, "notify:needs_input: Which port?"),
        Seen(ONE, "needs input: Which port?"),
        Seen(ONE, "task_completed: All of it."),
    }
    # The reason before the end.
    assert seen.index(Seen(ONE, "notify:session_completed: ")) < seen.index(Seen(ONE, "completed"))
    seen = [line for line in lines if line.session == TWO]
    assert Seen(TWO, "task_blocked: No key.") in seen
    assert Seen(TWO, "error: It broke.") in seen
    assert seen[-2:] == [Seen(TWO, "notify:session_failed: "), Seen(TWO, "failed")]


@pytest.mark.parametrize("status", ["completed", "failed", "stopped"])
def test_a_watch_of_a_session_that_has_ended_already_ends(
    gateway: Gateway, team: dict[str, ShippedClient], status: str
) -> None:
    end(team[ONE], status)
    with ShippedWatch(gateway, ONE) as watch:
        assert watch.run()[0] == Seen(ONE, status)
    with ShippedWatch(gateway, ONE, TWO) as watch:
        end(team[TWO])
        watch.run()


def test_a_watch_outlives_a_session_that_comes_back(gateway: Gateway, team: dict[str, ShippedClient]) -> None:
    """The end of one and its next prompt: the page that shows it sees it working again."""
    with ShippedWatch(gateway, ONE, TWO) as watch:
        end(team[ONE])
        change(team[ONE], status="working")
        assert prompt(team[LEAD], ONE, "And now?") == (200, True)
        report(team[ONE], "progress", "Again.")
        end(team[TWO])
        report(team[ONE], "task_completed", "Really.")
        lines = watch.run()
    states = [line.what for line in lines if line.session == ONE and line.what in ("completed", "working")]
    assert states == ["completed", "working", "completed"]
    assert watch.names.count("session:started") == 1


def test_prompts_that_are_refused(team: dict[str, ShippedClient]) -> None:
    lead, one, _ = team.values()
    assert prompt(lead, LEAD, "Me.") == (400, "INVALID")
    assert prompt(lead, "sess_9_absent000", "You?") == (404, "RECEIVER_NOT_FOUND")
    end(one)
    assert prompt(lead, ONE, "Still there?") == (409, "RECEIVER_ENDED")


def test_what_is_asked_of_the_session_itself(team: dict[str, ShippedClient]) -> None:
    """`session info`, `siblings`, `list`, `whoami`."""
    lead, one, _ = team.values()
    own = one.call("GET", f"/api/sessions/{ONE}").json
    assert (own["id"], own["status"], own["parentSessionId"], own["metadata"]) == (
        ONE,
        "working",
        LEAD,
        {"mode": "coordinated-worker"},
    )
    others = one.call("GET", f"/api/sessions/{ONE}/siblings").json
    assert [session["id"] for session in others] == [TWO]
    listed = lead.call("GET", "/api/sessions?projectId=proj_demo&active=true").json
    assert {LEAD, ONE, TWO} <= {session["id"] for session in listed}
    workers = lead.call("GET", f"/api/sessions?parentSessionId={LEAD}").json
    assert {session["id"] for session in workers} == {ONE, TWO}
