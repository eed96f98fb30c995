"""Quiet mail at the command line: the inbox says to how many it went, and a command is not run for it alone."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_schemas.names import short_id
from support.cli_shell import Lines, open_shell
from support.post_office import eventually

if TYPE_CHECKING:
    import subprocess

    from support.cli_shell import Shell


@pytest.fixture
def cid(person: Shell) -> Shell:
    """A further receiver."""
    return person.session()


class Executed:
    """A watch that runs a command for each message; the command notes the texts."""

    def __init__(self, shell: Shell, *more: str) -> None:
        self._path = os.path.join(shell.root, f"took-{os.urandom(4).hex()}")
        command = f"cat >> {self._path}"
        self.process: subprocess.Popen[bytes] = shell.start("inbox", "--watch", "--exec", command, *more)
        Lines(self.process, "stderr").wait_for(lambda line: "watching the inbox" in line)

    def texts(self) -> list[str]:
        """The texts of the messages that it was run for, in order."""
        try:
            with open(self._path, encoding="utf-8") as file:
                return [json.loads(line)["message"] for line in file.read().splitlines()]
        except FileNotFoundError:
            return []

    def runs_for(self, *texts: str) -> None:
        """Wait until the command was run for these, and check that it was run for no others."""
        eventually(lambda: len(self.texts()) >= len(texts), f"runs for {texts}, not {self.texts()}", 20.0)
        assert self.texts() == list(texts)

    def end(self) -> None:
        """In order: what was surfaced is confirmed."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == exit_codes.TERMINATED


def statuses(person: Shell, message_id: str, *receivers: Shell) -> list[str]:
    with person.anonymous().client() as operator:
        return [operator.message(message_id, session=each.session_id)["status"] for each in receivers]


def test_no_command_runs_for_quiet_mail_alone(person: Shell, alice: Shell, bob: Shell, cid: Shell) -> None:
    quiet = alice.send_to_all([bob, cid], "q1")["id"]
    executed = Executed(bob)
    alice.send_to_all([bob, cid], "q2")
    # By now the watch has seen both: a message to it alone comes after them, and brings them.
    alice.send(bob, "loud")
    executed.runs_for("q1", "q2", "loud")
    last = alice.send_to_all([bob, cid], "q3")["id"]
    loud = alice.send_to_all([bob, cid], "stop", metadata={"requiresAck": True})["id"]
    executed.runs_for("q1", "q2", "loud", "q3", "stop")
    held = alice.send_to_all([bob, cid], "q4")["id"]
    executed.end()
    assert executed.texts() == ["q1", "q2", "loud", "q3", "stop"]
    for message_id in (quiet, last, loud):
        assert statuses(person, message_id, bob, cid) == ["delivered", "pending"]
    assert statuses(person, held, bob) == ["pending"]
    assert [each["message"] for each in bob.inbox()] == ["q4"], "nothing is lost, and no lease hides it"


def test_meanwhile_another_reader_has_it(alice: Shell, bob: Shell, cid: Shell) -> None:
    executed = Executed(bob)
    alice.send_to_all([bob, cid], "q1")
    assert [each["message"] for each in bob.inbox()] == ["q1"]
    alice.send(bob, "loud")
    executed.runs_for("loud")
    executed.end()


def test_a_command_runs_for_quiet_mail_where_that_is_asked_for(alice: Shell, bob: Shell, cid: Shell) -> None:
    executed = Executed(bob, "--exec-quiet")
    alice.send_to_all([bob, cid], "q1")
    executed.runs_for("q1")
    executed.end()


def test_held_mail_survives_the_brokers_death() -> None:
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        alice, bob, cid = person.session(role="orchestrator"), person.session(), person.session()
        executed = Executed(bob)
        alice.send_to_all([bob, cid], "q1")
        person.kill_broker()
        # The next send starts another broker.
        alice.send_to_all([bob, cid], "q2")
        alice.send(bob, "loud")
        executed.runs_for("q1", "q2", "loud")
        executed.end()


def test_quiet_mail_alone_is_no_message_within_the_timeout(alice: Shell, bob: Shell, cid: Shell) -> None:
    alice.send_to_all([bob, cid], "q1")
    ran = bob.run("inbox", "--watch", "--exec", "cat", "--timeout", "300ms", "--quiet")
    assert (ran.code, ran.out) == (exit_codes.TIMED_OUT, "")
    assert len(bob.inbox()) == 1


def test_a_watch_prints_quiet_mail_at_once(alice: Shell, bob: Shell, cid: Shell) -> None:
    process = bob.start("inbox", "--watch")
    lines = Lines(process)
    sent = alice.send_to_all([bob, cid], "q1")["id"]
    head = lines.wait_for(lambda line: line.startswith(f"{short_id(sent)} from "))
    assert head.endswith(" (to 2 sessions; no answer needed)")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == exit_codes.TERMINATED


def test_exec_quiet_needs_exec(bob: Shell) -> None:
    ran = bob.run("inbox", "--watch", "--exec-quiet", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.USAGE, "INVALID")


@pytest.mark.parametrize(
    ("metadata", "asked"),
    [
        ({}, "no answer needed"),
        ({"type": "request"}, "asks for an answer"),
        ({"type": "command", "requiresAck": True}, "asks for action and acknowledgement"),
    ],
)
def test_the_inbox_says_to_how_many_it_went(
    alice: Shell, bob: Shell, cid: Shell, metadata: dict[str, Any], asked: str
) -> None:
    sent = alice.send_to_all([bob, cid], "stop, main is red", metadata=metadata)["id"]
    [message] = bob.inbox()
    assert message["audience"] == {"to": [bob.session_id, cid.session_id], "size": 2}
    out = bob.done("inbox", "--unread").out
    head, *_ = out.split("\n")
    assert head.startswith(f"{short_id(sent)} from alice")
    assert head.endswith(f" (to 2 sessions; {asked})")
    assert f'Reply, to its sender alone: maestro reply {short_id(sent)} "..."' in out
    assert head.partition(", ")[0].partition(" from ")[2] in bob.done("message", "show", sent).out
    assert f" (to 2 sessions; {asked})\n" in bob.done("message", "show", sent).out
    assert f" (to 2 sessions; {asked})\n" in bob.done("message", "thread", sent).out
    bob.done("message", "reply", sent, "--message", "Done.")
    assert [each["message"] for each in alice.inbox()] == ["Done."]
    assert [each["message"] for each in cid.inbox()] == ["stop, main is red"], "no peer gets the reply"
