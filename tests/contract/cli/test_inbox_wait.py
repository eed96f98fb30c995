"""`maestro inbox --wait`: it ends when mail is there that would wake an agent, and leaves that mail as it is."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from support.cli_shell import Lines, Shell, open_shell
from support.far_office import free_ports

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


@pytest.fixture
def own_office() -> Iterator[Shell]:
    """A data directory of the test's own."""
    with open_shell() as opened:
        yield opened


def waiting(shell: Shell, *more: str) -> tuple[subprocess.Popen[bytes], Lines]:
    """A wait that has begun."""
    process = shell.start("inbox", "--wait", *more)
    Lines(process, "stderr").wait_for(lambda line: "waiting for mail" in line)
    return process, Lines(process)


def ended(process: subprocess.Popen[bytes], code: int = exit_codes.DONE) -> None:
    assert process.wait(20) == code


def test_one_line_says_from_whom_and_the_mail_stays_new(alice: Shell, bob: Shell) -> None:
    process, lines = waiting(bob)
    sent = alice.send(bob, "secret text")
    ended(process)
    [line] = lines.all()
    name = alice.done("session", "show", "--json").json()["name"]
    assert line == f"1 new message from {name}. To read: maestro inbox"
    assert alice.state(sent) == "pending"
    assert [message["id"] for message in bob.inbox()] == [sent]


def test_mail_that_waits_already_ends_it_at_once(alice: Shell, bob: Shell) -> None:
    low = alice.send(bob, "later", metadata={"priority": "low"})
    sent = [alice.send(bob, "one"), alice.send(bob, "two", metadata={"priority": "high"})]
    ran = bob.done("inbox", "--wait", "--quiet")
    assert ran.out.startswith("2 new messages from ")
    assert ", 1 of high priority. To read: maestro inbox\n" in ran.out
    assert ran.err == ""
    found = bob.done("inbox", "--wait", "--json").json()
    assert (found["count"], found["high"], found["ids"], found["hasMore"]) == (2, 1, sent, False)
    [sender] = found["from"]
    assert (sender["session"], sender["count"]) == (alice.session_id, 2)
    assert bob.done("inbox", "--wait", "--any", "--json").json()["ids"] == [low, *sent]


def test_quiet_mail_and_low_priority_do_not_end_it(alice: Shell, bob: Shell, person: Shell) -> None:
    carol = person.session()
    alice.send_to_all([bob, carol], "the build is green")
    alice.send(bob, "some day", metadata={"priority": "low"})
    late = bob.run("inbox", "--wait", "--timeout", "300ms", "--json")
    assert (late.code, late.error()["code"]) == (exit_codes.TIMED_OUT, "TIMEOUT")
    assert "no message came within 0.3 s" in late.err
    process, lines = waiting(bob)
    alice.send_to_all([bob, carol], "who broke it?", metadata={"type": "request"})
    ended(process)
    assert lines.all()[0].startswith("1 new message from ")


def test_mail_behind_more_than_a_page_of_quiet_mail() -> None:
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        alice, bob, carol = person.session(role="orchestrator"), person.session(), person.session()
        to = [bob.session_id, carol.session_id]
        quiet: Any = [{"id": f"q{number}", "to": to, "message": "news"} for number in range(300)]
        with alice.client() as client:
            results = [*client.send_many(quiet[:150]), *client.send_many(quiet[150:])]
        assert {result["status"] for result in results} == {201}
        assert bob.run("inbox", "--wait", "--timeout", "300ms").code == exit_codes.TIMED_OUT
        sent = alice.send(bob, "loud", metadata={"type": "request"})
        assert bob.done("inbox", "--wait", "--json").json()["ids"] == [sent]


def test_mail_that_a_reader_was_shown_ends_no_wait(alice: Shell, bob: Shell) -> None:
    sent = alice.send(bob, "shown in part")
    with bob.client() as client:
        client.confirm([sent], "offered", via="hook:test:Stop")
    assert bob.run("inbox", "--wait", "--timeout", "300ms").code == exit_codes.TIMED_OUT


def test_it_is_no_watcher_and_holds_nothing(alice: Shell, bob: Shell) -> None:
    process, _ = waiting(bob)
    shown = alice.done("session", "show", bob.session_id, "--json").json()
    assert not shown.get("watching")
    assert shown["presence"]["state"] != "watching"
    watch = bob.start("inbox", "--watch", "--limit", "1", "--json")
    Lines(watch, "stderr").wait_for(lambda line: "watching the inbox" in line)
    sent = alice.send(bob, "for the watch")
    Lines(watch).wait_for(lambda line: sent in line)
    assert watch.wait(20) == exit_codes.DONE
    assert alice.state(sent) == "delivered"
    if process.poll() is None:  # the watch was first
        process.send_signal(signal.SIGINT)
        ended(process, exit_codes.INTERRUPTED)


def test_over_a_restart_and_a_crash(own_office: Shell) -> None:
    alice, bob = own_office.session("alice", role="orchestrator"), own_office.session("bob")
    process, lines = waiting(bob)
    own_office.kill_broker()
    own_office.done("up")
    own_office.done("down")
    own_office.done("up")
    alice.send(bob, "hello")
    ended(process)
    assert lines.all() == ["1 new message from alice. To read: maestro inbox"]


def test_without_a_broker_the_time_ends_it_too(own_office: Shell) -> None:
    bob = own_office.session("bob")
    process, _ = waiting(bob, "--timeout", "1s")
    own_office.kill_broker()
    ended(process, exit_codes.TIMED_OUT)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, exit_codes.INTERRUPTED), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_signals(bob: Shell, number: signal.Signals, code: int) -> None:
    process, lines = waiting(bob)
    process.send_signal(number)
    ended(process, code)
    assert lines.all() == []


def test_a_closed_output_ends_it(bob: Shell) -> None:
    reading, writing = os.pipe()
    process = bob.start("inbox", "--wait", stdout=writing)
    os.close(writing)
    Lines(process, "stderr").wait_for(lambda line: "waiting for mail" in line)
    os.close(reading)
    ended(process, exit_codes.PIPE_CLOSED)


def test_an_ended_session(alice: Shell, bob: Shell) -> None:
    process, _ = waiting(bob)
    bob.done("session", "end")
    ended(process, exit_codes.REFUSED)
    assert bob.run("inbox", "--wait", "--json").error()["code"] == "SESSION_ENDED"
    assert bob.like(MAESTRO_SESSION_ID="ghost").run("inbox", "--wait").code == exit_codes.REFUSED


def test_the_operator_waits_too(alice: Shell, person: Shell) -> None:
    process, lines = waiting(person)
    with alice.client() as client:
        client.send("operator", "may I?")
    ended(process)
    assert lines.all()[0].endswith("To read: maestro inbox")


@pytest.mark.parametrize("beside", [["--watch"], ["--mark-read"], ["--limit", "1"], ["--unread"], ["--clear"]])
def test_what_can_not_stand_beside_it(bob: Shell, beside: list[str]) -> None:
    ran = bob.run("inbox", "--wait", *beside)
    assert ran.code == exit_codes.USAGE
    assert beside[0] in ran.err
    assert bob.run("inbox", "--any").code == exit_codes.USAGE


def test_over_tcp(own_office: Shell) -> None:
    """It hears of mail there too, and so does a follower of the log."""
    port = free_ports()
    own_office.done("up", "--tcp", f"127.0.0.1:{port}")
    alice, bob = own_office.session("alice", role="orchestrator"), own_office.session("bob")
    key = os.path.join(own_office.root, "far.key")
    own_office.done("keys", "new", "far", "--any", "--out", key)
    far = bob.like(MAESTRO_BROKER=f"tcp://127.0.0.1:{port}", MAESTRO_KEY_FILE=key)
    far = far.like(MAESTRO_DATA_DIR=os.path.join(own_office.root, "far"))
    process, lines = waiting(far, "--timeout", "20s")
    alice.send(bob, "hello")
    ended(process)
    assert lines.all() == ["1 new message from alice. To read: maestro inbox"]
    followers = far.like(MAESTRO_SESSION_ID=bob.session_id).start("log", "--follow", "--json")
    log = Lines(followers)
    log.wait_for(lambda line: '"hello"' in line)
    alice.send(bob, "and again")
    log.wait_for(lambda line: '"and again"' in line)
