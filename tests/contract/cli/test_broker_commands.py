"""The commands `up`, `down`, `status`, `timeline`, `outbox` and those of sessions."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess

import pytest

from maestro_cli import exit_codes
from maestro_schemas.limits import DOCS
from support.cli_shell import Lines, Shell


@pytest.fixture(scope="module")
def shell_environ() -> dict[str, str]:
    return {}


def has_ended(process: int, within_s: float) -> bool:
    """Whether a process ends in time; `process` is its pidfd, which this closes.

    A pid would not show it: without a parent that calls wait(2), an ended process keeps its pid.
    """
    try:
        return bool(select.select([process], [], [], within_s)[0])
    finally:
        os.close(process)


def test_up_and_down_report_the_state(person: Shell) -> None:
    assert person.done("down").out == f"No broker runs for {person.data}.\n"
    assert person.done("up").out.startswith("Started the broker: pid ")
    pid = person.broker_pid()
    assert f"runs already: pid {pid}" in person.done("up").out
    assert person.done("up", "--json").json() == {
        "started": False,
        "pid": pid,
        "version": person.done("status", "--json").json()["version"],
        "dataDir": person.data,
    }
    ended = os.pidfd_open(pid)
    assert person.done("down").out == f"The broker (pid {pid}) has stopped.\n"
    assert has_ended(ended, 0)
    assert person.done("down", "--json").json() == {"stopped": False}


def test_down_then_up_at_once_many_times(person: Shell) -> None:
    for _ in range(3):
        person.done("up")
        person.done("down")


def test_many_commands_start_one_broker(person: Shell) -> None:
    starting = [person.start("session", "start", "--json") for _ in range(6)]
    ids, names = set(), set()
    for process in starting:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        ids.add(json.loads(out)["id"])
        names.add(json.loads(out)["name"])
    assert len(ids) == 6
    # They started in one directory, at one moment.
    [base] = names - {name for name in names if name[-2:] in [f"-{number}" for number in range(2, 7)]}
    assert names == {base, *(f"{base}-{number}" for number in range(2, 7))}
    assert {session["id"] for session in json.loads(person.done("session", "list", "--json").out)} == ids


def test_settings_of_a_start(person: Shell) -> None:
    person.done("up", "--set", "rate_limit=600", "--set", "retention=30d")
    limits = person.done("status", "--json").json()["limits"]
    assert {key: limits["rate_limit"][key] for key in ("value", "unit", "from")} == {
        "value": 600,
        "unit": "count",
        "from": "flag",
    }
    assert limits["retention_ms"]["value"] == 30 * 86_400_000
    assert limits["pending_max"]["from"] == "default"
    refused = person.run("up", "--set", "rate_limit=1", "--json")
    assert refused.code == exit_codes.REFUSED
    assert "maestro down" in refused.error()["hint"]


def test_in_the_foreground(person: Shell) -> None:
    process = person.start("up", "--foreground", "--set", "rate_limit=600")
    remarks = Lines(process, "stderr")
    remarks.wait_for(bool)
    person.done("up")
    assert person.broker_pid() == process.pid
    assert person.done("status", "--json").json()["limits"]["rate_limit"]["from"] == "flag"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == exit_codes.DONE


def test_status_without_a_broker_starts_none(person: Shell) -> None:
    ran = person.run("status", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.UNREACHABLE, "BROKER_UNREACHABLE")
    assert ran.error()["hint"] == "Start one: maestro up"
    assert person.done("down").out.startswith("No broker runs")


def test_status_after_a_crash(person: Shell) -> None:
    person.done("up")
    ended = os.pidfd_open(person.broker_pid())
    person.kill_broker()
    assert has_ended(ended, 20)
    assert person.run("status").code == exit_codes.UNREACHABLE
    assert person.done("down").out.startswith("No broker runs")


def test_status_prints_every_limit_and_where_it_came_from(person: Shell) -> None:
    with open(os.path.join(person.root, "config.toml"), "w", encoding="utf-8") as file:
        file.write("[limits]\npending_max = 77\n")
    limited = person.like(MAESTRO_TEXT_CHARS_MAX="1234")
    limited.done("up")
    out = person.done("status", "--all").out
    for name in DOCS:
        assert f"\n  {name} " in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert "77  " in rows["pending_max"]
    assert "from config" in rows["pending_max"]
    assert "1,234 characters" in rows["text_chars_max"]
    assert "from environment" in rows["text_chars_max"]
    assert "from default" in rows["rate_limit"]
    assert person.data in out


def test_status_prints_everything_that_stats_holds(person: Shell) -> None:
    person.like(MAESTRO_SESSION_ID="absent").run("inbox")
    person.done("up")
    person.done("session", "start")
    stats = person.done("status", "--json").json()
    out = person.done("status", "--all").out
    assert str(stats["pid"]) in out
    assert stats["epoch"] in out
    assert "UNKNOWN_SESSION  1" in out
    for group in ("sessions", "mailboxes", "commit", "outbox", "connections", "disk", "limits"):
        assert f"\n{group}:\n" in out
    assert "{" not in out, "a group within a group is in words"
    for group in ("messages since the start", "refused since the start", "rejected before decoding"):
        assert f"\n{group}:\n" in out
    assert "records a commit" in out
    # Histograms are only in the JSON output.
    assert "bounds" not in out


def test_status_describes_the_sweep_in_words(person: Shell) -> None:
    person.done("up")
    assert re.search(r"^  mail, at the last sweep +not known yet$", person.done("status", "--all").out, re.MULTILINE)
    person.done("spool", "prune")
    sweep = person.done("status", "--json").json()["sweep"]
    assert {"lookedAt", "timelineFiles", "bytes", "messages"} <= set(sweep)
    out = person.done("status", "--all").out
    rows = out.partition("\nsweep:\n")[2].partition("\noutbox:\n")[0]
    # A count must not be printed as a time (1970) or as a size.
    assert re.search(r"^  files looked at +0$", rows, re.MULTILINE)
    assert re.search(r"^  space freed +0 B$", rows, re.MULTILINE)
    assert "1970" not in rows
    assert re.search(r"^  topics watched.* 0$", out, re.MULTILINE)


def test_without_autostart_nothing_is_started(person: Shell) -> None:
    off = person.like(MAESTRO_AUTOSTART="0")
    for command in (["session", "list"], ["session", "start"], ["timeline"], ["message", "show", "msg_1"]):
        ran = off.run(*command, "--json")
        assert (ran.code, ran.error()["code"]) == (exit_codes.UNREACHABLE, "BROKER_UNREACHABLE")
        assert "maestro up" in ran.error()["hint"]
    assert off.done("outbox").out == "The outbox is empty.\n"
    assert off.done("outbox", "--json").json() == {"waiting": [], "failed": []}


def test_export_is_for_a_shells_eval(person: Shell) -> None:
    maestro = shlex.join(person.start_command())
    script = f'eval "$({maestro} session start --name alice --export)" && {maestro} session show --json'
    ran = subprocess.run(["sh", "-c", script], env=person.environ, capture_output=True, timeout=60, check=True)
    session = json.loads(ran.stdout)
    assert (session["name"], session["hasToken"]) == ("alice", True)
    lines = person.done("session", "start", "--export").out.splitlines()
    assert [line.partition("=")[0] for line in lines] == ["export MAESTRO_SESSION_ID", "export MAESTRO_SESSION_TOKEN"]


def test_a_session_as_json_and_in_words(person: Shell) -> None:
    session = person.done(
        *("session", "start", "--id", "sess_ci", "--name", "ci", "--role", "orchestrator", "--project", "shop"),
        *("--task", "t1", "--task", "t2", "--agent", "claude-code", "--json"),
    ).json()
    expected = {"id": "sess_ci", "name": "ci", "role": "orchestrator", "projectId": "shop", "agent": "claude-code"}
    assert {key: session[key] for key in expected} == expected
    assert session["taskIds"] == ["t1", "t2"]
    assert session["token"]
    shown = person.done("session", "show", "ci").out
    assert "project:     shop\n" in shown
    assert "tasks:       t1, t2\n" in shown
    assert session["token"] not in shown
    assert person.done("session", "start", "--id", "plain", "--json").json().get("name") is None, "its id says it"
    words = person.done("session", "start", "--name", "dora").out
    assert "named dora, project default.\n" in words
    assert "  export MAESTRO_SESSION_ID=sess_" in words
    assert "  export MAESTRO_SESSION_TOKEN=" in words


def test_the_list_shows_the_active_and_counts_the_rest(person: Shell) -> None:
    assert "No sessions." in person.done("session", "list").out
    alice, bob = person.session("alice"), person.session("bob", project="docs")
    assert bob.done("session", "end", "--status", "failed").out == f"Ended bob ({bob.session_id}): failed.\n"
    out = alice.done("session", "list").out
    assert "alice" in out
    assert "(you)" in out
    assert "bob" not in out
    assert "1 more has ended; --all shows them.\n" in out
    listed = json.loads(person.done("session", "list", "--all", "--json").out)
    assert sorted(session["status"] for session in listed) == ["failed", "idle"]
    assert person.done("session", "list", "--project", "docs", "--json").out == "[]\n"


@pytest.mark.parametrize("stale", ["unknown", "ended"])
def test_a_stale_environment_does_not_keep_a_session_from_starting(person: Shell, stale: str) -> None:
    old = person.session()
    if stale == "ended":
        old.done("session", "end")
    else:
        old.environ["MAESTRO_SESSION_ID"] = "sess_of_another_time"
    ran = old.done("session", "start", "--json")
    assert "parentSessionId" not in ran.json()
    assert f"{old.session_id} (MAESTRO_SESSION_ID) can't be the parent" in ran.err


def test_a_session_is_started_again_from_its_own_shell(person: Shell) -> None:
    alice = person.session()
    alice.done("session", "end")
    again = alice.done("session", "start", "--id", alice.session_id, "--json").json()
    assert (again["id"], again["status"]) == (alice.session_id, "idle")
    assert again["token"] == alice.environ["MAESTRO_SESSION_TOKEN"]
    assert alice.inbox() == []


def test_the_timeline_shows_events_without_any_text(person: Shell) -> None:
    alice, bob = person.session(role="orchestrator"), person.session()
    sent = alice.send(bob, "a secret")
    bob.inbox()
    lines = person.done("timeline", "--json").out.splitlines()
    events = [json.loads(line) for line in lines]
    assert next(event["event"] for event in events if event.get("id") == sent) == "message.accepted"
    assert "message.delivered" in [event["event"] for event in events]
    assert [event["lsn"] for event in events] == sorted(event["lsn"] for event in events)
    plain = person.done("timeline").out
    assert "secret" not in plain + "".join(lines)
    assert f"{alice.session_id} -> {bob.session_id}" in plain
    assert len(person.done("timeline", "--limit", "2").out.splitlines()) == 2
    later = person.done("timeline", "--after", str(events[0]["lsn"]), "--json").out.splitlines()
    assert [json.loads(line) for line in later] == events[1:]
    own = [json.loads(line) for line in bob.done("timeline", "--json").out.splitlines()]
    assert all(bob.session_id in (event.get("from"), event.get("to"), event.get("session")) for event in own)


def test_a_refused_entry_of_the_outbox_is_a_failed_message_with_its_reason(person: Shell) -> None:
    alice = person.session(role="orchestrator")
    person.done("down")
    offline = alice.like(MAESTRO_AUTOSTART="0")
    offline.done("session", "send", "--to", "absent", "--message", "lost?")
    assert "waits\n  | lost?\n" in offline.done("outbox").out
    replayed = person.done("outbox", "--replay", "--json").json()
    assert replayed["failed"] == []
    [letter] = alice.done("message", "dead", "--json").json()["letters"]
    assert (letter["status"], letter["failure"]["code"]) == ("failed", "RECEIVER_NOT_FOUND")
    assert "RECEIVER_NOT_FOUND" in alice.done("message", "dead").out
    shown = alice.done("inbox").out
    assert " from the post office itself, " in shown
    # The post office reads no answers.
    assert "Reply:" not in shown


def on_a_terminal(shell: Shell, *arguments: str) -> str:
    """The output of a command whose standard output is a terminal."""
    ours, theirs = pty.openpty()
    process = shell.start(*arguments, stdout=theirs)
    os.close(theirs)
    output = b""
    # Linux answers EIO once the last holder of the other end has closed it.
    with contextlib.suppress(OSError):
        while some := os.read(ours, 4096):
            output += some
    os.close(ours)
    assert process.wait(30) == 0
    return output.decode()


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_a_terminal_that_wants_it(person: Shell, environ: dict[str, str], coloured: bool) -> None:
    alice, bob = person.session(role="orchestrator"), person.session()
    terminal = bob.like(**{"TERM": "xterm", **environ})
    alice.send(bob, "hello")
    assert ("\x1b[1m" in on_a_terminal(terminal, "inbox")) == coloured
    alice.send(bob, "hello")
    assert "\x1b" not in terminal.done("inbox").out


def test_the_timeline_of_a_session_by_its_name(person: Shell) -> None:
    alice = person.session("alice")
    by_id = person.done("timeline", "--session", alice.session_id).out
    assert person.done("timeline", "--session", "alice").out == by_id
    assert alice.session_id in by_id
    assert person.run("timeline", "--session", "absent").code == exit_codes.NOT_FOUND
