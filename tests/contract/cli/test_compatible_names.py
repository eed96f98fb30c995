"""The names of Maestro's own client, as its agents' hooks and prompts call them: real commands, and what they do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.cli_shell import Lines, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW = "sess_1770536761607_abc"


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


@pytest.fixture
def lead(person: Shell) -> Shell:
    """An orchestrator."""
    return person.session(role="orchestrator")


@pytest.fixture
def worker(lead: Shell) -> Iterator[Shell]:
    """A session as Maestro starts it: the variables are there, and the session is not."""
    shell = lead.anonymous().like(
        MAESTRO_SESSION_ID=f"{NEW}{id(lead)}",
        MAESTRO_PROJECT_ID="shop",
        MAESTRO_TASK_IDS="task_1,task_2",
        MAESTRO_MODE="worker",
        MAESTRO_RATE_LIMIT="0",
    )
    yield shell
    with lead.anonymous().client() as client:
        for session in client.sessions(active=True):
            if session["id"] == shell.session_id:
                client.end_session(session["id"])


def shown(shell: Shell) -> dict[str, Any]:
    return shell.done("session", "info", "--json").json()


def silent(shell: Shell, *arguments: str) -> None:
    """A hook shows what its command prints to the agent."""
    ran = shell.done(*arguments)
    assert (ran.out, ran.err) == ("", "")


def test_the_hooks_of_an_agents_life(worker: Shell) -> None:
    silent(worker, "session", "register")
    session = shown(worker)
    assert (session["status"], session["role"], session["projectId"], session["taskIds"], session["metadata"]) == (
        "working",
        "worker",
        "shop",
        ["task_1", "task_2"],
        {"mode": "worker"},
    )
    silent(worker, "session", "needs-input", "--message", "Which one?")
    assert shown(worker)["needsInput"]["message"] == "Which one?"
    assert f"waits for a person: {session['name']} (" in worker.done("who").out
    silent(worker, "session", "resume-working")
    assert (shown(worker)["needsInput"], shown(worker)["status"]) == ({"active": False}, "working")
    silent(worker, "session", "needs-input", "--source", "stop")
    assert shown(worker)["status"] == "idle"
    silent(worker, "session", "needs-input", "--source", "tool_failure")
    assert worker.done("session", "complete").out.startswith("Ended ")
    assert shown(worker)["status"] == "completed"
    assert worker.done("whoami").out.endswith(" It has ended: completed.\n")
    # The next prompt, or a resumed agent, brings it back.
    silent(worker, "session", "resume-working")
    assert shown(worker)["status"] == "working"
    worker.done("session", "complete")
    silent(worker, "session", "register")
    assert shown(worker)["status"] == "working"
    silent(worker, "session", "register")
    assert worker.done("session", "register", "--json").json()["id"] == worker.session_id


@pytest.mark.parametrize("name", ["register", "needs-input", "resume-working", "complete", "siblings"])
def test_without_a_session_they_say_what_is_missing(person: Shell, name: str) -> None:
    ran = person.run("session", name)
    assert ran.code == 4
    assert "maestro session start" in ran.err
    assert person.run("report", "progress", "x").code == 4


def test_a_coordinator_by_its_mode(person: Shell) -> None:
    for number, (variable, mode) in enumerate(
        (("MAESTRO_MODE", "coordinated-coordinator"), ("MAESTRO_ROLE", "orchestrator"))
    ):
        boss = person.like(**{"MAESTRO_SESSION_ID": f"sess_9_boss{number}", variable: mode})
        assert boss.done("session", "register", "--json").json()["role"] == "orchestrator"


def test_reports_are_lines_of_the_session_and_the_last_one_ends_it(worker: Shell) -> None:
    worker.done("session", "register")
    assert worker.done("report", "progress", "Half.").out == "Reported progress.\n"
    worker.done("report", "blocked", "No key.")
    worker.done("report", "error", "It broke.", "--json")
    assert worker.done("report", "complete", "Done.").out.endswith(f"Ended {worker.session_id}.\n")
    session = shown(worker)
    assert session["status"] == "completed"
    assert [(note["type"], note["message"]) for note in session["timeline"]] == [
        ("progress", "Half."),
        ("task_blocked", "No key."),
        ("error", "It broke."),
        ("task_completed", "Done."),
    ]
    assert worker.run("report", "progress", "Too late.").code == 4
    assert worker.run("report", "dance", "x").code == 2


def test_who_am_i(person: Shell, lead: Shell) -> None:
    assert lead.done("whoami").out.startswith(f"{lead.session_id}: orchestrator")
    assert lead.done("whoami", "--json").json()["id"] == lead.session_id
    assert person.done("whoami").out.startswith("operator: ")
    assert person.done("whoami", "--json").json() == {"id": "operator"}


def test_siblings(lead: Shell) -> None:
    with lead.client() as client:
        ids = [client.start_session(f"{lead.session_id}_{n}", token="t" * 20)["id"] for n in range(3)]
    one = lead.like(MAESTRO_SESSION_ID=ids[0], MAESTRO_SESSION_TOKEN="t" * 20)
    listed = json.loads(one.done("session", "siblings", "--json").out)
    assert {session["id"] for session in listed} == set(ids[1:])
    assert ids[1] in one.done("session", "siblings").out
    assert "No other active session" in lead.done("session", "siblings").out


def test_prompts(lead: Shell, worker: Shell) -> None:
    worker.done("session", "register")
    lead.done("session", "prompt", worker.session_id, "--message", "Go on.", "--mode", "paste")
    [message] = worker.inbox()
    assert (message["message"], message["metadata"]) == ("Go on.", {"type": "command", "data": {"mode": "paste"}})
    refused = lead.run("session", "prompt", lead.session_id, "--message", "Me.")
    assert (refused.code, "can't prompt itself" in refused.err) == (2, True)
    assert lead.run("session", "prompt", "sess_0_absent", "--message", "You.").code == 3


def test_notifications_and_their_reading(lead: Shell, worker: Shell, bob: Shell) -> None:
    worker.done("session", "register")
    to = f"{worker.session_id},sess_0_absent, {bob.session_id}"
    ran = lead.run("session", "notify", to, "--message", "Stop.", "--detail", "Main is red.")
    assert ran.code == 3
    assert ran.out.count("Sent ") == 2
    assert "sess_0_absent" in ran.err
    assert (
        worker.done("session", "mail", "read", "--json").json()["messages"][0]["message"] == "Stop.\n\nMain is red."
    )
    assert worker.done("session", "mail", "read", "--json").json()["count"] == 0
    assert "Main is red." in bob.done("session", "inbox").out
    assert worker.run("session", "mail", "write").code == 2


MAIL = ("--type", "query", "--subject", "Which port?")


def test_mail(lead: Shell, worker: Shell, bob: Shell) -> None:
    worker.done("session", "register")
    to = f"{worker.session_id},{bob.session_id}"
    lead.done("mail", "send", to, *MAIL, "--message", "For the tests.", "--priority", "critical", "--task-id", "t1")
    [message] = worker.done("mail", "inbox", "--json").json()["messages"]
    assert message["message"] == "Which port?\n\nFor the tests."
    assert message["metadata"]["priority"] == "high"
    assert message["metadata"]["data"]["mail"]["type"] == "query"
    # Again, since it is not acknowledged; and by its type.
    assert worker.done("mail", "inbox", "--json", "--type", "assignment").json()["count"] == 1
    assert worker.done("mail", "inbox", "--json", "--type", "response").json()["count"] == 0
    worker.done("mail", "reply", message["id"], "--message", "8080.")
    waited = lead.done("mail", "wait", "--timeout", "20000", "--json").json()
    assert (waited["message"], waited["metadata"]["inReplyTo"]) == ("8080.", message["id"])
    # That none came is said once, and is no error.
    none = lead.done("mail", "wait", "--timeout", "10")
    assert (none.out, none.err) == ("No mail came.\n", "")
    assert lead.done("mail", "wait", "--timeout", "10", "--json").out == "null\n"
    assert worker.run("mail", "send", *MAIL).code == 2
    assert worker.run("mail", "send", "--to-coordinator", *MAIL).code in (3, 4)


def test_mail_to_those_that_are_found_by_their_place(lead: Shell) -> None:
    with lead.client() as client:
        ids = [
            client.start_session(f"{lead.session_id}_m{n}", token="t" * 20, metadata={"teamMemberId": f"tm_{n}"})[
                "id"
            ]
            for n in range(2)
        ]
    one, two = (lead.like(MAESTRO_SESSION_ID=each, MAESTRO_SESSION_TOKEN="t" * 20) for each in ids)
    one.done("mail", "send", "--to-coordinator", "--type", "status_update", "--subject", "Half.")
    assert [message["message"] for message in lead.inbox()] == ["Half."]
    lead.done("mail", "send", "--to-team-member", "tm_1", "--type", "directive", "--subject", "Stop.")
    assert [message["metadata"]["type"] for message in two.inbox()] == ["command"]
    assert lead.run("mail", "send", "--to-team-member", "tm_9", "--type", "directive", "--subject", "x").code == 3
    lead.done("mail", "broadcast", "--scope", "my-workers", *MAIL)
    one.done("mail", "broadcast", "--scope", "team", "--type", "notification", "--subject", "News.")
    assert [message["message"] for message in two.inbox()] == ["Which port?", "News."]
    assert lead.run("mail", "broadcast", "--scope", "team", *MAIL).code == 3


def test_a_watch_ends_with_the_last_session(lead: Shell, worker: Shell, bob: Shell) -> None:
    worker.done("session", "register")
    bob.done("session", "complete")
    watching = Lines(lead.start("session", "watch", f"{worker.session_id},{bob.session_id}"))
    watching.wait_for(lambda line: line.endswith(f"{worker.session_id} status: working"))
    watching.wait_for(lambda line: line.endswith(f"{bob.session_id} status: completed"))
    worker.done("report", "progress", "Half.")
    watching.wait_for(lambda line: "progress: " in line and "Half." in line)
    worker.done("session", "needs-input", "--message", "Which?")
    watching.wait_for(lambda line: "needs input: " in line and "Which?" in line)
    worker.done("report", "complete", "All.")
    watching.wait_for(lambda line: line == "All watched sessions have ended.")
    ran = lead.done("session", "watch", worker.session_id, "--json")
    assert json.loads(ran.out)["data"] == {"status": "completed"}


def test_a_watch_with_a_time(lead: Shell) -> None:
    ran = lead.run("session", "watch", lead.session_id, "--timeout", "10")
    assert (ran.code, f"{lead.session_id} has not ended within 0.01 s" in ran.err) == (7, True)
    assert lead.run("session", "watch", "sess_0_absent").code == 3
    assert lead.run("session", "watch", ",").code == 2


def test_a_list_of_sessions_for_a_loop(lead: Shell) -> None:
    """The documented loop over all sessions: an array of objects with an `id`."""
    listed = json.loads(lead.done("session", "list", "--json").out)
    assert lead.session_id in [session["id"] for session in listed]
