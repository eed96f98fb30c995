"""`maestro session send`: any text arrives unchanged, and the output says what happened to it."""

from __future__ import annotations

import json
import os
import time

import pytest

from maestro_cli import exit_codes
from maestro_schemas.names import short_id
from support.cli_shell import Lines, Shell, open_shell
from support.post_office import own_id

ODD_TEXTS = [
    "-x",
    "--help",
    "--version",
    "--json",
    "--",
    "-",
    "-h",
    "--message",
    "=x",
    "none",
    "[1, 2]",
    "@file",
    "$HOME `date` \"quoted\" 'single' \\n",
    "two\nlines\n\nand a fourth",
    "tab\there",
    "  spaces around  ",
    "emoji 👩‍👩‍👧 and 漢字",
    "%s {0} {{}}",
    "0x10",
]


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("joined", [False, True], ids=["apart", "joined"])
def test_any_text_arrives_unchanged(alice: Shell, bob: Shell, text: str, joined: bool) -> None:
    option = [f"--message={text}"] if joined else ["--message", text]
    alice.done("session", "send", "--to", bob.session_id, *option)
    assert [message["message"] for message in bob.inbox()] == [text]


@pytest.mark.parametrize("short", [["-t", "TO", "-m", "-x"], ["-t", "TO", "-m=-x"], ["-tTO", "-m-x"]], ids=" ".join)
def test_the_short_form(alice: Shell, bob: Shell, short: list[str]) -> None:
    alice.done("send", *[word.replace("TO", bob.session_id) for word in short])
    assert [message["message"] for message in bob.inbox()] == ["-x"]


def test_a_file_and_standard_input(alice: Shell, bob: Shell) -> None:
    text = "# Report\n\n- `code`\n- ünïcode 👍\n"
    path = os.path.join(alice.root, "report.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    alice.done("session", "send", "--to", bob.session_id, "--file", path)
    alice.done("send", "-t", bob.session_id, "-f", "-", stdin=text.encode())
    received = [message["message"] for message in bob.inbox()]
    assert received[0] == received[1]
    assert received[0].rstrip("\n") == text.rstrip("\n")


def test_the_plain_answer_says_id_receiver_number_and_disk(alice: Shell, bob: Shell) -> None:
    ran = alice.done("session", "send", "--to", bob.session_id, "--message", "hello")
    sent = bob.inbox()[0]["id"]
    expected = "Its receiver sees it when it looks into its inbox."
    assert ran.out == f"Sent to {bob.session_id} ({short_id(sent)}). It is on disk. {expected}\n"
    assert ran.err == ""


def test_the_plain_answer_says_the_name_that_was_typed(person: Shell, alice: Shell) -> None:
    name = "bob" + os.urandom(4).hex()
    bob = person.session(name)
    ran = alice.done("send", name, "hello")
    sent = bob.inbox()[0]["id"]
    assert (
        ran.out == f"Sent to {name} ({short_id(sent)}). It is on disk. {name} sees it when it looks into its inbox.\n"
    )
    own = alice.done("session", "show", "--json").json()["name"]
    assert bob.done("reply", "last", "yes").out.startswith(f"Sent to {own} (")


def test_the_json_answer(alice: Shell, bob: Shell) -> None:
    arguments = ["session", "send", "--to", bob.session_id, "--message", "hello", "--json", "--id", "msg_mine"]
    sent = alice.done(*arguments).json()
    assert {key: sent[key] for key in ("status", "id", "to", "seq")} == {
        "status": "accepted",
        "id": own_id(alice.session_id, "msg_mine"),
        "to": bob.session_id,
        "seq": 1,
    }
    assert isinstance(sent["createdAt"], int)
    again = alice.done(*arguments).json()
    assert (again["duplicate"], again["state"], again["seq"]) == (True, "pending", 1)
    assert len(bob.inbox()) == 1


def test_every_option_arrives(alice: Shell, bob: Shell) -> None:
    first = alice.send(bob, "first")
    data = {"branch": "main", "-": [1, None, "ü"]}
    sent = alice.done(
        *("session", "send", "--to", bob.session_id, "--message", "second", "--json"),
        *("--priority", "high", "--type", "command", "--task", "task_9", "--reply-to", first),
        *("--ttl", "1h", "--require-ack", "--data", json.dumps(data)),
    )
    second = sent.json()["id"]
    message = next(message for message in bob.inbox() if message["id"] == second)
    assert message["metadata"] == {
        "priority": "high",
        "type": "command",
        "taskId": "task_9",
        "inReplyTo": first,
        "threadId": first,
        "requiresAck": True,
        "data": data,
    }
    assert message["expiresAt"] - message["createdAt"] == 3_600_000


def test_a_message_may_expire_at_a_time(alice: Shell, bob: Shell) -> None:
    """A moment in local time or with an offset, a day, or milliseconds; what is past or no time is refused."""
    at_s = int(time.time()) + 3_600
    local = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at_s))
    for text in (local, time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at_s)), str(at_s * 1000)):
        sent = alice.done("send", "-t", bob.session_id, "-m", "soon", "--expires-at", text, "--json").json()
        assert bob.done("message", "show", sent["id"], "--json").json()["expiresAt"] == at_s * 1000
    for text, words in (
        ("2020-01-01", "ago"),
        ("2999-01-01T10:00", "from now"),
        ("1h", "--ttl"),
        ("12345", "--ttl"),
        ("soon", "--ttl"),
    ):
        ran = alice.run("send", "-t", bob.session_id, "-m", "soon", "--expires-at", text)
        assert ran.code == exit_codes.USAGE, ran
        assert words in ran.err
    both = alice.run("send", "-t", bob.session_id, "-m", "x", "--ttl", "1h", "--expires-at", local)
    assert "both given" in both.err


def test_by_name_and_to_the_parent(person: Shell) -> None:
    boss = person.session("boss", role="orchestrator")
    child = boss.done("session", "start", "--name", "child", "--json").json()
    assert child["parentSessionId"] == boss.session_id
    boss.done("session", "send", "--to", "child", "--message", "down")
    worker = person.like(MAESTRO_SESSION_ID=child["id"], MAESTRO_SESSION_TOKEN=child["token"])
    assert [message["message"] for message in worker.inbox()] == ["down"]
    worker.done("session", "send", "--to", "parent", "--message", "up")
    assert [message["message"] for message in boss.inbox()] == ["up"]


@pytest.mark.parametrize("wanted", ["delivered", "read"])
def test_waiting_for_the_receipt(alice: Shell, bob: Shell, wanted: str) -> None:
    arguments = ("--message", "sign here", "--require-ack", "--id", "msg_wait", "--wait", wanted, "--json")
    waiting = alice.start("session", "send", "--to", bob.session_id, *arguments)
    lines = Lines(waiting)
    watching = bob.start("inbox", "--watch", "--json", "--limit", "1", *(["--mark-read"] if wanted == "read" else []))
    assert json.loads(Lines(watching).wait_for(bool))["id"] == own_id(alice.session_id, "msg_wait")
    outcome = json.loads(lines.wait_for(bool))
    assert waiting.wait(30) == exit_codes.DONE
    assert watching.wait(30) == exit_codes.DONE
    assert (outcome["status"], outcome["id"]) == ("accepted", own_id(alice.session_id, "msg_wait"))
    assert outcome["state"] in ({"read"} if wanted == "read" else {"delivered", "read"})
    assert outcome["deliveredAt"] >= outcome["createdAt"]


def test_waiting_in_vain(alice: Shell, bob: Shell) -> None:
    arguments = (
        "session",
        "send",
        "--to",
        bob.session_id,
        "--message",
        "hello?",
        "--wait",
        "read",
        "--timeout",
        "300ms",
    )
    plain = alice.run(*arguments)
    assert plain.code == exit_codes.TIMED_OUT
    assert plain.out.startswith(f"Sent to {bob.session_id} (")
    assert plain.err.startswith("maestro: ")
    ran = alice.run(*arguments, "--json")
    assert ran.code == exit_codes.TIMED_OUT
    assert (ran.json()["status"], ran.error()["code"]) == ("accepted", "TIMEOUT")
    assert [message["id"] for message in bob.inbox()][1] == ran.json()["id"]


def test_queued_when_no_broker_may_be_started() -> None:
    with open_shell() as person:
        alice, bob = person.session(role="orchestrator"), person.session("bob")
        person.done("down")
        offline = alice.like(MAESTRO_AUTOSTART="0")
        ran = offline.done("session", "send", "--to", "bob", "--message", "later", "--id", "msg_later")
        assert "ueued in the outbox" in ran.out
        assert "will be sent when a broker runs" in ran.out
        # A repeated send is the same message, also in the outbox.
        again = offline.done("session", "send", "--to", "bob", "--message", "later", "--id", "msg_later", "--json")
        assert (again.json()["status"], again.json()["id"]) == ("queued", own_id(alice.session_id, "msg_later"))
        with open(again.json()["path"], encoding="utf-8") as file:
            assert json.load(file)["message"]["message"] == "later"
        waiting = offline.done("outbox", "--json").json()["waiting"]
        assert {entry["id"] for entry in waiting} == {"msg_later"}
        assert alice.environ["MAESTRO_SESSION_TOKEN"] not in offline.done("outbox").out
        held = offline.run("session", "send", "--to", "bob", "--message", "x", "--wait", "read", "--json")
        assert (held.code, held.json()["status"], held.error()["code"]) == (7, "queued", "TIMEOUT")
        refused = offline.run("inbox", "--json")
        assert (refused.code, refused.error()["code"]) == (exit_codes.UNREACHABLE, "BROKER_UNREACHABLE")
        assert "maestro up" in refused.error()["hint"]

        replayed = alice.done("outbox", "--replay", "--json").json()
        assert (replayed["waiting"], replayed["failed"]) == ([], [])
        assert sorted(message["message"] for message in bob.inbox()) == ["later", "x"]
