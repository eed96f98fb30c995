"""What `maestro wake` shows of a session, and what keeps a test of a wake from being sent."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_cli.waking import wake_table, wake_trial
from maestro_schemas.texts import waking

NOW_MS = 100_000_000
READY = {"state": "ready", "by": waking.CODEX, "at": NOW_MS - 60_000}


def session(wakes: dict[str, Any] | None = None, state: str = "idle", **more: Any) -> Any:
    presence: dict[str, Any] = {"state": state, "since": NOW_MS - 5_000, "by": "hook"}
    if wakes is not None:
        presence["wake"] = wakes
    found = {"id": "sess_1", "name": "ann", "agent": "codex", "presence": presence}
    return {name: value for name, value in {**found, **more}.items() if value is not None}


def test_agents_alone_and_the_own_one_first() -> None:
    found = [session(id="a", name="zoe"), session(id="b", name="amy"), session(id="c", agent=None)]
    assert [one["id"] for one in wake_table.of_agents(found, None)] == ["b", "a"]
    assert [one["id"] for one in wake_table.of_agents(found, "a")] == ["a", "b"]
    assert wake_table.label(session(name=None)) == "sess_1"


@pytest.mark.parametrize(
    ("found", "state", "answered", "reason"),
    [
        (session(READY), "ready", True, None),
        (session({**READY, "state": "woken"}), "woken", False, None),
        (session({"state": "ready", "by": waking.CODEX}), "ready", None, None),
        (session({"state": "held", "reason": "too many"}), "held", None, "too many"),
        (session(wake="off"), "off", None, "it is switched off for this session: maestro wake --on"),
        (session(wakeBy=waking.CODEX), "none", None, "its agent is gone"),
        (session(), "none", None, waking.not_installed("codex")),
        (session(agent="gemini-cli"), "none", None, "nothing wakes gemini-cli but keys in its terminal"),
        (session(agent=None), "none", None, "no agent has reported itself in it"),
        (session(id="operator", agent=None), "none", None, "it is the person, and no agent"),
    ],
)
def test_what_is_known_of_a_session(found: Any, state: str, answered: bool | None, reason: str | None) -> None:
    document = wake_table.document(found, NOW_MS)
    assert (document["state"], document.get("answered")) == (state, answered)
    assert document.get("reason", "").startswith(reason or "")
    assert ("reason" in document) is (reason is not None)
    head, row = wake_table.table([found], found["id"], NOW_MS)
    assert head.startswith("NAME")
    assert row.startswith("ann (you)")


def test_on_a_terminal_a_reason_of_several_is_said_once() -> None:
    found = [session(id="a", name="ann"), session(id="b", name="ben"), session(READY, id="c", name="cid")]
    lines = wake_table.table(found, None, NOW_MS, 80)
    assert [line.split()[-1] for line in lines[1:3]] == ["(1)", "(1)"]
    assert " ".join("\n".join(lines[4:]).split()) == f"(1) {waking.not_installed('codex')}"
    assert max(map(len, lines)) <= 80
    assert len(wake_table.table(found, None, NOW_MS)) == 4


def test_another_system_wakes_none() -> None:
    assert "on Linux only" in wake_table.unable("codex", "darwin")


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (session(READY), None),
        (session({**READY, "state": "woken"}), None),
        (session(READY, "working", presence={"state": "working", "since": NOW_MS - 70_000, "wake": READY}), None),
        (session(READY, "working"), "it is working, and only an idle agent is woken"),
        (session(READY, "waiting"), "it is waiting, and only an idle agent is woken"),
        (session(READY, "unknown"), "no hook of it has given a sign yet"),
        (session(READY, "gone"), "its agent is gone"),
        (session(READY, completedAt=1), "its agent is gone"),
        (session(READY, watching=True), "a program watches its inbox, and would take the message first"),
        (session({"state": "off", "reason": "no inotify"}), "no inotify"),
        (session({"state": "unanswered"}), "it was woken twice without an answer"),
        (session(READY, wake="off"), "it is switched off for this session"),
        (session(agent=None), "no agent has reported itself in it"),
        (session(), waking.not_installed("codex")),
    ],
)
def test_what_keeps_a_test_from_being_sent(found: Any, what: str | None) -> None:
    problem = wake_trial.obstacle(found, None, is_person=True, grace_ms=60_000, at_ms=NOW_MS)
    assert (problem is None) is (what is None)
    if problem is not None:
        assert problem[0].startswith(what or "")
        assert problem[1], "the next step"


def test_an_agent_itself_and_one_that_only_a_person_releases() -> None:
    itself = wake_trial.obstacle(session(READY), "sess_1", is_person=False, grace_ms=1, at_ms=NOW_MS)
    assert itself is not None
    assert itself[0].startswith("it runs this command")
    held = session({"state": "held", "reason": "ten turns"})
    assert wake_trial.obstacle(held, None, is_person=True, grace_ms=1, at_ms=NOW_MS) is None
    refused = wake_trial.obstacle(held, None, is_person=False, grace_ms=1, at_ms=NOW_MS)
    assert refused is not None
    assert refused[0] == "ten turns"
