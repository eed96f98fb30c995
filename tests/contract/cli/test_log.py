"""`maestro log`, `inbox --all` and `inbox --sent`: what was said, by names, and nothing is marked by reading it."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from maestro_schemas.names import short_id
from support.cli_shell import Lines

if TYPE_CHECKING:
    from support.cli_shell import Ran, Shell


@pytest.fixture
def team(shell: Shell) -> dict[str, Shell]:
    """An orchestrator and three workers of one project, and a worker of another one."""
    workers = {name: shell.session(name) for name in ("ann", "ben", "cid")}
    return {
        **workers,
        "lead": shell.session("lead", role="orchestrator"),
        "eve": shell.session("eve", project="other"),
    }


def said(ran: Ran) -> list[str]:
    """The texts of `--json`."""
    return [json.loads(line)["message"] for line in ran.out.splitlines()]


def test_each_role_reads_what_it_may_and_marks_nothing(team: dict[str, Shell], shell: Shell) -> None:
    first = team["ann"].send(team["lead"], "main is red")
    team["ann"].send(team["ben"], "psst")
    team["lead"].send_to_all([team["ann"], team["ben"], team["cid"]], "stop")
    team["eve"].send(team["lead"], "hello from elsewhere")

    def texts(who: str, *arguments: str) -> list[str]:
        return said(team[who].done("log", "--json", *arguments))

    assert texts("ann") == ["main is red", "psst", "stop"]
    assert texts("ben") == ["psst", "stop"]
    assert texts("cid") == ["stop"]
    assert texts("lead") == ["main is red", "psst", "stop", "hello from elsewhere"]
    assert texts("eve") == ["hello from elsewhere"]
    assert texts("ann", "ben") == ["psst", "stop"]
    assert texts("lead", team["cid"].session_id) == ["stop"]
    operator = shell.anonymous()
    assert said(operator.done("log", "--json"))[-4:] == ["main is red", "psst", "stop", "hello from elsewhere"]
    assert said(operator.done("log", "--json", "--session", "ben")) == ["psst", "stop"]
    assert said(operator.done("log", "--json", "eve")) == ["hello from elsewhere"]
    # To read the log is not to read the mail.
    assert team["ann"].state(first) == "pending"
    assert [message["message"] for message in team["cid"].inbox()] == ["stop"]


def test_the_lines_of_a_log(team: dict[str, Shell]) -> None:
    ann, ben, lead = (team[name] for name in ("ann", "ben", "lead"))
    asked = ann.send(lead, "main is\nred", metadata={"type": "request", "priority": "high", "requiresAck": True})
    answer = lead.send(ann, "\x1b[2Jthanks\u202e", metadata={"inReplyTo": asked})
    stop = lead.send_to_all(["@workers"], "stop", metadata={"type": "command"}, confirm=True)["id"]
    both = lead.send_to_all([ann, ben], "you two")["id"]
    with ann.client() as client:
        client.confirm([stop], "read")
    lines = lead.done("log").out.splitlines()
    heads = [line.partition("  ")[2] for line in lines if not line.startswith("  ")]
    assert heads == [
        f"ann → lead  {short_id(asked)}  high priority, request, ack wanted, pending",
        f"lead → ann  {short_id(answer)}  pending",
        f"lead → @workers (4)  {short_id(stop)}  command, 1 of 4 read, 3 pending",
        f"lead → ann, ben  {short_id(both)}  2 of 2 pending",
    ]
    assert lines[1:3] == ["  | main is", "  | red"]
    at = next(number for number, line in enumerate(lines) if line.endswith(heads[1]))
    assert lines[at + 1 : at + 4] == [
        f"  ↳ reply to {short_id(asked)}",
        "  | thanks",
        "  Taken out of it: 5 hidden characters.",
    ]
    # A receiver sees its own delivery, and to how many it went.
    own = next(line for line in ann.done("log").out.splitlines() if short_id(both) in line)
    assert own.endswith(f"  lead → ann and 1 more  {short_id(both)}  pending")
    ascii_only = lead.run("log", environ={"PYTHONIOENCODING": "ascii"}).out
    assert "ann -> lead" in ascii_only
    assert f"  reply to {short_id(asked)}" in ascii_only


def test_the_newest_are_shown_and_a_time_bounds_them(team: dict[str, Shell]) -> None:
    ann, ben = team["ann"], team["ben"]
    for number in range(25):
        ann.send(ben, f"text {number}")
    ran = ben.done("log", "--json")
    assert said(ran) == [f"text {number}" for number in range(5, 25)]
    assert "these are the newest 20; --limit shows more" in ran.err
    assert said(ben.done("log", "--json", "--limit", "3")) == ["text 22", "text 23", "text 24"]
    whole = ben.done("log", "--json", "-n", "25")
    assert (len(said(whole)), whole.err) == (25, "")
    assert len(said(ben.done("log", "--json", "--since", "1h", "--limit", "99"))) == 25
    later = ben.done("log", "--since", "2999-01-01")
    assert (later.out, later.err) == ("Nothing was said yet.\n", "")
    assert ben.done("log", "--since", "2999-01-01", "--json").out == ""


def test_following_over_a_crash_misses_and_repeats_nothing(team: dict[str, Shell], shell: Shell) -> None:
    ann, ben, cid = team["ann"], team["ben"], team["cid"]
    ann.send(ben, "one")
    followers = [
        (team["ben"].start("log", "--follow", "--json"), ["one", "two", "three", "four"]),
        (team["lead"].start("log", "--follow", "--json"), ["one", "two", "secret", "three", "four"]),
        (shell.anonymous().start("log", "-f", "--json", ben.session_id), ["one", "two", "three", "four"]),
    ]
    lines = [Lines(process) for process, _ in followers]
    for each in lines:
        each.wait_for(lambda line: '"one"' in line)
    ann.send(ben, "two")
    ann.send(cid, "secret")
    for each in lines:
        each.wait_for(lambda line: '"two"' in line)
    shell.kill_broker()
    ann.done("send", "--to", ben.session_id, "--message", "three")
    team["lead"].send_to_all([ann, ben], "four")
    for each in lines:
        each.wait_for(lambda line: '"four"' in line)
    for (process, expected), each in zip(followers, lines, strict=True):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == exit_codes.INTERRUPTED
        assert [json.loads(line)["message"] for line in each.all()] == expected
    # A follower is no reader of the mailbox.
    assert [message["message"] for message in ben.inbox()] == ["one", "two", "three", "four"]


def test_following_ends_when_its_pipe_is_closed(team: dict[str, Shell]) -> None:
    team["ann"].send(team["ben"], "one")
    process = team["ben"].start("log", "--follow")
    assert process.stdout is not None
    while b"| one" not in process.stdout.readline():
        pass
    process.stdout.close()
    assert process.wait(20) == exit_codes.PIPE_CLOSED


def test_whom_a_name_meant(team: dict[str, Shell], shell: Shell) -> None:
    """A name that another session has now, that of an ended session, and an id."""
    ann = team["ann"]
    old = shell.session("zoe", project="zoo")
    lead = shell.session("keeper", role="orchestrator", project="zoo")
    lead.send(old, "to the old one")
    shell.anonymous().done("session", "end", "zoe")
    ran = lead.done("log", "zoe", "--json")
    assert (said(ran), "who has ended" in ran.err, old.session_id in ran.err) == (["to the old one"], True, True)
    new = shell.session("zoe", project="zoo")
    lead.send(new, "to the new one")
    ran = lead.done("log", "zoe", "--json")
    assert (said(ran), new.session_id in ran.err) == (["to the new one"], True)
    assert lead.done("log", old.session_id).err == ""
    # Both have the name: their ids tell them apart.
    out = lead.done("log").out
    assert f"keeper → zoe ({old.session_id})" in out
    assert f"keeper → zoe ({new.session_id})" in out
    assert ann.done("log", "maestro", "--json").out == ""


def test_only_a_group_has_a_log_of_its_own(team: dict[str, Shell]) -> None:
    for address, code, words in (
        ("@all", exit_codes.USAGE, "@all is no group"),
        ("@project:shop", exit_codes.USAGE, "is no group"),
        ("@no-such-group", exit_codes.NOT_FOUND, "there is no group"),
    ):
        ran = team["ann"].run("log", address)
        assert (ran.code, words in ran.err) == (code, True), ran
        assert "next: " in ran.err


def test_the_log_of_a_group_is_read_from_the_joining_on(team: dict[str, Shell], shell: Shell) -> None:
    """`group log` too; a member sees what the others said, and a follower hears of it without being a receiver."""
    ann, ben, cid, lead = (team[name] for name in ("ann", "ben", "cid", "lead"))
    lead.done("group", "create", "reviews", "ann", "ben")
    ann.send_to_all(["@reviews"], "before")
    follower = ben.start("log", "@reviews", "--follow", "--json")
    lines = Lines(follower)
    lines.wait_for(lambda line: '"before"' in line)
    cid.done("group", "join", "reviews")
    cid.send_to_all(["@reviews"], "after")
    # To both alone, and so not in the log of the group.
    ann.send(ben, "aside")
    lines.wait_for(lambda line: '"after"' in line)
    shell.kill_broker()
    ben.done("send", "--to", "@reviews", "--message", "from the follower itself")
    lines.wait_for(lambda line: '"from the follower itself"' in line)
    follower.send_signal(signal.SIGINT)
    assert follower.wait(20) == exit_codes.INTERRUPTED
    whole = ["before", "after", "from the follower itself"]
    assert [json.loads(line)["message"] for line in lines.all()] == whole
    for shell_of, expected in ((ann, whole), (cid, whole[1:]), (lead, whole), (team["eve"], [])):
        assert said(shell_of.done("log", "@reviews", "--json")) == expected
    assert said(cid.done("group", "log", "reviews", "--json", "--limit", "1")) == whole[2:]
    heads = [line for line in cid.done("log", "@reviews").out.splitlines() if " → " in line]
    assert "  cid → @reviews (2)  " in heads[0]
    assert heads[0].endswith("  2 of 2 pending")
    assert "  ben → @reviews (2)  " in heads[1]


def test_wrong_arguments_say_what_to_do(team: dict[str, Shell]) -> None:
    ann = team["ann"]
    for arguments, code, words in (
        (("ghost",), exit_codes.NOT_FOUND, "there is no session 'ghost'"),
        (("--limit", "0"), exit_codes.USAGE, "--limit must be 1 to 1,000,000, not 0"),
        (("--since", "soon"), exit_codes.USAGE, "2026-11-22T10:00"),
        (("--session", team["ben"].session_id), exit_codes.REFUSED, "The operator may"),
    ):
        ran = ann.run("log", *arguments)
        assert (ran.code, words in ran.err, ran.out) == (code, True, ""), ran
        as_json = ann.run("log", "--json", *arguments)
        assert as_json.error()["message"]


def test_an_agent_without_its_session_reads_no_log_of_all(team: dict[str, Shell], shell: Shell) -> None:
    """It would take the log of all sessions for its own. A person says so."""
    team["ann"].send(team["ben"], "one")
    lost = shell.anonymous().like(CLAUDECODE="1")
    ran = lost.run("log")
    assert (ran.code, ran.out, "CLAUDECODE is set" in ran.err) == (exit_codes.REFUSED, "", True)
    assert said(lost.done("log", "--yes", "--json")) == ["one"]


def test_all_and_sent_list_with_status_and_mark_nothing(team: dict[str, Shell]) -> None:
    ann, ben, cid, lead = (team[name] for name in ("ann", "ben", "cid", "lead"))
    first = lead.send_to_all([ann, ben, cid], "stop")["id"]
    second = ann.send(lead, "stopped")
    with ann.client() as client:
        client.confirm([first], "read")
    sent = lead.done("inbox", "--sent")
    assert f"{short_id(first)}  1 of 3 read, 2 pending\n  | stop\n" in sent.out
    assert short_id(second) not in sent.out
    listed = ann.done("inbox", "--all", "--json").json()
    assert [(message["id"], message["status"]) for message in listed["messages"]] == [(first, "read")]
    assert (listed["count"], listed["hasMore"]) == (1, False)
    own = lead.done("inbox", "--sent", "--json").json()["messages"]
    assert [(message["id"], message["counts"]) for message in own] == [(first, {"read": 1, "pending": 2})]
    assert f"{short_id(second)}  pending" in lead.done("inbox", "-a").out
    assert lead.state(second) == "pending"
    assert ben.done("inbox", "--sent").out == "No messages were sent.\n"
    assert ben.done("inbox", "--sent", "--quiet").out == ""
    assert [message["id"] for message in ben.inbox()] == [first]
    more = lead.done("inbox", "--all", "--limit", "1")
    assert more.err == ""
    ann.send(lead, "again")
    assert "these are the newest 1" in lead.done("inbox", "--all", "--limit", "1").err
    for arguments in (
        ("--all", "--sent"),
        ("--all", "--watch"),
        ("--sent", "--mark-read"),
        ("--all", "--limit", "0"),
    ):
        ran = ann.run("inbox", *arguments)
        assert (ran.code, arguments[0] in ran.err or "--limit" in ran.err) == (exit_codes.USAGE, True), ran
