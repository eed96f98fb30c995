"""A message to several on the command line: who gets it and when, who refuses it, and what becomes of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_schemas.names import short_id
from support.cli_shell import Lines, Ran, Shell, open_shell, said_id
from support.fast_path import BOTH
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = ("ann", "ben", "cid")


class Team:
    """An orchestrator and three workers of a project of their own."""

    def __init__(self, person: Shell, project: str) -> None:
        self.person = person
        self.project = project
        self.lead = person.session(f"{project}-lead", role="orchestrator", project=project)
        self.by_name = {name: person.session(f"{project}-{name}", project=project) for name in WORKERS}

    def __getitem__(self, name: str) -> Shell:
        return self.by_name[name]

    def named(self, *names: str) -> list[str]:
        """The options that name these workers."""
        return [word for name in names for word in ("--to", f"{self.project}-{name}")]

    def send(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Send to all three as JSON; the outcome."""
        ran = self.lead.run("send", *self.named(*WORKERS), *arguments, "--json")
        assert ran.code == code, ran
        return ran.json()

    def receipt(self, message_id: str) -> dict[str, Any]:
        """The receipt as JSON."""
        return self.lead.done("message", "receipt", message_id, "--json").json()

    def states(self, message_id: str) -> dict[str, str]:
        """The state of each receiver, by its name in the team."""
        ids = {shell.session_id: name for name, shell in self.by_name.items()}
        return {ids[line["to"]]: line["state"] for line in self.receipt(message_id)["recipients"]}


@pytest.fixture(scope="module")
def office() -> Iterator[Shell]:
    with open_shell(MAESTRO_RATE_LIMIT="0") as opened:
        yield opened


@pytest.fixture
def team(office: Shell) -> Team:
    return Team(office, f"t{os.urandom(3).hex()}")


def usage(ran: Ran, *words: str) -> None:
    """The command was refused for its arguments, in these words."""
    assert ran.code == exit_codes.USAGE, ran
    assert all(word in ran.err for word in words), ran.err


@BOTH
def test_a_send_to_several_says_for_each_when_it_sees_it(team: Team, way: str) -> None:
    watching = team["ann"].start("inbox", "--watch")
    with team.lead.client() as client:
        eventually(lambda: client.session(team["ann"].session_id).get("watching", False), "ann watches")
    lead = team.lead.like(MAESTRO_QUICK=way)
    said = lead.done("send", *team.named(*WORKERS), "--type", "request", "-m", "Who broke main?").out.splitlines()
    short = said_id(said[0])
    names = ", ".join(f"{team.project}-{name}" for name in WORKERS)
    assert said[0] == f"Sent to 3 sessions, {names} ({short}). On disk."
    assert said[1] == f"  now    {team.project}-ann (watching)"
    assert said[2].startswith("  later  ")
    assert "(when it looks into its inbox)" in " ".join(said[2:]).replace("         ", "")
    assert len(said) <= 4, "it asks for an answer, so there is no note that it wakes no agent"
    for name in ("ben", "cid"):
        [message] = team[name].inbox()
        assert (short_id(message["id"]), message["audience"]["size"]) == (short, 3)
    watching.kill()


def test_the_json_of_a_send_to_several(team: Team) -> None:
    outcome = team.send("-m", "Read decision 7.")
    assert (outcome["status"], outcome["accepted"], outcome["refused"]) == ("accepted", 3, 0)
    assert outcome["audience"] == {"to": [f"{team.project}-{name}" for name in WORKERS], "size": 3}
    assert [each["name"] for each in outcome["recipients"]] == outcome["audience"]["to"]
    assert {each["seq"] for each in outcome["recipients"]} == {1}
    again = team.send("-m", "Read decision 7.", "--id", outcome["id"])
    assert (again["duplicate"], again["accepted"]) == (True, 3)
    words = team.lead.done("send", *team.named(*WORKERS), "-m", "Read decision 7.", "--id", outcome["id"]).out
    assert words.startswith("Sent before, to 3 sessions, ")
    assert words.endswith("now 3 pending.\n")
    assert team.lead.run("send", *team.named("ann"), "-m", "Other.", "--id", outcome["id"]).code == exit_codes.REFUSED


def test_one_receiver_is_sent_to_as_before(team: Team) -> None:
    said = team.lead.done("send", *team.named("ann"), "-m", "x").out
    name = team.named("ann")[1]
    assert said.startswith(f"Sent to {name} ({said_id(said)}). It is on disk. {name} sees it")
    outcome = team.lead.done("send", *team.named("ann"), "-m", "x", "--json").json()
    assert outcome["to"] == team["ann"].session_id
    assert "audience" not in outcome


def test_a_message_that_asks_nothing_says_that_it_wakes_no_agent(team: Team) -> None:
    names = team.named(*WORKERS)
    assert "It asks nothing, so it wakes no agent" in team.lead.done("send", *names, "-m", "FYI.").out
    for louder in (["--type", "command"], ["--priority", "high"], ["--require-ack"]):
        assert "wakes no agent" not in team.lead.done("send", *names, "-m", "Stop.", *louder).out
    assert "wakes no agent" not in team.lead.done("send", *team.named("ann"), *team.named("ann"), "-m", "One.").out


def test_those_that_refuse_are_named_and_the_exit_code_says_so(team: Team) -> None:
    team["cid"].done("session", "end")
    ran = team.lead.run("send", *team.named(*WORKERS), "-m", "hello")
    assert ran.code == exit_codes.PARTLY == 8
    first = ran.out.splitlines()[0]
    assert " to 2 of 3, " in first
    message_id = said_id(first)
    assert f"  no     {team.project}-cid: it has ended\n" in ran.out
    assert f"→ maestro message retry {message_id}\n" in ran.out
    outcome = team.send("-m", "hello", code=exit_codes.PARTLY)
    assert (outcome["accepted"], outcome["refused"]) == (2, 1)
    assert outcome["recipients"][-1]["error"]["code"] == "RECEIVER_ENDED"
    # A repeat is the same answer, with the same exit code.
    assert team.send("-m", "hello", "--id", outcome["id"], code=exit_codes.PARTLY)["duplicate"] is True
    for name in ("ann", "ben"):
        team[name].done("session", "end")
    ran = team.lead.run("send", *team.named(*WORKERS), "-m", "hello", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.REFUSED, "RECEIVER_ENDED"), "none accepted it"


def test_a_full_mailbox_among_several(shell_environ: dict[str, str]) -> None:
    with open_shell(**{**shell_environ, "MAESTRO_RATE_LIMIT": "0"}, MAESTRO_PENDING_MAX="2") as person:
        team = Team(person, "full")
        for _ in range(2):
            team.lead.send(team["ben"], "filling")
        team["cid"].done("session", "end")
        ran = team.lead.run("send", *team.named(*WORKERS), "-m", "hello")
        assert ran.code == exit_codes.PARTLY
        assert "full-ben: its mailbox is full (2)" in ran.out
        assert "full-cid: it has ended" in ran.out
        message_id = team.lead.done("message", "show", said_id(ran.out), "--json").json()["id"]
        assert team.states(message_id) == {"ann": "pending", "ben": "refused", "cid": "refused"}
        # Both may take it later: each retry goes to those that are left.
        team["ben"].done("inbox")
        again = team.lead.run("message", "retry", message_id)
        assert (again.code, "1 of 2" in again.out) == (exit_codes.PARTLY, True), again
        assert [message["message"] for message in team["ben"].inbox()] == ["hello"]
        retried = team.lead.done("message", "show", said_id(again.out), "--json").json()["id"]
        assert team.lead.run("message", "retry", message_id).code == exit_codes.REFUSED, "cid has still ended"
        last = team.lead.done("message", "retry", message_id, "--on-ended", "queue", "--json").json()
        assert (last["accepted"], last["retryOf"]) == (1, message_id)
        done = team.lead.done("message", "retry", message_id)
        assert done.out.startswith(f"{short_id(message_id)} was retried before, as {last['id']}")
        assert done.out.endswith("Nothing was sent.\n")
        document = team.lead.done("message", "retry", message_id, "--json").json()
        assert (document["id"], document["duplicate"]) == (last["id"], True)
        assert len({message_id, retried, last["id"]}) == 3
        assert [message["message"] for message in team["ann"].inbox()] == ["hello"], "it got it once"


def test_nothing_is_retried_where_all_took_it(team: Team) -> None:
    outcome = team.send("-m", "hello")
    ran = team.lead.run("message", "retry", outcome["id"])
    assert (ran.code, "was taken by every receiver" in ran.err) == (exit_codes.REFUSED, True)
    team["cid"].done("session", "end")
    refused = team.send("-m", "hello", code=exit_codes.PARTLY)
    usage(team.lead.run("message", "retry", refused["id"], *team.named("ann")), "Leave --to off")


def test_wrong_receivers_refuse_the_whole(team: Team) -> None:
    lead, me = team.lead, team.lead.session_id
    ran = lead.run("send", *team.named("ann"), "--to", "nope", "-m", "x", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.NOT_FOUND, "RECEIVER_NOT_FOUND")
    ran = lead.run("send", "--to", me, "--to", me, "-m", "x", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.NOT_FOUND, "NO_RECEIVERS")
    ran = lead.run("send", *team.named("ann") * 33, "-m", "x", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.USAGE, "TOO_MANY")
    assert (ran.error()["limit"], ran.error()["actual"]) == (32, 33)
    ran = lead.run("send", "--to", "@nope", "-m", "x", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.NOT_FOUND, "GROUP_NOT_FOUND")
    ran = lead.run("send", "--to", f"{team.project}-ann,{team.project}-ben", "-m", "x")
    assert (ran.code, "repeat the option: --to ann --to bob" in ran.err) == (exit_codes.NOT_FOUND, True)
    ran = team["ann"].run("send", "--to", "@all", "-m", "x", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.REFUSED, "ROLE_FORBIDDEN")
    assert [shell.inbox() for shell in team.by_name.values()] == [[], [], []], "none of these reached a session"
    # Twice the same, and the sender beside another, is no error.
    twice = lead.done("send", *team.named("ann", "ann"), "--to", me, "-m", "once", "--json").json()
    assert (twice["accepted"], twice["refused"]) == (1, 0)
    assert [message["message"] for message in team["ann"].inbox()] == ["once"]


def test_more_receivers_than_one_message_may_have(shell_environ: dict[str, str]) -> None:
    with open_shell(**shell_environ, MAESTRO_FANOUT_MAX="2") as person:
        team = Team(person, "few")
        ran = team.lead.run("send", *team.named(*WORKERS), "-m", "x", "--json")
        assert (ran.code, ran.error()["code"]) == (exit_codes.USAGE, "TOO_MANY")
        assert (ran.error()["limit"], ran.error()["actual"]) == (2, 3)


def test_a_wide_audience_is_shown_before_it_is_used(shell_environ: dict[str, str]) -> None:
    with open_shell(**shell_environ, MAESTRO_FANOUT_CONFIRM="2") as person:
        team = Team(person, "wide")
        text = 'It\'s "main"'
        for way in ("1", "0"):
            ran = team.lead.run("send", "--to", "@workers", "-m", text, environ={"MAESTRO_QUICK": way})
            assert (ran.code, ran.out) == (exit_codes.REFUSED, "")
            lines = ran.err.splitlines()
            assert lines[0].startswith("  wide-ann  wide-ben  wide-cid")
            assert "maestro: @workers comes to 3 sessions" in ran.err
            assert lines[-1] == "  next: To send it: maestro send --to @workers -m 'It'\"'\"'s \"main\"' --yes"
        error = team.lead.run("send", "--to", "@workers", "-m", text, "--json").error()
        assert [each["name"] for each in error["details"]["receivers"]] == ["wide-ann", "wide-ben", "wide-cid"]
        long = team.lead.run("send", "--to", "@workers", "-m", "x" * 400)
        assert "next: The same command with --yes." in long.err
        assert all(shell.inbox() == [] for shell in team.by_name.values())
        sent = team.lead.done("send", "--to", "@workers", "-m", text, "--yes", "--json").json()
        assert (sent["accepted"], sent["audience"]["to"]) == (3, ["@workers"])


def test_many_receivers_are_counted(shell_environ: dict[str, str]) -> None:
    with open_shell(**shell_environ) as person:
        lead = person.session("lead", role="orchestrator")
        for number in range(12):
            person.session(f"w{number:02}")
        said = lead.done("send", "--to", "@workers", "-m", "x", "--type", "request", "--yes").out
        assert "Sent to 12 sessions, @workers (" in said
        assert "  later  12: w00, w01, w02, w03 and 8 more (when it looks into its inbox)" in said
        narrow = lead.run(
            "send", "--to", "@workers", "-m", "y", "--type", "request", "--yes", environ={"COLUMNS": "44"}
        )
        assert max(len(line) for line in narrow.out.splitlines()[1:]) <= 44


# --- receipts ------------------------------------------------------------------------------------------------


def test_the_receipt_has_a_line_for_each(team: Team) -> None:
    message_id = team.send("--type", "request", "-m", "Who broke main?")["id"]
    team["ann"].done("message", "read", message_id)
    team["ben"].done("inbox")
    answer = team["ann"].done("message", "reply", message_id, "-m", "Me.", "--json").json()["id"]
    said = team.lead.done("message", "receipt", message_id).out.splitlines()
    assert said[0].startswith(f"{message_id} to {team.project}-ann, ")
    assert said[0].endswith(": 3 accepted, 2 delivered, 1 read, 1 answered")
    by_name = {line.split()[0]: line for line in said[1:]}
    assert "answered" in by_name[f"{team.project}-ann"]
    assert f"as {answer}" in by_name[f"{team.project}-ann"]
    assert "by cli" in by_name[f"{team.project}-ben"]
    assert "pending" in by_name[f"{team.project}-cid"]
    document = team.receipt(message_id)
    assert document["counts"] == {
        "accepted": 3, "offered": 2, "delivered": 2, "read": 1, "answered": 1,
        "expired": 0, "deleted": 0, "refused": 0,
    }  # fmt: skip
    assert team.states(message_id) == {"ann": "answered", "ben": "delivered", "cid": "pending"}
    # A receiver sees its own line alone.
    own = team["cid"].done("message", "receipt", message_id, "--json").json()
    assert [line["to"] for line in own["recipients"]] == [team["cid"].session_id]
    stranger = team.person.session(project="elsewhere")
    assert stranger.run("message", "receipt", message_id).code == exit_codes.NOT_FOUND
    assert team.person.anonymous().done("message", "receipt", message_id, "--json").json()["counts"]["accepted"] == 3


def test_the_receipt_of_one_message_says_who_answered(team: Team) -> None:
    message_id = team.lead.send(team["ann"], "Which port?")
    answer = team["ann"].done("message", "reply", message_id, "-m", "4568.", "--json").json()["id"]
    said = team.lead.done("message", "receipt", message_id).out
    assert f"answered by {answer}" in said
    document = team.receipt(message_id)
    assert (document["status"], document["recipients"][0]["state"]) == ("pending", "answered")
    team["ann"].done("message", "delete", message_id)
    assert team.states(message_id) == {"ann": "answered"}
    silent = team.lead.send(team["ben"], "hello")
    team["ben"].done("message", "delete", silent)
    said = team.lead.done("message", "receipt", silent).out
    assert "1 accepted, 0 delivered, 0 read, 0 answered, 1 deleted" in said


def test_a_reply_goes_to_the_sender_alone_and_says_so(team: Team) -> None:
    message_id = team.send("-m", "Who broke main?")["id"]
    said = team["ann"].done("message", "reply", message_id, "-m", "Me.").out
    assert "It went to the sender alone, not to the 3 sessions" in said
    assert [message["message"] for message in team["ben"].inbox()] == ["Who broke main?"]
    ran = team.lead.run("message", "reply", message_id, "-m", "And?")
    usage(ran, f"maestro send --to {team.project}-ann", f"--reply-to {message_id}")
    more = team.lead.done("send", *team.named("ann", "ben"), "--reply-to", message_id, "-m", "And?", "--json").json()
    assert more["threadId"] == message_id
    thread = team.lead.done("message", "thread", message_id, "--json").json()
    assert [message["message"] for message in thread["messages"]] == ["Who broke main?", "Me.", "And?"]


def test_expired_deliveries_are_one_dead_letter(team: Team) -> None:
    message_id = team.send("-m", "hello", "--ttl", "500ms")["id"]
    team["ann"].done("inbox")
    eventually(lambda: team.receipt(message_id)["counts"]["expired"] == 2, "two expired")
    with team.lead.client() as client:
        eventually(lambda: len(client.dead()["messages"]) == 2, "their records are written")
    [letter] = team.lead.done("message", "dead", "--json").json()["letters"]
    assert letter["id"] == message_id
    assert set(letter["receivers"]) == {team["ben"].session_id, team["cid"].session_id}
    said = team.lead.done("message", "dead").out
    assert f"{short_id(message_id)} from {team.lead.session_id} to 2 of 3 (" in said
    assert "2 expired" in team.lead.done("message", "receipt", message_id).out
    again = team.lead.done("message", "retry", message_id, "--ttl", "1h", "--json").json()
    assert {each["to"] for each in again["recipients"]} == set(letter["receivers"])
    [letter] = team.lead.done("message", "dead", "--json").json()["letters"]
    assert letter["retriedAs"] == again["id"]
    assert team.lead.done("message", "retry", message_id, "--json").json()["duplicate"] is True


# --- waiting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["delivered", "read"])
def test_a_wait_is_for_all(team: Team, wanted: str) -> None:
    waiting = team.lead.start("send", *team.named(*WORKERS), "-m", "x", "--wait", wanted, "--timeout", "60s")
    lines = Lines(waiting)
    message_id = said_id(lines.wait_for(lambda line: line.startswith("Sent ")))
    for name in WORKERS:
        assert waiting.poll() is None, name
        if wanted == "read":
            team[name].done("message", "read", message_id)
        else:
            team[name].done("inbox")
    assert waiting.wait(20) == 0
    assert lines.wait_for(lambda line: line.startswith(f"{wanted.capitalize()} by all 3"))


def test_a_wait_that_is_too_late_names_who_is_missing(team: Team) -> None:
    team["cid"].done("session", "end")
    asking = ["send", *team.named(*WORKERS), "--on-ended", "queue", "-m", "x", "--wait", "delivered", "--timeout"]
    ran = team.lead.run(*asking, "300ms", "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.TIMED_OUT, "TIMEOUT")
    missing = ran.error()["details"]["missing"]
    assert set(missing) == {shell.session_id for shell in team.by_name.values()}
    assert f"{team.project}-cid (ended)" in ran.err
    assert ran.json()["status"] == "accepted"


def test_a_wait_for_what_expired_ends(team: Team) -> None:
    asking = ["send", *team.named("ann", "ben"), "-m", "x", "--ttl", "1s", "--wait", "read", "--timeout", "60s"]
    waiting = team.lead.start(*asking)
    message_id = said_id(Lines(waiting).wait_for(lambda line: line.startswith("Sent ")))
    team["ann"].done("message", "read", message_id)
    errors = Lines(waiting, "stderr")
    assert waiting.wait(60) == exit_codes.REFUSED
    assert "was read by 1 of 2" in errors.wait_for(lambda line: line.startswith("maestro: "))
    assert f"{team.project}-ben (expired)" in " ".join(errors.all())


def test_answers_are_gathered(team: Team) -> None:
    waiting = team.lead.start("send", *team.named(*WORKERS), "-m", "Which?", "--wait-reply", "--timeout", "60s")
    lines = Lines(waiting)
    message_id = said_id(lines.wait_for(lambda line: line.startswith("Sent ")))
    answers = []
    for name in WORKERS:
        answers.append(team[name].done("message", "reply", message_id, "-m", f"{name}'s", "--json").json()["id"])
        lines.wait_for(lambda line, name=name: line == f"  | {name}'s")  # type: ignore[misc]
        if name == "ann":
            team["ann"].done("message", "reply", message_id, "-m", "a second one")
    assert waiting.wait(20) == 0
    assert lines.all()[-1] == "All 3 answered."
    assert not any("a second one" in line for line in lines.all()), "one answer of each"
    assert [team.lead.state(answer) for answer in answers] == ["delivered"] * 3
    assert [message["message"] for message in team.lead.inbox()] == ["a second one"]


def test_some_answers_are_enough(team: Team) -> None:
    asking = ["send", *team.named(*WORKERS), "-m", "Who can?", "--wait-reply", "--replies", "2", "--timeout", "60s"]
    waiting = team.lead.start(*asking, "--json")
    eventually(lambda: bool(team["cid"].inbox()), "it came")
    [asked] = team["cid"].inbox("--unread")
    for name in ("cid", "ann"):
        team[name].done("message", "reply", asked["id"], "-m", name)
    document = json.loads(Lines(waiting).wait_for(lambda line: line.startswith("{")))
    assert waiting.wait(20) == 0
    assert [reply["message"] for reply in document["replies"]] == ["cid", "ann"]
    assert document["missing"] == [team["ben"].session_id]
    assert document["id"] == asked["id"]
    # The same command again gathers what came before, since it is the same send.
    more = team.lead.done(*asking[:-4], "--replies", "1", "--id", asked["id"], "--json").json()
    assert (more["duplicate"], [reply["message"] for reply in more["replies"]]) == (True, ["cid"])


def test_answers_that_do_not_come_are_named(team: Team) -> None:
    team["cid"].done("session", "end")
    waiting = team.lead.start(
        "send",
        *team.named(*WORKERS),
        "-m",
        "Which?",
        "--wait-reply",
        "--timeout",
        "3s",
        "--on-ended",
        "queue",
        "--json",
    )
    eventually(lambda: bool(team["ann"].inbox()), "it came")
    [asked] = team["ann"].inbox("--unread")
    team["ann"].done("message", "reply", asked["id"], "-m", "mine")
    document = json.loads(Lines(waiting).wait_for(lambda line: line.startswith("{")))
    assert waiting.wait(30) == exit_codes.TIMED_OUT
    details = document["error"]["details"]
    assert [reply["message"] for reply in details["replies"]] == ["mine"]
    assert set(details["missing"]) == {team["ben"].session_id, team["cid"].session_id}
    assert f"{team.project}-cid (ended)" in document["error"]["message"]


def test_a_gathering_outlives_its_broker(person: Shell) -> None:
    team = Team(person, "kill")
    waiting = team.lead.start("send", *team.named(*WORKERS), "-m", "Which?", "--wait-reply", "--timeout", "60s")
    lines = Lines(waiting)
    message_id = said_id(lines.wait_for(lambda line: line.startswith("Sent ")))
    team["ann"].done("message", "reply", message_id, "-m", "before")
    lines.wait_for(lambda line: line == "  | before")
    person.kill_broker()
    for name, text in (("ben", "after"), ("cid", "last")):
        team[name].done("message", "reply", message_id, "-m", text)
        lines.wait_for(lambda line, text=text: line == f"  | {text}")  # type: ignore[misc]
    assert waiting.wait(30) == 0
    assert team.receipt(message_id)["counts"]["answered"] == 3


def test_a_wait_for_all_outlives_its_broker(person: Shell) -> None:
    team = Team(person, "kill")
    waiting = team.lead.start("send", *team.named(*WORKERS), "-m", "x", "--wait", "delivered", "--timeout", "60s")
    lines = Lines(waiting)
    lines.wait_for(lambda line: line.startswith("Sent "))
    team["ann"].done("inbox")
    person.kill_broker()
    for name in ("ben", "cid"):
        team[name].done("inbox")
    assert waiting.wait(30) == 0
    assert lines.wait_for(lambda line: line.startswith("Delivered by all 3"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--replies", "2"], "--replies was given without --wait-reply"),
        (["--replies", "0", "--wait-reply"], "--replies must be 1 to 1,024, not 0"),
        (["--wait", "read", "--wait-reply"], "exclude each other"),
        (["--wait", "read", "--replies", "1"], "--replies was given without --wait-reply"),
    ],
)
def test_options_that_do_not_go_together(team: Team, options: list[str], words: str) -> None:
    usage(team.lead.run("send", *team.named("ann", "ben"), "-m", "x", *options), words)
    assert team["ann"].inbox() == []


# --- the outbox ----------------------------------------------------------------------------------------------


def test_a_message_to_several_waits_in_the_outbox(person: Shell) -> None:
    team = Team(person, "away")
    person.done("down")
    lead = team.lead.like(MAESTRO_AUTOSTART="0")
    ran = lead.done("send", *team.named("ann", "ben"), "-m", "first")
    assert ran.out.startswith("Queued in the outbox, to away-ann, away-ben (")
    document = lead.done("send", *team.named("ann", "ben"), "-m", "second", "--json").json()
    assert (document["status"], document["to"]) == ("queued", ["away-ann", "away-ben"])
    late = lead.run("send", *team.named("ann", "ben"), "-m", "third", "--wait", "read", "--timeout", "1s", "--json")
    assert (late.code, late.json()["status"]) == (exit_codes.TIMED_OUT, "queued")
    assert late.json()["id"] in late.err
    gathering = lead.run("send", *team.named("ann", "ben"), "-m", "fourth", "--wait-reply", "--replies", "1")
    assert (gathering.code, "can't be answered before a broker runs" in gathering.err) == (exit_codes.TIMED_OUT, True)
    assert "away-ann, away-ben" in lead.done("outbox").out
    person.done("up")
    with team["ben"].client() as client:
        eventually(lambda: len(client.inbox()["messages"]) == 4, "all four came")
    assert team.states(document["id"]) == {"ann": "pending", "ben": "pending"}


def test_an_audience_that_waited_and_was_not_confirmed(shell_environ: dict[str, str]) -> None:
    """It is expanded when the broker takes it, so the refusal comes then; the retry confirms it."""
    with open_shell(**shell_environ, MAESTRO_FANOUT_CONFIRM="2") as person:
        team = Team(person, "late")
        person.done("down")
        queued = team.lead.like(MAESTRO_AUTOSTART="0").done("send", "--to", "@workers", "-m", "x", "--json").json()
        assert (queued["status"], queued["to"]) == ("queued", "@workers")
        person.done("up")
        with team.lead.client() as client:
            eventually(lambda: len(client.inbox()["messages"]) == 1, "the sender hears of it")
        failed = team.receipt(queued["id"])
        assert failed["failure"]["code"] == "CONFIRM_FANOUT"
        assert [(line["to"], line["state"]) for line in failed["recipients"]] == [("@workers", "failed")]
        assert "refused, after it waited in the outbox: CONFIRM_FANOUT" in (
            team.lead.done("message", "receipt", queued["id"]).out
        )
        ran = team.lead.run("message", "retry", queued["id"])
        assert ran.code == exit_codes.REFUSED
        assert f"maestro message retry {queued['id']} --yes" in ran.err
        sent = team.lead.done("message", "retry", queued["id"], "--yes", "--json").json()
        assert (sent["accepted"], sent["retryOf"]) == (3, queued["id"])
