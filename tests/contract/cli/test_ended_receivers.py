"""Ended receivers and dead letters on the command line."""

from __future__ import annotations

import json
from typing import Any

from maestro_cli import exit_codes
from maestro_schemas.names import short_id
from support.cli_shell import Shell, open_shell
from support.post_office import eventually


def end(shell: Shell) -> None:
    with shell.client() as client:
        client.end_session()


def start(shell: Shell) -> None:
    with shell.client() as client:
        client.start_session(
            shell.session_id, token=shell.environ["MAESTRO_SESSION_TOKEN"], name="bob", project_id="shop"
        )


def expired(sender: Shell, receiver: Shell, text: str = "too late", **more: Any) -> str:
    """Send a message and wait until it has expired; its id."""
    message_id = sender.send(receiver, text, ttl_ms=1, **more)
    eventually(lambda: sender.state(message_id) == "expired", "it expires")
    return message_id


def test_queued_until_it_comes_back(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    end(bob)
    ran = alice.run("send", "-t", "bob", "-m", "one")
    assert (ran.code, "--on-ended queue" in ran.err) == (exit_codes.REFUSED, True)
    sent = alice.done("send", "-t", "bob", "-m", "one", "--on-ended", "queue")
    assert "queued for when it comes back" in sent.out
    result = alice.done("send", "-t", "bob", "-m", "two", "--on-ended", "queue", "--json").json()
    assert (result["state"], result["reach"]) == ("pending", "ended")
    assert "its receiver has ended: it waits" in alice.done("message", "receipt", result["id"]).out
    start(bob)
    assert "its receiver has not been shown it" in alice.done("message", "receipt", result["id"]).out
    assert [message["message"] for message in bob.inbox()] == ["one", "two"]


def test_redirected_to_the_orchestrator(person: Shell) -> None:
    boss = person.session("boss", role="orchestrator")
    alice, bob = person.session("alice"), person.session("bob")
    question = bob.send(alice, "What now?")
    end(bob)
    output = alice.done("send", "-t", "bob", "-m", "It is red.", "--on-ended", "redirect").out
    assert output.startswith("Sent to boss (")
    assert "because bob had ended" in output
    alice.done("message", "reply", question, "-m", "Stop.", "--on-ended", "redirect")
    shown = boss.done("inbox").out
    assert shown.count(f"for bob (worker, {bob.session_id}), who had ended") == 2
    [first, _] = boss.done("inbox", "--unread", "--json").json()["messages"]
    assert f"for bob (worker, {bob.session_id}), who had ended" in boss.done("message", "show", first["id"]).out
    refused = boss.run("send", "-t", "bob", "-m", "x", "--on-ended", "redirect")
    assert (refused.code, "is the sender" in refused.err) == (exit_codes.REFUSED, True)


def test_the_setting_of_the_post_office() -> None:
    with open_shell(MAESTRO_ON_ENDED="queue") as person:
        alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
        end(bob)
        alice.done("send", "-t", "bob", "-m", "x")
        limit = person.done("status", "--json").json()["limits"]["on_ended"]
        assert (limit["value"], limit["unit"], limit["from"]) == ("queue", "word", "environment")
        assert "queue" in person.done("status", "--all").out


def test_an_invalid_setting() -> None:
    with open_shell(MAESTRO_ON_ENDED="drop") as person:
        ran = person.run("up")
        assert ran.code == exit_codes.USAGE
        assert "error, queue, redirect" in ran.err


def test_an_expired_message_is_listed_and_sent_again_once(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    dead = expired(alice, bob, "too late", metadata={"taskId": "t1"})
    listed = alice.done("message", "dead").out
    assert f"{short_id(dead)} from {alice.session_id} to {bob.session_id}, expired" in listed
    assert "| too late" in listed
    assert f"maestro message retry {short_id(dead)}" in listed
    assert f"maestro message retry {dead}" in alice.done("message", "receipt", dead).out
    assert bob.done("message", "dead").out == "No dead letters.\n"
    assert short_id(dead) in person.done("message", "dead", "--session", "alice").out
    assert "--on-ended" in person.run("message", "retry", "--help").out

    made = alice.done("message", "retry", dead, "--ttl", "1h", "--json").json()
    assert (made["retryOf"], made["state"], made["to"]) == (dead, "pending", bob.session_id)
    assert made["id"] != dead
    again = alice.done("message", "retry", dead)
    assert f"{short_id(dead)} was retried before, as {short_id(made['id'])} to" in again.out
    assert alice.done("message", "retry", dead, "--json").json()["duplicate"] is True
    listed = alice.done("message", "dead").out
    assert f"was retried as {short_id(made['id'])}" in listed
    assert "To send one again" not in listed
    [message] = bob.inbox("--mark-read")
    assert (message["id"], message["metadata"]) == (made["id"], {"taskId": "t1"})
    assert alice.run("message", "retry", dead, "--to", alice.session_id, "--json").error()["code"] == "CONFLICT"
    bob.done("message", "delete", made["id"])
    assert "it is deleted now" in alice.done("message", "retry", dead, "--ttl", "1h").out


def test_a_retry_that_expires_too_is_retried_in_turn(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    dead = expired(alice, bob)
    # The retry keeps the old TTL, which is 1 ms.
    first = alice.done("message", "retry", dead, "--json").json()["id"]
    eventually(lambda: alice.state(first) == "expired", "it expires")
    second = alice.done("message", "retry", dead, "--ttl", "1h")
    assert "Sent again" in second.out
    assert short_id(first) not in second.out
    assert len(bob.inbox()) == 1
    assert len(alice.done("message", "dead", "--json").json()["letters"]) == 2
    # After a crash, a dead letter that is replayed from the journal is listed once.
    alice.kill_broker()
    assert len(alice.done("message", "dead", "--json").json()["letters"]) == 2
    page = alice.done("message", "dead", "--json", "--limit", "1").json()
    assert (page["count"], page["hasMore"], page["letters"][0]["id"]) == (1, True, first)
    assert "There are more" in alice.done("message", "dead", "--limit", "1").out


def test_a_retry_of_a_redirected_message_keeps_its_first_receiver(person: Shell) -> None:
    boss = person.session("boss", role="orchestrator")
    alice, bob = person.session("alice"), person.session("bob")
    end(bob)
    dead = expired(alice, bob, on_ended="redirect")
    made = alice.done("message", "retry", dead, "--ttl", "1h", "--json").json()
    assert (made["to"], made["originalTo"]) == (boss.session_id, bob.session_id)
    other = expired(alice, bob, on_ended="queue")
    assert (
        alice.done("message", "retry", other, "--to", "boss", "--ttl", "1h", "--json").json()["to"] == boss.session_id
    )


def test_messages_that_cannot_be_retried(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    sent = alice.send(bob, "alive")
    for state in ("is pending", "was delivered", "was read"):
        ran = alice.run("message", "retry", sent)
        assert (ran.code != 0, state in ran.err) == (True, True), ran
        assert alice.run("message", "retry", sent, "--json").error()["code"] == "STATUS_CONFLICT"
        bob.done("inbox") if state == "is pending" else bob.done("message", "read", sent)
    assert bob.run("message", "retry", sent, "--json").error()["code"] == "FORBIDDEN"
    bob.done("message", "delete", sent)
    gone = alice.run("message", "retry", sent, "--json").error()
    assert (gone["code"], "maestro session send" in gone["hint"]) == ("MESSAGE_NOT_FOUND", True)
    anonymous = person.run("message", "retry", sent, "--json").error()
    assert (anonymous["code"], "MAESTRO_SESSION_ID=SENDER" in anonymous["hint"]) == ("NO_SESSION", True)


def test_a_refused_entry_of_the_outbox(person: Shell) -> None:
    """It is a message of status `failed` in `message show`, receipt and dead letters, and is sent again once."""
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    end(bob)
    person.done("down")
    away = alice.like(MAESTRO_AUTOSTART="0")
    queued = away.done("send", "-t", bob.session_id, "-m", "hello", "--ttl", "1h", "--json").json()
    alice.done("outbox", "--replay")
    assert json.loads(alice.done("outbox", "--json").out) == {"waiting": [], "failed": []}
    waits = alice.inbox()
    assert f"maestro message retry {queued['id']}" in waits[0]["message"]
    assert alice.run("message", "retry", waits[0]["id"], "--json").error()["code"] == "FORBIDDEN"
    [letter] = alice.done("message", "dead", "--json").json()["letters"]
    assert (letter["id"], letter["status"], letter["failure"]["code"]) == (queued["id"], "failed", "RECEIVER_ENDED")
    assert "RECEIVER_ENDED" in alice.done("message", "dead").out
    shown = alice.done("message", "show", queued["id"], "--json").json()
    assert (shown["status"], shown["message"]) == ("failed", "hello")
    assert "after it waited in the outbox: RECEIVER_ENDED" in alice.done("message", "show", queued["id"]).out
    receipt = alice.done("message", "receipt", queued["id"]).out
    assert ": failed\n" in receipt
    assert f"maestro message retry {queued['id']}" in receipt
    steps = alice.done("message", "receipt", queued["id"], "--json").json()
    assert (steps["status"], [step["step"] for step in steps["steps"]]) == ("failed", ["failed"])
    refused = alice.run("message", "retry", queued["id"])
    assert refused.code == exit_codes.REFUSED
    made = alice.done("message", "retry", queued["id"], "--on-ended", "queue", "--json").json()
    assert (made["reach"], made["retryOf"]) == ("ended", queued["id"])
    again = alice.done("message", "retry", queued["id"], "--json").json()
    assert (again["id"], again["duplicate"], again["state"]) == (made["id"], True, "pending")
    assert "was retried before" in alice.done("message", "retry", queued["id"]).out
    [letter] = alice.done("message", "dead", "--json").json()["letters"]
    assert letter["retriedAs"] == made["id"]
    assert "was retried as" in alice.done("message", "dead").out


def test_an_entry_that_is_no_message_of_its_session_stays_in_the_outbox(person: Shell) -> None:
    """It is listed with the reason, and a second retry says that it was retried."""
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    person.done("down")
    away = alice.like(MAESTRO_AUTOSTART="0", MAESTRO_SESSION_TOKEN="wrong")
    queued = away.done("send", "-t", bob.session_id, "-m", "hello", "--json").json()
    alice.done("outbox", "--replay")
    [failed] = json.loads(alice.done("outbox", "--json").out)["failed"]
    assert failed["failure"]["code"] == "TOKEN_MISMATCH"
    [letter] = alice.done("message", "dead", "--json").json()["letters"]
    assert (letter["status"], letter["path"]) == ("failed", failed["path"])
    made = alice.done("message", "retry", queued["id"], "--json").json()
    again = alice.done("message", "retry", queued["id"], "--json").json()
    assert (again["id"], again["duplicate"]) == (made["id"], True)
    assert len(bob.inbox()) == 1


def test_what_was_refused_for_its_content_is_not_sent_again(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    person.done("down")
    away = alice.like(MAESTRO_AUTOSTART="0")
    queued = away.done("send", "-t", bob.session_id, "-m", "x" * 10_001, "--json").json()
    alice.done("outbox", "--replay")
    error = alice.run("message", "retry", queued["id"], "--json").error()
    assert (error["code"], "TEXT_TOO_LONG" in error["message"]) == ("STATUS_CONFLICT", True)
