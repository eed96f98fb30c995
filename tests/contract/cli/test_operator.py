"""The operator as an address: agents write to the person, and the person writes from a shell without a session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from maestro_schemas.names import short_id
from support.cli_shell import Lines, Shell, open_shell, said_id

if TYPE_CHECKING:
    from support.cli_shell import Ran

# What the agents' own programs set in the shells of their tools.
SIGNS = (
    "CLAUDECODE",
    "CODEX_THREAD_ID",
    "CODEX_SANDBOX",
    "CODEX_SESSION_ID",
    "GEMINI_CLI",
    "CURSOR_AGENT",
    "AI_AGENT",
)


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    """All tests of the module share the one operator, so each begins with an empty inbox."""
    shared_person.done("inbox", "--unread", "--clear", "--quiet")
    return shared_person


def sent_id(ran: Ran) -> str:
    return str(ran.json()["id"])


def refused(ran: Ran, code: str, exit_code: int = exit_codes.REFUSED) -> str:
    """The hint of a refusal."""
    assert ran.code == exit_code, ran
    error = ran.error()
    assert error["code"] == code
    return str(error["hint"])


def received(person: Shell) -> list[str]:
    """The texts of the operator's new mail."""
    return [message["message"] for message in person.inbox()]


# --- a conversation ------------------------------------------------------------------------------------------


def test_a_worker_of_any_project_writes_to_the_person_who_answers(person: Shell) -> None:
    amy = person.session(project="far-away")
    question = sent_id(amy.done("send", "--to", "operator", "-m", "May I?", "--type", "request", "--json"))
    out = person.done("inbox").out
    assert "  | May I?" in out
    assert 'Reply: maestro reply last "..." --as operator' in out
    answer = sent_id(person.done("message", "reply", question, "-m", "Yes.", "--as", "operator", "--json"))
    shown = amy.done("inbox").out
    assert f"{short_id(answer)} from operator (your user's shell or screen; " in shown
    assert f"in reply to {short_id(question)}" in shown
    amy.done("message", "reply", answer, "-m", "Thanks.")
    assert received(person) == ["Thanks."]
    thread = amy.done("message", "thread", question, "--json").json()["messages"]
    assert [message["message"] for message in thread] == ["May I?", "Yes.", "Thanks."]


def test_both_see_what_became_of_their_messages(person: Shell, bob: Shell) -> None:
    up = bob.done("send", "--to", "operator", "-m", "Done.", "--require-ack", "--json").json()
    assert (up["to"], up["reach"]) == ("operator", "inbox")
    assert "not been shown it" in bob.done("message", "receipt", up["id"]).out
    assert received(person) == ["Done."]
    assert bob.state(up["id"]) == "delivered"
    person.done("message", "read", up["id"])
    assert bob.state(up["id"]) == "read"
    assert "read" in bob.done("message", "receipt", up["id"]).out
    down = person.start("send", "--as", "operator", "--to", bob.session_id, "-m", "Go on.", "--wait", "read")
    lines = Lines(down)
    message = said_id(lines.wait_for(lambda line: line.startswith("Sent ")))
    bob.done("message", "read", message)
    assert lines.wait_for(lambda line: line.startswith("Read by "))
    assert down.wait(20) == 0


def test_a_sender_learns_when_the_person_sees_it(person: Shell, bob: Shell) -> None:
    out = bob.done("send", "--to", "operator", "-m", "one").out
    assert "The person sees it in `maestro inbox`" in out
    assert received(person) == ["one"]
    watching = person.start("inbox", "--watch", "--limit", "1")
    lines = Lines(watching, "stderr")
    lines.wait_for(lambda line: "watching the inbox of operator" in line)
    shown = Lines(watching)
    assert "The person is watching" in bob.done("send", "--to", "operator", "-m", "two").out
    shown.wait_for(lambda line: line == "  | two")
    assert watching.wait(20) == 0
    assert received(person) == []


def test_the_person_waits_for_an_answer(person: Shell, bob: Shell) -> None:
    asking = person.start(
        "send", "--as", "operator", "--to", bob.session_id, "-m", "Which port?", "--wait-reply", "--timeout", "20s"
    )
    lines = Lines(asking)
    question = said_id(lines.wait_for(lambda line: line.startswith("Sent ")))
    bob.done("message", "reply", question, "-m", "8080")
    lines.wait_for(lambda line: line == "  | 8080")
    assert asking.wait(20) == 0
    assert received(person) == [], "what was printed is delivered"


def test_the_operator_is_no_session_of_a_list(person: Shell, bob: Shell) -> None:
    bob.done("send", "--to", "operator", "-m", "hello")
    listed = json.loads(person.done("session", "list", "--json", "--all").out)
    assert bob.session_id in {session["id"] for session in listed}
    assert "operator" not in {session["id"] for session in listed}
    assert '"operator"' not in person.done("who", "--json").out
    assert "the person" in bob.done("session", "show", "operator").out
    assert person.run("session", "start", "--id", "operator").code == exit_codes.USAGE
    assert person.run("session", "end", "operator").code == exit_codes.REFUSED
    assert person.inbox()


# --- said, and never inferred --------------------------------------------------------------------------------


def test_a_shell_without_a_session_sends_nothing_by_accident(person: Shell, bob: Shell) -> None:
    hint = refused(person.run("send", "--to", bob.session_id, "-m", "x", "--json"), "NO_SESSION")
    assert "--as operator" in hint
    assert bob.inbox() == []


@pytest.mark.parametrize("sign", SIGNS)
def test_an_agent_without_its_variables_is_not_the_operator(person: Shell, bob: Shell, sign: str) -> None:
    agent = person.like(**{sign: "1"})
    hint = refused(agent.run("send", "--to", bob.session_id, "-m", "x", "--json"), "NO_SESSION")
    assert "--as" not in hint, "an agent needs its own session"
    ran = agent.run("send", "--as", "operator", "--to", bob.session_id, "-m", "x", "--json")
    assert sign in ran.error()["message"]
    assert "ask your user" in refused(ran, "FORBIDDEN")
    assert bob.inbox() == []
    waiting = sent_id(bob.done("send", "--to", "operator", "-m", "secret", "--json"))
    for command in (["inbox"], ["inbox", "--watch", "--timeout", "1s"], ["message", "read", waiting]):
        ran = agent.run(*command, "--json")
        assert sign in ran.error()["message"]
        refused(ran, "NO_SESSION")
    assert bob.state(waiting) == "pending"
    assert received(person) == ["secret"]


def test_a_person_in_an_agents_shell_says_yes(person: Shell, bob: Shell) -> None:
    own = person.like(CLAUDECODE="1")
    own.done("send", "--as", "operator", "--yes", "--to", bob.session_id, "-m", "It is I.")
    assert bob.inbox()[0]["from"] == "operator"
    bob.done("send", "--to", "operator", "-m", "Good.")
    assert [message["message"] for message in own.inbox("--yes")] == ["Good."]


@pytest.mark.parametrize("word", ["bob", "Operator", "", "@all", "opérator"])
def test_as_takes_one_word(person: Shell, word: str) -> None:
    ran = person.run("send", "--as", word, "--to", "operator", "-m", "x", "--json")
    assert "MAESTRO_SESSION_ID" in refused(ran, "INVALID", exit_codes.USAGE)


def test_no_variable_is_the_operator(person: Shell, bob: Shell) -> None:
    shell = person.like(MAESTRO_SESSION_ID="operator")
    waiting = sent_id(bob.done("send", "--to", "operator", "-m", "for the person", "--json"))
    for command in (
        ["send", "--to", bob.session_id, "-m", "x"],
        ["inbox"],
        ["message", "read", waiting],
        ["timeline"],
    ):
        assert "--as operator" in refused(shell.run(*command, "--json"), "NO_SESSION")
    assert bob.state(waiting) == "pending"
    assert received(person) == ["for the person"]


def test_a_shell_with_a_session_may_say_it_too(person: Shell, alice: Shell, bob: Shell) -> None:
    alice.done("send", "--as", "operator", "--to", bob.session_id, "-m", "from the person")
    assert [message["from"] for message in bob.inbox()] == ["operator"]
    bob.done("send", "--to", "operator", "-m", "to the person")
    assert alice.inbox() == []
    assert [message["message"] for message in alice.inbox("--as", "operator")] == ["to the person"]


def test_in_an_agents_shell_the_log_of_all_is_said_too(person: Shell, alice: Shell, bob: Shell) -> None:
    """An agent reads what its session may see; to read as the person is refused like writing."""
    sent = alice.send(bob, "between two")
    agent = alice.like(CLAUDECODE="1")
    for command in (
        ["log"],
        ["timeline"],
        ["message", "show", sent],
        ["message", "thread", sent],
        ["message", "dead"],
    ):
        ran = agent.run(*command, "--as", "operator", "--json")
        assert "CLAUDECODE" in ran.error()["message"]
        refused(ran, "FORBIDDEN")
        agent.done(*command, "--as", "operator", "--yes")


def test_what_the_person_sent(person: Shell, bob: Shell) -> None:
    person.done("send", "--as", "operator", "--to", bob.session_id, "-m", "from me")
    assert "  | from me" in person.done("inbox", "--sent", "--limit", "1").out
    bob.done("send", "--to", "operator", "-m", "to me")
    assert "  | to me" in person.done("inbox", "--all", "--limit", "1").out
    assert received(person) == ["to me"], "an overview marks nothing"


# --- reading what is another's -------------------------------------------------------------------------------


def test_reading_others_mail_marks_nothing(person: Shell, alice: Shell, bob: Shell) -> None:
    sent = alice.send(bob, "for bob alone", metadata={"requiresAck": True})
    before = alice.done("message", "show", sent, "--json").json()
    for command in (
        ["inbox", "--session", bob.session_id],
        ["inbox", "--session", bob.session_id, "--unread", "--as", "operator"],
        ["inbox", "--session", bob.session_id, "--json"],
        ["message", "show", sent],
        ["message", "show", sent, "--as", "operator"],
        ["message", "thread", sent],
        ["message", "receipt", sent],
        ["timeline", "--message", sent, "--as", "operator"],
        ["log", bob.session_id],
        ["log", "--as", "operator"],
        ["inbox", "--all", "--session", bob.session_id],
    ):
        assert sent.split("_")[2][:4] in person.done(*command).out
    assert alice.done("message", "show", sent, "--json").json() == before
    assert [message["id"] for message in bob.inbox()] == [sent], "no lease holds it back"


@pytest.mark.parametrize("marking", ["--mark-read", "--clear", "--watch"])
def test_what_would_mark_others_mail_is_refused(person: Shell, alice: Shell, bob: Shell, marking: str) -> None:
    sent = alice.send(bob, "for bob alone")
    refused(person.run("inbox", "--session", bob.session_id, marking, "--json"), "INVALID", exit_codes.USAGE)
    assert alice.state(sent) == "pending"


def test_only_its_owner_may_name_a_mailbox_or_the_operator(alice: Shell, bob: Shell) -> None:
    sent = alice.send(bob, "for bob alone")
    refused(alice.run("inbox", "--session", bob.session_id, "--json"), "FORBIDDEN")
    refused(alice.run("inbox", "--session", "operator", "--json"), "FORBIDDEN")
    assert short_id(sent) in bob.done("inbox", "--session", bob.session_id).out
    assert bob.state(sent) == "pending"


def test_the_person_acknowledges_its_own_mail_alone(person: Shell, alice: Shell, bob: Shell) -> None:
    own = sent_id(bob.done("send", "--to", "operator", "-m", "mine", "--json"))
    others = alice.send(bob, "not mine")
    for command in (["message", "read", others], ["message", "read", others, "--as", "operator"]):
        assert "message show" in refused(person.run(*command, "--json"), "FORBIDDEN")
    assert alice.state(others) == "pending"
    ran = person.run("message", "read", others, own)
    assert ran.code == exit_codes.REFUSED
    assert "  | mine" in ran.out
    assert (bob.state(own), alice.state(others)) == ("read", "pending")
    refused(person.run("message", "read", "msg_1_none", "--json"), "MESSAGE_NOT_FOUND", exit_codes.NOT_FOUND)


# --- without a broker ----------------------------------------------------------------------------------------


def test_what_the_person_writes_without_a_broker_is_sent_later_and_once() -> None:
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        bob = person.session()
        person.done("down")
        alone = person.like(MAESTRO_AUTOSTART="0")
        words = ("send", "--as", "operator", "--to", bob.session_id, "-m", "later", "--id", "plan-7", "--json")
        queued = alone.done(*words).json()
        assert queued["status"] == "queued"
        assert "/outbox/operator/" in queued["path"]
        person.done("up")
        message = bob.inbox()[0]
        assert (message["id"], message["from"], message["message"]) == (queued["id"], "operator", "later")
        assert person.done("outbox", "--json").json() == {"waiting": [], "failed": []}
        person.kill_broker()
        again = person.done(*words).json()
        assert (again["id"], again["duplicate"]) == (queued["id"], True)
        assert bob.inbox("--unread") == [message | {"status": "delivered"} | _shown(bob, message["id"])]


def test_what_was_refused_while_it_waited_is_retried_by_the_person() -> None:
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        bob = person.session()
        person.done("down")
        alone = person.like(MAESTRO_AUTOSTART="0")
        alone.done("send", "--as", "operator", "--to", "nowhere", "-m", "lost", "--id", "plan-8")
        person.done("up")
        notice = person.inbox()[0]
        assert notice["from"] == "maestro"
        assert "RECEIVER_NOT_FOUND" in notice["message"]
        assert "nowhere" not in notice["message"], "any program of the user may have queued it"
        [letter] = person.done("message", "dead", "--as", "operator", "--json").json()["letters"]
        assert "--as operator" in refused(person.run("message", "retry", letter["id"], "--json"), "NO_SESSION")
        person.done("message", "retry", letter["id"], "--to", bob.session_id, "--as", "operator")
        assert [message["message"] for message in bob.inbox()] == ["lost"]


def test_no_command_about_the_data_complains_of_the_operators_mail() -> None:
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        bob = person.session()
        for end in (person.kill_broker, lambda: person.done("down")):
            bob.done("send", "--to", "operator", "-m", "up")
            person.done("send", "--as", "operator", "--to", bob.session_id, "-m", "down")
            end()
            # A kill may leave a file of the journal that is not complete yet, which the next broker removes.
            found = person.done("spool", "verify", "--json").json()["findings"]
            assert {finding["check"] for finding in found} <= {"leftovers"}
        assert received(person) == ["up", "up"]
        assert [message["message"] for message in bob.inbox()] == ["down", "down"]
        lines = [json.loads(line) for line in person.done("spool", "export").out.splitlines()]
        mail = [line for line in lines if line["kind"] == "message"]
        assert sorted((message["from"] == "operator", message["to"] == "operator") for message in mail) == [
            (False, True), (False, True), (True, False), (True, False)
        ]  # fmt: skip
        assert person.done("status").code == 0
        doctor = person.run("doctor")
        assert "operator" not in "\n".join(line for line in doctor.out.splitlines() if not line.startswith("ok"))
        person.done("spool", "prune", "--older-than", "1ms")
        assert person.done("spool", "verify", "--json").json()["findings"] == []
        assert person.done("inbox", "--unread", "--json").json()["count"] == 0
        bob.done("send", "--to", "operator", "-m", "after the sweep")
        assert received(person) == ["after the sweep"]


def _shown(shell: Shell, message_id: str) -> dict[str, object]:
    found = shell.done("message", "show", message_id, "--json").json()
    return {name: found[name] for name in ("offeredAt", "offeredVia", "deliveredAt", "deliveredVia")}
