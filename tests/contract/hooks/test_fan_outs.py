"""A message to several sessions in the hooks: the fence says to how many, and a quiet one holds no turn open."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli.hooks import agents, shell_script
from maestro_cli.hooks.agents import AGENTS
from maestro_runtime import paths
from maestro_schemas.names import own_part
from support.hook_calls import Agent, events_of

if TYPE_CHECKING:
    from support.cli_shell import Shell

AT_PROMPT = events_of("prompt")
AFTER_TOOL = events_of("tool")
AT_END = events_of("stop")
SHOWING = [
    (agent.name, event)
    for agent in AGENTS.values()
    for event, kind in agent.events.items()
    if kind in (agents.PROMPT, agents.TOOL)
]
TO_THE_SENDER = "An answer to mail for several sessions goes to its sender alone: "
LOUD: list[dict[str, Any]] = [
    {"type": "request"},
    {"type": "command"},
    {"requiresAck": True},
    {"requiresResponse": True},
    {"priority": "high"},
]


@pytest.fixture(scope="module")
def shared_person(shared_person: Shell) -> Shell:
    shell_script.write(shared_person.data, sys.executable)
    return shared_person


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


@pytest.fixture
def cid(person: Shell) -> Shell:
    """A further receiver."""
    return person.session()


def is_marked(shell: Shell) -> bool:
    """Whether the script would start Python for this session."""
    return os.path.exists(os.path.join(paths.receiver_dir(shell.data, shell.session_id), ".pending"))


def logged(shell: Shell) -> str:
    try:
        with open(os.path.join(shell.data, "logs", "hooks.log"), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize(("name", "event"), SHOWING)
def test_a_quiet_message_is_shown_at_a_prompt_and_after_a_tool(
    alice: Shell, bob: Shell, cid: Shell, name: str, event: str
) -> None:
    agent = Agent(bob, name)
    sent = alice.send_to_all([bob, cid], "the build is green")["id"]
    text = agent.text(event)
    assert " ago (to 2 sessions; no answer needed)\n| the build is green\n" in text.replace("just now", "0s ago")
    assert text.count(TO_THE_SENDER) == 1
    assert "Answer: " not in text
    # Offered once, it costs no later hook a start of Python.
    assert not is_marked(bob)
    assert agent.call(event).silent()
    assert {each["status"] for each in receipts(alice, sent, [bob])} == {"delivered"}
    assert {each["status"] for each in receipts(alice, sent, [cid])} == {"pending"}


def receipts(sender: Shell, message_id: str, receivers: list[Shell]) -> list[Any]:
    with sender.anonymous().client() as operator:
        return [operator.message(message_id, session=receiver.session_id) for receiver in receivers]


@pytest.mark.parametrize("name", AGENTS)
def test_a_quiet_message_is_shown_at_the_start(alice: Shell, bob: Shell, cid: Shell, name: str) -> None:
    alice.send_to_all([bob, cid], "the build is green")
    text = Agent(bob, name).text("SessionStart", session_id=f"agent-{os.urandom(8).hex()}")
    assert "(to 2 sessions; no answer needed)\n| the build is green\n" in text
    assert not is_marked(bob)


@pytest.mark.parametrize("name", AGENTS)
def test_a_quiet_message_does_not_hold_a_turn_open(alice: Shell, bob: Shell, cid: Shell, name: str) -> None:
    agent = Agent(bob, name)
    agent.call(AT_PROMPT[name])
    before = logged(bob)
    sent = alice.send_to_all([bob, cid], "the build is green")["id"]
    for again in (False, True):
        assert agent.call(AT_END[name], stop_hook_active=again).silent()
    assert logged(bob) == before
    [message] = receipts(alice, sent, [bob])
    assert (message["status"], "offeredAt" in message, is_marked(bob)) == ("pending", False, True)
    with alice.client() as client:
        assert client.session(bob.session_id)["status"] == "idle", "the turn has ended"
    assert [each["id"] for each in bob.inbox("--unread")] == [sent], "no lease hides it"
    alice.send_to_all([bob, cid], "and the second, too")
    text = agent.text(AT_PROMPT[name])
    assert "| and the second, too\n" in text


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("metadata", LOUD, ids=lambda metadata: next(iter(metadata)))
def test_a_loud_message_holds_a_turn_open_and_brings_the_quiet_ones(
    alice: Shell, bob: Shell, cid: Shell, name: str, metadata: dict[str, Any]
) -> None:
    agent = Agent(bob, name)
    quiet = alice.send_to_all([bob, cid], "the build is green")["id"]
    assert agent.call(AT_END[name]).silent()
    loud = alice.send_to_all([bob, cid], "stop, main is red", metadata=metadata)["id"]
    text = agent.text(AT_END[name])
    assert text.count("(to 2 sessions; ") == 2
    assert "| the build is green\n" in text
    assert "| stop, main is red\n" in text
    if "priority" not in metadata:
        assert "asks for " in text
        order = [text.index(f"{own_part(each)[:6]} from ") for each in (quiet, loud)]
        assert order == sorted(order), "in the order of the mailbox"
    assert not is_marked(bob)
    assert agent.call(AT_END[name], stop_hook_active=True).silent()


def test_a_message_to_one_holds_a_turn_open_as_before(alice: Shell, bob: Shell) -> None:
    agent = Agent(bob, "claude-code")
    alice.send(bob, "for you", metadata={"type": "notification"})
    text = agent.text("Stop")
    assert "| for you\n" in text
    assert "sessions" not in text


def test_many_quiet_ones_do_not_hide_a_loud_one(alice: Shell, bob: Shell, cid: Shell) -> None:
    """More than one page of them stands before it."""
    with alice.client() as client:
        outgoing = [
            {"id": f"msg_{bob.session_id[-9:]}_{number}", "to": both(bob, cid), "message": f"number {number}"}
            for number in range(70)
        ]
        for result in client.send_many(outgoing):  # type: ignore[arg-type]
            assert result["status"] == 201, result
    agent = Agent(bob, "claude-code")
    assert agent.call("Stop").silent()
    alice.send_to_all([bob, cid], "stop, main is red", metadata={"type": "command"})
    texts = [agent.text("Stop")]
    while "| stop, main is red\n" not in texts[-1]:
        texts.append(agent.text("Stop"))
    assert sum(text.count("| number ") for text in texts) == 70


def both(*shells: Shell) -> list[str]:
    return [shell.session_id for shell in shells]


def test_a_quiet_message_that_is_only_previewed_is_offered_once(alice: Shell, bob: Shell, cid: Shell) -> None:
    agent = Agent(bob, "claude-code")
    alice.send_to_all([bob, cid], "x" * 10_000)
    assert "(to 2 sessions; no answer needed)\n| xxx" in agent.text("PostToolUse")
    assert not is_marked(bob)
    for event in ("PostToolUse", "UserPromptSubmit", "Stop"):
        assert agent.call(event).silent()
    assert len(bob.inbox()) == 1


def test_an_audience_is_named(person: Shell) -> None:
    """Its address is there, and the names of the others are not."""
    project = f"p{os.urandom(4).hex()}"
    boss = person.session("boss", role="orchestrator", project=project)
    workers = [person.session(project=project) for _ in range(5)]
    sent = boss.send_to_all(
        [f"@project:{project}"], "stop, main is red", confirm=True, metadata={"requiresAck": True}
    )
    assert sent["accepted"] == 5
    for worker in workers:
        text = Agent(worker, "codex").text("Stop")
        assert f"(to @project:{project}, 5 sessions; asks for acknowledgement)\n| stop, main is red\n" in text
        assert text.count(f"message read {own_part(sent['id'])[:6]}\n") == 1
        assert not any(other.session_id in text for other in workers)


@pytest.mark.parametrize("size", [1, 3])
def test_a_group_is_named(alice: Shell, person: Shell, size: int) -> None:
    """Also one with a single member but the sender: mail to it is quiet, since the address is a group's."""
    group = f"g{os.urandom(4).hex()}"
    members = [person.session() for _ in range(size)]
    alice.done("group", "create", group, *both(*members))
    alice.done("send", "--to", f"@{group}", "--message", "the build is green")
    sessions = "1 session" if size == 1 else f"{size} sessions"
    for member in members:
        agent = Agent(member, "claude-code")
        assert agent.call("Stop").silent()
        assert f"(to @{group}, {sessions}; no answer needed)\n| the build is green\n" in agent.text("PostToolUse")


def test_the_operators_words_have_no_rank(person: Shell, bob: Shell) -> None:
    """They stand in the same fence, behind the same bar."""
    with person.client() as operator:
        answer: Any = operator.call(
            "send",
            {
                "as": {"operator": True},
                "messages": [{"id": f"op{os.urandom(6).hex()}", "to": bob.session_id, "message": "Please stop."}],
            },
        )
    [result] = answer["results"]
    assert result["status"] == 201, result
    text = Agent(bob, "claude-code").text("PostToolUse")
    first, _, rest = text.partition("\n\n")
    assert first.startswith("===== Maestro mail =====\n1 message for you, by mail and not in your user's prompt.")
    short = own_part(result["id"])
    assert rest.startswith(
        f"{short} from operator (your user's shell or screen; any program of that user can write as it), "
    )
    assert "\n| Please stop.\nAnswer: " in rest
    assert f'reply {short} "..."' in rest
    for word in ("overrid", "supersede", "priority", "must", "urgent"):
        assert word not in text
