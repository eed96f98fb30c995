"""Ended receivers and dead letters on the command line."""

from __future__ import annotations

import json
import os
from typing import Any

from maestro_cli import exit_codes
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
    assert f"to {boss.session_id}" in output
    assert f"because {bob.session_id} had ended" in output
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
        assert "queue" in person.done("status").out


def test_an_invalid_setting() -> None:
    with open_shell(MAESTRO_ON_ENDED="drop") as person:
        ran = person.run("up")
        assert ran.code == exit_codes.USAGE
        assert "error, queue, redirect" in ran.err


def test_an_expired_message_is_listed_and_sent_again_once(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    dead = expired(alice, bob, "too late", metadata={"taskId": "t1"})
    listed = alice.done("message", "dead").out
    assert f"{dead} from {alice.session_id} to {bob.session_id}, expired" in listed
    assert "| too late" in listed
    assert f"maestro message retry {dead}" in listed
    assert f"maestro message retry {dead}" in alice.done("message", "receipt", dead).out
    assert bob.done("message", "dead").out == "No dead letters.\n"
    assert dead in person.done("message", "dead", "--session", "alice").out
    assert "--on-ended" in person.run("message", "retry", "--help").out

    made = alice.done("message", "retry", dead, "--ttl", "1h", "--json").json()
    assert (made["retryOf"], made["state"], made["to"]) == (dead, "pending", bob.session_id)
    assert made["id"] != dead
    again = alice.done("message", "retry", dead)
    assert f"{dead} was retried before, as {made['id']}" in again.out
    assert alice.done("message", "retry", dead, "--json").json()["duplicate"] is True
    listed = alice.done("message", "dead").out
    assert f"was retried as {made['id']}" in listed
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
    assert first not in second.out
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
    """It has failed for good, is listed with the reason, and is removed once it was sent again."""
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    end(bob)
    person.done("down")
    away = alice.like(MAESTRO_AUTOSTART="0")
    queued = away.done("send", "-t", bob.session_id, "-m", "hello", "--json").json()
    alice.done("outbox", "--replay")
    assert json.loads(alice.done("outbox", "--json").out)["failed"]
    waits = alice.inbox()
    # The sender's key is enough: the id is the key with the sender's mark.
    key = queued["id"].rpartition("_")[0]
    assert f"maestro message retry {key}" in waits[0]["message"]
    assert f"maestro message retry {key}" in alice.done("outbox").out
    assert alice.run("message", "retry", waits[0]["id"], "--json").error()["code"] == "FORBIDDEN"
    [letter] = alice.done("message", "dead", "--json").json()["letters"]
    assert letter["id"].startswith(key)
    assert (letter["status"], letter["failure"]["code"]) == ("failed", "RECEIVER_ENDED")
    assert "RECEIVER_ENDED" in alice.done("message", "dead").out
    refused = alice.run("message", "retry", queued["id"])
    assert (refused.code, os.path.exists(letter["path"])) == (exit_codes.REFUSED, True)
    made = alice.done("message", "retry", queued["id"], "--on-ended", "queue", "--json").json()
    assert (made["reach"], made["retryOf"]) == ("ended", queued["id"])
    assert not os.path.exists(letter["path"])
    assert alice.done("message", "dead").out == "No dead letters.\n"
    assert json.loads(alice.done("outbox", "--json").out)["failed"] == []
    # A second retry says that there was one, also after the first was handled, and under the message's own key.
    again = alice.done("message", "retry", queued["id"])
    assert f"{queued['id']} was retried before, as {made['id']}" in again.out
    assert alice.done("message", "retry", queued["id"], "--json").json()["duplicate"] is True
    assert alice.run("message", "retry", queued["id"], "--to", "alice", "--json").error()["code"] == "CONFLICT"
    assert person.run("spool", "verify").code == exit_codes.DONE
    never = alice.run("message", "retry", "never_sent", "--json").error()
    assert never["code"] == "MESSAGE_NOT_FOUND"


def test_the_trace_of_a_retry_goes_with_the_retention(person: Shell) -> None:
    alice, bob = person.session("alice", role="orchestrator"), person.session("bob")
    end(bob)
    person.done("down")
    queued = alice.like(MAESTRO_AUTOSTART="0").done("send", "-t", bob.session_id, "-m", "x", "--json").json()
    alice.done("outbox", "--replay")
    alice.done("message", "retry", queued["id"], "--on-ended", "queue")
    folder = os.path.join(person.data, "outbox", alice.session_id)
    [name] = os.listdir(folder)
    assert name.endswith(".retried")
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        stored = json.load(file)
    for field, value in stored.items():
        if isinstance(value, int) and value > 10**12:
            stored[field] = value - 40 * 24 * 3600 * 1000
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(stored, file)
    os.utime(os.path.join(folder, name), (0, 0))
    person.done("spool", "prune")
    assert name not in (os.listdir(folder) if os.path.isdir(folder) else [])
