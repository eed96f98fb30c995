"""`maestro timeline`, in words and as JSON."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from support.cli_shell import Lines

if TYPE_CHECKING:
    from support.cli_shell import Shell


@pytest.fixture(scope="module")
def shell_environ() -> dict[str, str]:
    return {"MAESTRO_TIMELINE_REPLY_MAX": "5"}


def test_filters_in_words(shell: Shell) -> None:
    alice = shell.session("alice")
    ids = [alice.send(alice, f"text {number}") for number in range(9)]
    alice.run("send", "--to", "absent", "--message", "x")
    with alice.client() as client:
        client.confirm(ids[:1], "read")

    def names(*arguments: str) -> list[str]:
        found = shell.done("timeline", "--json", *arguments).out.splitlines()
        return [json.loads(line)["event"].split(".")[1] for line in found]

    assert names("--event", "refused,read") == ["refused", "read"]
    assert names("--message", ids[0]) == ["accepted", "read"]
    assert names("--since", "1h", "--event", "message.accepted", "--limit", "7") == ["accepted"] * 7
    assert names("--until", "1h") == []
    assert names("--after", "2", "--limit", "6") == ["accepted"] * 6
    assert "go on with --after 8" in shell.done("timeline", "--after", "2", "--limit", "6").err
    assert "these are the newest 7" in shell.done("timeline", "--since", "1h", "--limit", "7").err
    for wrong, words in ((("--event", "raed"), "message.read"), (("--since", "soon"), "2026-11-22T10:00")):
        refused = shell.run("timeline", *wrong)
        assert refused.code == exit_codes.USAGE
        assert words in refused.err


def test_following_over_a_restart_misses_nothing(shell: Shell) -> None:
    alice = shell.session("alice")
    first = alice.send(alice, "one")
    process = alice.start("timeline", "--follow", "--json", "--event", "accepted")
    lines = Lines(process)
    lines.wait_for(lambda line: first in line)
    second = alice.send(alice, "two")
    lines.wait_for(lambda line: second in line)
    shell.kill_broker()
    third = alice.done("send", "--to", "alice", "--message", "three", "--json").json()["id"]
    lines.wait_for(lambda line: third in line)
    # A follower of the timeline is no reader of the mailbox.
    with alice.client() as client:
        assert client.send(alice.session_id, "four").get("reach") == "inbox"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == exit_codes.INTERRUPTED
    assert [json.loads(line)["id"] for line in lines.all()][:3] == [first, second, third]


def test_following_ends_when_its_pipe_is_closed(shell: Shell) -> None:
    alice = shell.session("alice")
    first = alice.send(alice, "one")
    process = shell.start("timeline", "--follow")
    assert process.stdout is not None
    while first.encode() not in process.stdout.readline():
        pass
    process.stdout.close()
    assert process.wait(20) == exit_codes.PIPE_CLOSED
