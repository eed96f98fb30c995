"""A team of real processes: an orchestrator tells twelve workers at once, and learns of each what it is."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_cli.hooks import shell_script
from maestro_schemas.names import id_begins
from support.agent_forms import reach_of_idle
from support.agent_processes import Agent
from support.cli_shell import open_shell, said_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.cli_shell import Shell

STOP = "stop, main is red"
PENDING_MAX = 4
PROMPT = {"claude-code": "UserPromptSubmit", "codex": "UserPromptSubmit", "gemini-cli": "BeforeAgent"}
TOOL = {"claude-code": "PostToolUse", "codex": "PostToolUse", "gemini-cli": "AfterTool"}
END = {"claude-code": "Stop", "codex": "Stop", "gemini-cli": "AfterAgent"}


class Worker:
    """A process that calls the hooks of an agent, and the session that its hooks made."""

    def __init__(self, person: Shell, kind: str) -> None:
        self.kind = kind
        self.agent = Agent(person, kind)
        self.session = self.agent.start()

    def works(self) -> str:
        """A tool call; what its hook shows."""
        return self.agent.hook(TOOL[self.kind])

    def ends_its_turn(self) -> str:
        """What the hook shows at the end of a turn."""
        return self.agent.hook(END[self.kind])

    def waits_for_a_person(self) -> None:
        """A permission is asked for."""
        self.agent.hook("PermissionRequest")


class Team:
    """An orchestrator, and twelve workers of three kinds of agents, all of them processes."""

    def __init__(self, person: Shell) -> None:
        shell_script.write(person.data, sys.executable)
        self.person = person
        self.boss = person.session("boss", role="orchestrator")
        self.workers = [Worker(person, kind) for kind in (*PROMPT, *PROMPT, *PROMPT, *PROMPT)]

    @property
    def sessions(self) -> list[str]:
        """The workers' sessions, in the order of their start."""
        return [worker.session for worker in self.workers]

    def inbox(self, session: str) -> list[Any]:
        """A worker's mail in the order of its mailbox, which changes nothing."""
        with self.person.client() as operator:
            return operator.inbox(session=session, since=0, status=["pending", "delivered", "read"])["messages"]

    def kill(self) -> None:
        """End what the test did not."""
        for worker in self.workers:
            worker.agent.kill()


@pytest.fixture
def team() -> Iterator[Team]:
    with open_shell(MAESTRO_PENDING_MAX=str(PENDING_MAX)) as person:
        made = Team(person)
        try:
            yield made
        finally:
            made.kill()


def announce(
    sender: Shell, text: str, *more: str, to: Sequence[str] = ("@workers",), code: int = 0
) -> dict[str, Any]:
    """The outcome of one `maestro send` to several, as JSON."""
    receivers = [word for address in to for word in ("--to", address)]
    ran = sender.run("send", *receivers, "--message", text, "--yes", "--json", *more)
    assert ran.code == code, ran
    return ran.json()


def test_without_yes_nothing_is_sent_and_the_team_is_shown(team: Team) -> None:
    """The gate names all twelve with what they are, in one answer, and costs no message."""
    team.workers[3].agent.kill()
    team.workers[4].works()
    ran = team.boss.run("send", "--to", "@workers", "--message", STOP, "--json")
    assert (ran.code, ran.error()["code"]) == (exit_codes.REFUSED, "CONFIRM_FANOUT")
    named = {each["session"]: each["presence"]["state"] for each in ran.error()["details"]["receivers"]}
    assert list(named) == team.sessions
    assert (named[team.sessions[3]], named[team.sessions[4]]) == ("gone", "working")
    assert set(named.values()) == {"gone", "working", "idle"}
    assert [team.inbox(session) for session in team.sessions] == [[]] * 12


def test_one_command_reaches_twelve_workers_once(team: Team) -> None:
    """Half of them are at work and half idle. Each sees it at the next event of its agent, and only there."""
    for worker in team.workers[::2]:
        worker.agent.hook(PROMPT[worker.kind])
    sent = announce(team.boss, STOP, "--require-ack")
    message_id = sent["id"]
    assert (sent["audience"], sent["accepted"], sent["refused"]) == ({"to": ["@workers"], "size": 12}, 12, 0)
    assert [each["to"] for each in sent["recipients"]] == team.sessions
    assert [each["reach"] for each in sent["recipients"]] == [
        "tool" if number % 2 == 0 else reach_of_idle(worker.kind) for number, worker in enumerate(team.workers)
    ]
    again = announce(team.boss, STOP, "--require-ack", "--id", message_id)
    assert (again["duplicate"], again["id"]) == (True, message_id)
    for number, worker in enumerate(team.workers):
        text = worker.works() if number % 2 == 0 else worker.ends_its_turn()
        assert text.count(STOP) == 1, text
        assert "(to @workers, 12 sessions; asks for acknowledgement)" in text
        assert STOP not in worker.works() + worker.ends_its_turn()
        [message] = team.inbox(worker.session)
        assert (message["id"], message["status"], message["seq"]) == (message_id, "delivered", 1)
    receipt = team.boss.done("message", "receipt", message_id, "--json").json()
    assert [line["to"] for line in receipt["recipients"]] == team.sessions
    assert {line["state"] for line in receipt["recipients"]} == {"delivered"}
    assert [line["via"].rpartition(":")[2] for line in receipt["recipients"]] == [
        event
        for worker, other in zip(team.workers[::2], team.workers[1::2], strict=True)
        for event in (TOOL[worker.kind], END[other.kind])
    ]
    first, *lines = team.boss.done("message", "receipt", message_id).out.splitlines()
    assert first == f"{message_id} to @workers: 12 accepted, 12 delivered, 0 read, 0 answered"
    assert len(lines) == 12


def test_two_who_tell_all_at_once_are_heard_in_one_order(team: Team) -> None:
    """Two commands at the same time, in rounds. Every worker has all of it in the same order, without a gap."""
    chief = team.person.session("chief", role="orchestrator")
    rounds = PENDING_MAX // 2
    for number in range(rounds):
        words = ("send", "--to", "@workers", "--yes", "--message", f"number {number}")
        for command in [sender.start(*words) for sender in (team.boss, chief)]:
            _, errors = command.communicate(timeout=60)
            assert command.returncode == 0, errors
    boxes = [team.inbox(session) for session in team.sessions]
    orders = {tuple(message["id"] for message in box) for box in boxes}
    assert len(orders) == 1
    assert len(set(*orders)) == 2 * rounds
    for box in boxes:
        assert [message["seq"] for message in box] == list(range(1, 2 * rounds + 1))
    for worker in team.workers:
        shown = re.findall(r"(?m)^([0-9a-z]{6,9}) from ", context_of(worker.works()))
        [order] = orders
        assert len(shown) == len(order)
        assert all(map(id_begins, order, shown)), "its agent sees it in that order, too"


def context_of(answer: str) -> str:
    """The text that a hook's answer brings into the context."""
    return str(json.loads(answer)["hookSpecificOutput"]["additionalContext"])


def test_each_receiver_is_said_as_it_is(team: Team) -> None:
    """Three are gone, one's mailbox is full, one ends in between; the others work, wait for a person, or idle."""
    at_work, waiting, *idle = team.workers
    gone, full, ending, others = idle[:3], idle[3], idle[4], idle[5:]
    at_work.works()
    waiting.waits_for_a_person()
    for worker in gone:
        worker.agent.kill()
    with team.boss.client() as client:
        for number in range(PENDING_MAX):
            client.send(full.session, f"filling {number}")
    first = announce(team.boss, STOP, "--require-ack", code=exit_codes.PARTLY)
    assert (first["audience"]["size"], first["accepted"], first["refused"]) == (12, 11, 1)
    said = {each["to"]: each for each in first["recipients"]}
    assert list(said) == [*(one for one in team.sessions if one != full.session), full.session]
    assert what_is(said, at_work) == (201, "tool", "working")
    assert what_is(said, waiting) == (201, "tool", "waiting")
    assert said[waiting.session]["presence"]["detail"] == "permission:Bash"
    assert [what_is(said, worker) for worker in gone] == [(201, "gone", "gone")] * 3
    left = (ending, *others)
    assert [what_is(said, worker) for worker in left] == [(201, reach_of_idle(one.kind), "idle") for one in left]
    refusal = said[full.session]["error"]
    assert (refusal["code"], refusal["limit"], refusal["actual"]) == ("MAILBOX_FULL", PENDING_MAX, PENDING_MAX + 1)
    # It saw the first, and no later one.
    assert STOP in ending.ends_its_turn()
    ending.agent.end()
    states = {
        line["to"]: (line["state"], line.get("code") or line["presence"]["state"])
        for line in team.boss.done("message", "receipt", first["id"], "--json").json()["recipients"]
    }
    assert states == {
        at_work.session: ("pending", "working"),
        waiting.session: ("pending", "waiting"),
        **{worker.session: ("pending", "gone") for worker in gone},
        full.session: ("refused", "MAILBOX_FULL"),
        ending.session: ("delivered", "ended"),
        **{worker.session: ("pending", "idle") for worker in others},
    }
    lines = team.boss.done("message", "receipt", first["id"]).out
    assert lines.startswith(f"{first['id']} to @workers: 11 accepted, 1 delivered, 0 read, 0 answered, 1 refused\n")
    assert len(re.findall(r"(?m)pending .*\(gone, last sign .* ago\)$", lines)) == 3
    assert len(re.findall(r"(?m)pending .*\(waiting .*\(permission: Bash\)\)$", lines)) == 1
    assert len(re.findall(r"(?m)delivered .*\(ended .* ago\)$", lines)) == 1
    assert len(re.findall(r"(?m)refused .*MAILBOX_FULL$", lines)) == 1
    by_name = announce(team.boss, "main is green again", to=team.sessions, code=exit_codes.PARTLY)
    assert (by_name["audience"]["size"], by_name["accepted"], by_name["refused"]) == (12, 10, 2)
    refused = {each["to"]: each["error"]["code"] for each in by_name["recipients"] if "error" in each}
    assert refused == {ending.session: "RECEIVER_ENDED", full.session: "MAILBOX_FULL"}
    by_role = announce(team.boss, "back to work", code=exit_codes.PARTLY)
    assert (by_role["audience"]["size"], by_role["accepted"], by_role["refused"]) == (11, 10, 1)
    texts = [STOP, "main is green again", "back to work"]
    for worker in (at_work, waiting, *gone, *others):
        assert [message["message"] for message in team.inbox(worker.session)] == texts
    assert [message["message"] for message in team.inbox(ending.session)] == [STOP]
    assert [message["message"] for message in team.inbox(full.session)] == [
        f"filling {number}" for number in range(PENDING_MAX)
    ]


def test_the_words_of_a_send_say_what_each_is(team: Team) -> None:
    """The same in words, as a person reads it."""
    at_work, waiting, gone, full, *_ = team.workers
    at_work.works()
    waiting.waits_for_a_person()
    gone.agent.kill()
    with team.boss.client() as client:
        for number in range(PENDING_MAX):
            client.send(full.session, f"filling {number}")
    with team.person.client() as operator:
        for name, worker in (("ann", at_work), ("ben", waiting), ("cid", gone), ("dee", full)):
            operator.rename_session(name, worker.session)
    ran = team.boss.run("send", "--to", "@workers", "--message", STOP, "--yes", "--type", "command")
    assert ran.code == exit_codes.PARTLY
    said = " ".join(ran.out.split())
    message_id = said_id(said)
    assert said.startswith(f"Sent to 11 of 12, @workers ({message_id}). On disk. ")
    assert f"no dee: its mailbox is full ({PENDING_MAX})" in said
    assert said.endswith(f"maestro message retry {message_id}")
    # Of the idle ones only the Claude Codes can be woken: the hooks of the others are not installed for that.
    woken = r"\(idle[^)]*: woken, in about 1 s\)"
    assert re.search(
        rf" now ann \(at work: after its next tool call\) project-.* {woken} later ben \(waits for a person", said
    )
    assert re.search(r"cid \(gone[^)]*\) ", said), said
    assert re.search(r"project-\S+ \(idle[^)]*: at its next prompt, wakes off\)", said), said


def what_is(said: dict[str, Any], worker: Worker) -> tuple[int, str, str]:
    found = said[worker.session]
    return found["status"], found["reach"], found["presence"]["state"]
