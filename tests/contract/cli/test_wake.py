"""`maestro wake`: what it shows, sets and refuses; and a test that ends with the hook of a woken turn."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_cli.hooks import shell_script
from maestro_cli.waking.wake_trial import TrialOutcome
from maestro_runtime import paths
from maestro_schemas.texts import waking
from support.agent_processes import Agent
from support.cli_shell import Lines, Shell, open_shell, said_id
from support.hook_calls import Agent as HookedAgent
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def person() -> Iterator[Shell]:
    with open_shell() as opened:
        yield opened


@pytest.fixture
def started() -> Iterator[list[Agent]]:
    made: list[Agent] = []
    yield made
    for agent in made:
        agent.kill()


def agent_of(started: list[Agent], shell: Shell, name: str = "claude-code", **fields: Any) -> Agent:
    """An idle agent in a session that is woken by its hooks, as its broker knows it."""
    shell_script.write(shell.data, sys.executable)
    agent = Agent(shell, name)
    started.append(agent)
    agent.hook("SessionStart")
    with shell.client() as client:
        client.touch_session(shell.session_id, **{"wakeBy": waking.CLAUDE_CODE, **fields})
    agent.hook("UserPromptSubmit")
    agent.hook("Stop")
    return agent


def rows(shell: Shell, *more: str) -> dict[str, dict[str, Any]]:
    found = json.loads(shell.done("wake", "--json", *more).out)
    return {row.get("name", row["session"]): row for row in found}


def test_the_table_has_the_agents_and_its_own_first(person: Shell, started: list[Agent]) -> None:
    assert "No session of an agent" in person.done("wake").out
    ann, bob, gem = person.session("ann"), person.session("bob"), person.session("gem")
    person.session("no-agent")
    agent_of(started, ann)
    agent_of(started, bob)
    with gem.client() as client:
        client.touch_session(gem.session_id, agent="gemini-cli")
    found = rows(person)
    assert set(found) == {"ann", "bob", "gem"}
    assert (found["ann"]["by"], found["ann"]["setting"]) == (waking.CLAUDE_CODE, "idle")
    assert (found["gem"]["state"], "by" in found["gem"]) == ("none", False)
    assert found["gem"]["reason"].startswith("nothing wakes gemini-cli but keys")
    head, first, *_ = bob.done("wake").out.splitlines()
    assert head.split()[:5] == ["NAME", "AGENT", "STATE", "BY", "LAST"]
    assert first.startswith("bob (you)")
    assert list(rows(bob, "ann")) == ["ann"]
    assert bob.run("wake", "no-such-session").code == exit_codes.NOT_FOUND


def test_an_installation_without_wakes_is_named_with_its_command(person: Shell) -> None:
    ann = person.session("ann")
    with ann.client() as client:
        client.touch_session(ann.session_id, agent="claude-code")
    assert "maestro hooks install claude-code" in rows(person)["ann"]["reason"]
    assert "maestro hooks install claude-code" in person.done("wake").out


def test_the_setting_is_the_sessions_and_the_operators(person: Shell, started: list[Agent]) -> None:
    ann, bob = person.session("ann"), person.session("bob")
    agent_of(started, ann)
    seen = person.done("session", "show", "ann", "--json").json()["lastActivity"]
    assert "wakes ann no longer" in person.done("wake", "--off", "ann").out
    assert person.done("session", "show", "ann", "--json").json()["lastActivity"] == seen, "no sign of its life"
    assert rows(person)["ann"]["state"] == "off"
    assert "wake:" in person.done("session", "show", "ann").out
    assert ann.done("wake", "--on", "--json").json()["setting"] == "idle"
    assert ann.done("wake", "--off", "--json").json()["setting"] == "off"
    agents = bob.like(CLAUDECODE="1")
    assert agents.run("wake", "ann", "--on").code == exit_codes.REFUSED
    assert bob.done("wake", "ann", "--on").code == 0, "a person's shell with a session is a person's"
    bare = bob.done("wake", "bob", "--on").out
    assert "are on, but mail does not wake it now: " in bare
    assert person.run("wake", "--off").code == exit_codes.USAGE
    assert person.run("wake", "--off", "--on", "ann").code == exit_codes.USAGE
    assert person.run("wake", "--timeout", "3s").code == exit_codes.USAGE


def test_a_session_starts_with_the_setting(person: Shell) -> None:
    person.done("session", "start", "--name", "ann", "--wake", "off", "--json")
    assert person.done("session", "show", "ann", "--json").json()["wake"] == "off"
    assert "wake:        off" in person.done("session", "show", "ann").out


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"wake": "off"}, "it is switched off for this session"),
        ({"wakeBy": ""}, "maestro hooks install claude-code"),
    ],
)
def test_no_turn_is_begun_where_no_wake_can_follow(
    person: Shell, started: list[Agent], fields: dict[str, str], what: str
) -> None:
    ann = person.session("ann")
    agent_of(started, ann, **fields)
    ran = person.run("wake", "--test", "ann", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.REFUSED, "STATUS_CONFLICT")
    assert what in ran.error()["message"]
    assert ran.error()["hint"]
    assert ann.inbox() == []


def test_an_agent_at_work_is_not_tried(person: Shell, started: list[Agent]) -> None:
    ann = person.session("ann")
    agent = agent_of(started, ann)
    agent.hook("UserPromptSubmit")
    assert "it is working, and only an idle agent is woken" in person.run("wake", "--test", "ann").err
    agent.hook("PermissionRequest")
    assert "it is waiting" in person.run("wake", "--test", "ann").err
    itself = ann.like(CLAUDECODE="1").run("wake", "--test")
    assert (itself.code, "it runs this command" in itself.err) == (exit_codes.REFUSED, True)
    agent.hook("Stop")
    watch = ann.start("inbox", "--watch")
    Lines(watch, "stderr").wait_for(lambda line: "watching the inbox" in line)
    assert "would take the message first" in person.run("wake", "--test", "ann").err
    watch.kill()
    watch.wait()
    agent.kill()
    assert "its agent is gone" in person.run("wake", "--test", "ann").err
    assert ann.inbox() == []


def test_a_session_without_an_agent_and_one_without_a_sign(person: Shell) -> None:
    ann = person.session("ann")
    assert "no agent has reported itself" in person.run("wake", "--test", "ann").err
    with ann.client() as client:
        client.touch_session(ann.session_id, agent="claude-code", wakeBy=waking.CLAUDE_CODE)
    assert "no hook of it has given a sign yet" in person.run("wake", "--test", "ann").err


def test_no_answer_in_time(person: Shell, started: list[Agent]) -> None:
    ann = person.session("ann")
    agent_of(started, ann)
    ran = person.run("wake", "--test", "ann", "--timeout", "500ms", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.TIMED_OUT, "TIMEOUT")
    assert "costs what a turn costs" in ran.err
    assert "maestro doctor" in ran.error()["hint"]
    [message] = ann.inbox()
    assert (message["from"], message["expiresAt"] - message["createdAt"]) == ("operator", 3_600_000)


def test_the_hook_of_the_woken_turn_is_named(person: Shell) -> None:
    """The broker asks, the installed script claims the wake, and the hook of the turn brings the message."""
    ann = person.session("ann")
    shell_script.write(ann.data, sys.executable)
    agent = HookedAgent(ann, "claude-code")
    agent.call("SessionStart")
    process = person.start("wake", "ann", "--test", "--json")
    wake = os.path.join(paths.receiver_dir(ann.data, ann.session_id), ".wake")
    eventually(lambda: os.path.exists(wake), "the wake")
    woken = agent.call("FileChanged", file_path=wake)
    assert (woken.code, woken.out) == (2, b"")
    assert "nothing is to be done" in agent.text("UserPromptSubmit", prompt=woken.err.decode()).lower()
    found = json.loads(Lines(process).wait_for(lambda line: line.startswith("{")))
    assert process.wait(20) == exit_codes.DONE
    assert (found["via"], found["wokenBy"]) == ("hook:claude-code:UserPromptSubmit", waking.CLAUDE_CODE)
    assert 0 <= found["seconds"] < 60
    message_id = found["message"]
    assert "in a turn that a wake began" in person.done("message", "receipt", message_id).out
    assert person.done("message", "receipt", message_id, "--json").json()["wokenBy"] == waking.CLAUDE_CODE
    assert f"woken by {waking.CLAUDE_CODE}" in person.done("log", "--limit", "1").out
    assert f"wokenBy={waking.CLAUDE_CODE}" in person.done("timeline", "--message", message_id).out
    row = rows(person)["ann"]
    assert (row["state"], row["answered"]) == ("ready", True)
    sentence = TrialOutcome({"id": "sess_1", "name": "ann"}, message_id, 1.25, "hook:x", "y").sentence()  # type: ignore[typeddict-item]
    assert sentence == "ann was woken by y: hook:x showed it the message 1.2 s after it was sent."


def test_a_turn_that_no_wake_began_is_no_proof(person: Shell) -> None:
    ann = person.session("ann")
    shell_script.write(ann.data, sys.executable)
    agent = HookedAgent(ann, "claude-code")
    agent.call("SessionStart")
    process = person.start("wake", "ann", "--test")
    errors = Lines(process, "stderr")
    errors.wait_for(lambda line: "waiting 60 s" in line)
    agent.call("UserPromptSubmit")
    errors.wait_for(lambda line: "in no turn that a wake began" in line)
    assert process.wait(20) == exit_codes.REFUSED


def test_a_trial_that_a_limit_holds_back_says_so() -> None:
    with open_shell(MAESTRO_WAKE_MINUTE_LIMIT="1") as person:
        lead, ann = person.session("lead", role="orchestrator"), person.session("ann")
        shell_script.write(ann.data, sys.executable)
        agent = HookedAgent(ann, "claude-code")
        agent.call("SessionStart")
        lead.send(ann, "hello")
        eventually(lambda: rows(person)["ann"]["state"] == "woken", "a wake")
        folder = os.path.join(ann.data, "messages", "by-receiver", ann.session_id)
        agent.call("FileChanged", file_path=os.path.join(folder, waking.WAKE_FILE))
        agent.call("UserPromptSubmit")
        agent.call("Stop")
        eventually(lambda: rows(person)["ann"]["state"] == "held", "the limit")
        late = person.run("wake", "--test", "ann", "--timeout", "1s")
        assert (late.code, "the limit is 1; the next wake waits for that" in late.err) == (exit_codes.TIMED_OUT, True)


def test_a_receipt_says_that_its_receiver_was_woken(person: Shell) -> None:
    lead, ann = person.session("lead", role="orchestrator"), person.session("ann")
    shell_script.write(ann.data, sys.executable)
    HookedAgent(ann, "claude-code").call("SessionStart")
    sent = said_id(lead.done("send", "--to", "ann", "--message", "hello").out)
    eventually(lambda: rows(person)["ann"]["state"] == "woken", "a wake")
    receipt = lead.done("message", "receipt", sent).out
    assert "  it was woken " in receipt
    assert ", and has not taken the mail yet" in receipt


def test_a_sender_sees_that_wakes_stay_unanswered() -> None:
    with open_shell(MAESTRO_WAKE_AGAIN="100ms") as person:
        lead, ann = person.session("lead", role="orchestrator"), person.session("ann")
        shell_script.write(ann.data, sys.executable)
        HookedAgent(ann, "claude-code").call("SessionStart")
        first = lead.done("send", "--to", "ann", "--message", "hello").out
        assert "and is woken: it sees it in about 1 s." in first
        eventually(lambda: rows(person)["ann"]["state"] == "unanswered", "two wakes in vain")
        again = lead.done("send", "--to", "ann", "--message", "hello?").out
        assert "It is not woken: it was woken twice without an answer, the last time at " in again
        assert "wakes unanswered" in person.done("who").out
        assert "wakes unanswered" in person.done("session", "list").out
        assert "it is not woken: it was woken twice" in lead.done("message", "receipt", said_id(again)).out
        refused = person.run("wake", "--test", "ann")
        assert (refused.code, "woken twice" in refused.err) == (exit_codes.REFUSED, True)


def test_an_orchestrator_tests_its_worker_as_itself(person: Shell, started: list[Agent]) -> None:
    lead, ann = person.session("lead", role="orchestrator"), person.session("ann")
    agent_of(started, ann)
    assert lead.like(CLAUDECODE="1").run("wake", "--test", "ann", "--timeout", "300ms").code == exit_codes.TIMED_OUT
    assert [message["from"] for message in ann.inbox()] == [lead.session_id]
