"""A team of real processes: an orchestrator tells twelve workers at once, and learns of each what it is."""

from __future__ import annotations

import json
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli.hooks import shell_script
from maestro_cli.hooks.agents import AGENTS
from support.agent_processes import Agent
from support.cli_shell import open_shell

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        self.workers = [Worker(person, kind) for kind in (*AGENTS, *AGENTS, *AGENTS, *AGENTS)]

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


def announced(sender: Shell, to: list[str], text: str, **metadata: Any) -> dict[str, Any]:
    """The result of one command that sends to several."""
    return sender.send_to_all(to, text, confirm=True, metadata=metadata)


def test_one_command_reaches_twelve_workers_once(team: Team) -> None:
    """Half of them are at work and half idle. Each sees it at the next event of its agent, and only there."""
    for worker in team.workers[::2]:
        worker.agent.hook(PROMPT[worker.kind])
    sent = announced(team.boss, ["@workers"], STOP, requiresAck=True)
    assert (sent["audience"], sent["accepted"], sent["refused"]) == ({"to": ["@workers"], "size": 12}, 12, 0)
    assert [each["to"] for each in sent["recipients"]] == team.sessions
    assert [each["reach"] for each in sent["recipients"]] == ["tool", "prompt"] * 6
    again = team.boss.send_to_all(["@workers"], STOP, confirm=True, metadata={"requiresAck": True}, id=sent["id"])
    assert (again["status"], again["id"]) == (200, sent["id"])
    for number, worker in enumerate(team.workers):
        text = worker.works() if number % 2 == 0 else worker.ends_its_turn()
        assert text.count(STOP) == 1, text
        assert "(to @workers, 12 sessions; asks for acknowledgement)" in text
        assert STOP not in worker.works() + worker.ends_its_turn()
        [message] = team.inbox(worker.session)
        assert (message["id"], message["status"], message["seq"]) == (sent["id"], "delivered", 1)


def test_two_who_tell_all_at_once_are_heard_in_one_order(team: Team) -> None:
    """Two senders at the same time, in rounds. Every worker has all of it in the same order, without a gap."""
    chief = team.person.session("chief", role="orchestrator")
    rounds = PENDING_MAX // 2
    ready = threading.Barrier(2)

    def tell(sender: Shell) -> None:
        for number in range(rounds):
            ready.wait(20)
            announced(sender, ["@workers"], f"number {number}")

    senders = [threading.Thread(target=tell, args=(sender,)) for sender in (team.boss, chief)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    boxes = [team.inbox(session) for session in team.sessions]
    orders = {tuple(message["id"] for message in box) for box in boxes}
    assert len(orders) == 1
    assert len(set(*orders)) == 2 * rounds
    for box in boxes:
        assert [message["seq"] for message in box] == list(range(1, 2 * rounds + 1))
    for worker in team.workers:
        text = worker.works()
        shown = re.findall(r"(?m)^(msg_\S+) from ", json.loads(text)["hookSpecificOutput"]["additionalContext"])
        assert (tuple(shown),) == tuple(orders), "its agent sees it in that order, too"


def test_each_receiver_is_said_as_it_is(team: Team) -> None:
    """Three are gone, one's mailbox is full, one ends in between; the others work, wait for a person, or idle."""
    at_work, waiting, *idle = team.workers
    gone, full, ending = idle[:3], idle[3], idle[4]
    at_work.works()
    waiting.waits_for_a_person()
    for worker in gone:
        worker.agent.kill()
    with team.boss.client() as client:
        for number in range(PENDING_MAX):
            client.send(full.session, f"filling {number}")
    first = announced(team.boss, ["@workers"], STOP, requiresAck=True)
    assert (first["audience"]["size"], first["accepted"], first["refused"]) == (12, 11, 1)
    said = {each["to"]: each for each in first["recipients"]}
    assert list(said) == [*(one for one in team.sessions if one != full.session), full.session]
    assert what_is(said, at_work) == (201, "tool", "working")
    assert what_is(said, waiting) == (201, "tool", "waiting")
    assert said[waiting.session]["presence"]["detail"] == "permission:Bash"
    assert [what_is(said, worker) for worker in gone] == [(201, "gone", "gone")] * 3
    assert [what_is(said, worker) for worker in idle[4:]] == [(201, "prompt", "idle")] * 6
    refusal = said[full.session]["error"]
    assert (refusal["code"], refusal["limit"], refusal["actual"]) == ("MAILBOX_FULL", PENDING_MAX, PENDING_MAX + 1)
    # It saw the first, and no later one.
    assert STOP in ending.ends_its_turn()
    ending.agent.end()
    by_name = announced(team.boss, team.sessions, "main is green again")
    assert (by_name["audience"]["size"], by_name["accepted"], by_name["refused"]) == (12, 10, 2)
    refused = {each["to"]: each["error"]["code"] for each in by_name["recipients"] if "error" in each}
    assert refused == {ending.session: "RECEIVER_ENDED", full.session: "MAILBOX_FULL"}
    by_role = announced(team.boss, ["@workers"], "back to work")
    assert (by_role["audience"]["size"], by_role["accepted"], by_role["refused"]) == (11, 10, 1)
    texts = [STOP, "main is green again", "back to work"]
    for worker in (at_work, waiting, *gone, *idle[5:]):
        assert [message["message"] for message in team.inbox(worker.session)] == texts
    assert [message["message"] for message in team.inbox(ending.session)] == [STOP]
    assert [message["message"] for message in team.inbox(full.session)] == [
        f"filling {n}" for n in range(PENDING_MAX)
    ]


def what_is(said: dict[str, Any], worker: Worker) -> tuple[int, str, str]:
    found = said[worker.session]
    return found["status"], found["reach"], found["presence"]["state"]
