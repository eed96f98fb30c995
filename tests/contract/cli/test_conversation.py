"""Questions, answers and receipts on the command line."""

from __future__ import annotations

import json

import pytest

from maestro_cli import exit_codes
from support.cli_shell import Lines, Shell
from support.post_office import eventually, own_id


def test_an_answer_is_waited_for(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    asking = alice.start("send", "-t", "bob", "-m", "Which port?", "--wait-reply", "--timeout", "30s", "--json")
    lines = Lines(asking)
    eventually(lambda: bool(bob.inbox()), "the question comes")
    [asked] = bob.inbox("--unread")
    other = alice.send(bob, "Something else.")
    bob.done("send", "-t", alice.session_id, "-m", "Not the answer.")
    answered = bob.done("message", "reply", asked["id"], "-m", "4568.", "--json").json()
    result = json.loads(lines.wait_for(lambda line: line.startswith("{")))
    assert asking.wait(20) == 0
    assert (result["id"], result["reply"]["id"], result["reply"]["message"]) == (asked["id"], answered["id"], "4568.")
    assert result["reply"]["metadata"] == {"type": "response", "inReplyTo": asked["id"], "threadId": asked["id"]}
    assert alice.state(answered["id"]) == "delivered"
    assert [message["message"] for message in alice.inbox()] == ["Not the answer."], "the answer is not shown again"
    thread = bob.done("message", "thread", answered["id"], "--json").json()
    assert [message["id"] for message in thread["messages"]] == [asked["id"], answered["id"]]
    assert (thread["threadId"], thread["count"], thread["hasMore"]) == (asked["id"], 2, False)
    words = alice.done("message", "thread", asked["id"]).out
    assert "| Which port?" in words
    assert "| 4568." in words
    assert alice.done("message", "thread", other, "--json").json()["count"] == 1


def test_a_repeated_question_finds_its_answer(person: Shell) -> None:
    """The first command may have been stopped before the answer came."""
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    asking = ["send", "-t", "bob", "-m", "Which port?", "--wait-reply", "--id", "question_1", "--json"]
    assert alice.run(*asking, "--timeout", "200ms").code == exit_codes.TIMED_OUT
    [asked] = bob.inbox()
    bob.done("message", "reply", asked["id"], "-m", "4568.")
    again = alice.done(*asking, "--timeout", "30s").json()
    assert (again["duplicate"], again["reply"]["message"]) == (True, "4568.")


def test_no_answer_in_time(person: Shell) -> None:
    alice, _ = person.session("alice", role="orchestrator"), person.session("bob")
    ran = alice.run("send", "-t", "bob", "-m", "Anybody?", "--wait-reply", "--timeout", "200ms", "--json")
    assert ran.code == exit_codes.TIMED_OUT
    assert ran.error()["code"] == "TIMEOUT"
    assert ran.json()["status"] == "accepted", "the caller must see that it need not send again"
    assert "message receipt" in ran.err


def test_both_waits_at_once(person: Shell) -> None:
    alice, _ = person.session("alice", role="orchestrator"), person.session("bob")
    ran = alice.run("send", "-t", "bob", "-m", "x", "--wait", "read", "--wait-reply")
    assert (ran.code, "exclude each other" in ran.err) == (exit_codes.USAGE, True)


def test_a_reply_to_a_missing_message(person: Shell) -> None:
    bob = person.session("bob")
    assert bob.run("message", "reply", "msg_1_gone", "-m", "x").code == exit_codes.NOT_FOUND
    assert bob.run("message", "thread", "msg_1_gone").code == exit_codes.NOT_FOUND
    assert bob.run("message", "receipt", "msg_1_gone").code == exit_codes.NOT_FOUND


def test_a_reply_to_ones_own_message_adds_to_it(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    first = alice.send(bob, "One thing.")
    added = alice.done("message", "reply", first, "-m", "And another.", "--json").json()
    assert added["to"] == bob.session_id
    assert added["threadId"] == first


def test_a_send_says_when_the_receiver_will_see_it(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    ran = alice.done("send", "-t", "bob", "-m", "one", "--json").json()
    assert ran["reach"] == "inbox"
    assert ran["seenAt"] > 0
    with bob.client() as client:
        client.touch_session(agent="claude-code", status="working")
    assert "after its next tool call" in alice.done("send", "-t", "bob", "-m", "two").out
    with bob.client() as client:
        client.touch_session(status="idle")
    assert "bob sees it at its next prompt or tool call." in alice.done("send", "-t", "bob", "-m", "three").out
    bob.start("inbox", "--watch")
    eventually(lambda: alice.done("session", "show", "bob", "--json").json().get("watching", False), "it watches")
    assert "is watching" in alice.done("send", "-t", "bob", "-m", "four").out


def test_a_receipt_says_each_step(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    sent = alice.send(bob, "Look.")
    assert "not delivered yet" in alice.done("message", "receipt", sent).out
    with bob.client() as client:
        client.confirm([sent], "offered", via="hook:codex:Stop")
    document = alice.done("message", "receipt", sent, "--json").json()
    assert [(step["step"], step.get("via")) for step in document["steps"]] == [
        ("accepted", None),
        ("offered", "hook:codex:Stop"),
    ]
    bob.inbox()
    words = alice.done("message", "receipt", sent).out
    assert "offered by hook:codex:Stop" in words
    assert "delivered by cli" in words
    assert "not acknowledged yet" in words
    bob.done("message", "read", sent)
    assert alice.done("message", "receipt", sent, "--json").json()["status"] == "read"


@pytest.mark.parametrize("wanted", ["delivered", "read"])
def test_a_wait_reports_each_step(person: Shell, wanted: str) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    for number, more in enumerate((["--json"], [])):
        message_id = own_id(alice.session_id, f"msg_chain_{number}")
        waits = alice.start(
            "send", "-t", "bob", "-m", "Look.", "--id", message_id, "--wait", wanted, "--timeout", "30s", *more
        )
        lines = Lines(waits)
        with bob.client() as client:
            eventually(lambda: bool(client.inbox(offered=False)["messages"]), "it comes")
            client.confirm([message_id], "offered", via="hook:codex:Stop")
            client.confirm([message_id], "delivered", via="cli")
            if wanted == "read":
                client.confirm([message_id], "read")
        assert waits.wait(20) == 0
        out = "\n".join(lines.all())
        if more:
            result = json.loads(out)
            assert result["state"] == wanted
            assert (result["offeredVia"], result["deliveredVia"]) == ("hook:codex:Stop", "cli")
            assert result["offeredAt"] <= result["deliveredAt"] <= result.get("readAt", result["deliveredAt"])
            assert ("readAt" in result) == (wanted == "read")
        else:
            assert f"{wanted.capitalize()} by {bob.session_id}" in out
            assert "offered by hook:codex:Stop" in out
            assert "delivered by cli" in out


def test_a_loop_of_thanks_is_stopped(person: Shell) -> None:
    shell = person.like(MAESTRO_RATE_LIMIT="1000")
    alice, bob = shell.session("alice"), shell.session("bob")
    for number in range(8):
        sender, receiver = (alice, bob) if number % 2 == 0 else (bob, alice)
        sender.send(receiver, "Thanks!")
    ran = alice.run("send", "-t", "bob", "-m", "Thanks!", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.NOT_NOW, "LOOP_GUARD")
    assert ran.error()["retryAfter"] > 0
    assert "needs no answer" in ran.err
    alice.done("send", "-t", "bob", "-m", "Please rebase.", "--type", "request")


def test_a_command_for_each_message(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    sent = [alice.send(bob, text) for text in ("one", "two $(false) `x`", "three")]
    took = f"{person.root}/took"
    command = f'cat >> {took}; echo "$MAESTRO_MESSAGE_ID" >> {took}'
    assert bob.done("inbox", "--watch", "--limit", "2", "--quiet", "--exec", command).out == ""
    with open(took, encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert [json.loads(line)["message"] for line in lines[::2]] == ["one", "two $(false) `x`"]
    assert lines[1::2] == sent[:2]
    assert [alice.state(message_id) for message_id in sent] == ["delivered", "delivered", "pending"]
    failed = bob.run("inbox", "--watch", "--limit", "1", "--exec", "exit 3")
    assert (failed.code, "ended with 3" in failed.err) == (exit_codes.FAILED, True)
    assert alice.state(sent[2]) == "pending"
    assert bob.run("inbox", "--exec", "cat").code == exit_codes.USAGE
