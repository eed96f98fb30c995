"""For whom `maestro mcp` speaks, below agents that pass on what the real ones do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks import shell_script
from support.agent_processes import Agent
from support.mcp_clients import serving, serving_below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli_shell import Shell
    from support.mcp_clients import McpClient


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


@pytest.fixture
def agents(person: Shell) -> Iterator[list[Agent]]:
    """Agents that the test starts; they end with it."""
    import sys

    shell_script.write(person.data, sys.executable)
    made: list[Agent] = []
    yield made
    for agent in made:
        agent.kill()


def is_session(found: McpClient, session: str) -> bool:
    """Whether the server speaks for this session."""
    who = found.call("sessions").splitlines()[0]
    return who.startswith(f"You are {session} ") or f", {session})" in who


def started(agents: list[Agent], shell: Shell, name: str) -> Agent:
    agents.append(Agent(shell, name))
    return agents[-1]


@pytest.mark.parametrize(
    ("name", "client"),
    [("codex", "codex-mcp-client"), ("gemini-cli", "gemini-cli-mcp-client"), ("claude-code", "claude-code")],
)
def test_the_session_that_the_hooks_made(person: Shell, agents: list[Agent], name: str, client: str) -> None:
    """The agent passes no variable on, and the server starts before the session."""
    agent = started(agents, person, name)
    with serving_below(agent, client, keeps=False) as found:
        refused = found.refused("sessions")
        assert "call again then" in refused
        assert "(NO_SESSION)" in refused
        own = agent.start()
        assert is_session(found, own)


def test_another_conversation_of_the_same_agent(person: Shell, agents: list[Agent]) -> None:
    """`/clear` keeps the session under another id of the agent's; a resumed conversation has its own."""
    agent = started(agents, person, "claude-code")
    first = agent.start()
    with serving_below(agent, "claude-code", keeps=False) as found:
        assert is_session(found, first)
        earlier, agent.own_id = agent.own_id, "after-clear"
        assert agent.start("clear") == first
        assert is_session(found, first)
        other = Agent(person, "claude-code", "of-last-week")
        agents.append(other)
        resumed = other.start()
        agent.own_id = "of-last-week"
        assert agent.start("resume") == resumed
        assert is_session(found, resumed)
        agent.own_id = earlier
        agent.start("resume")
        assert is_session(found, first)


def test_a_session_of_the_users_shell(person: Shell, agents: list[Agent]) -> None:
    own = person.session()
    agent = started(agents, own, "codex")
    assert agent.start() == own.session_id
    with serving_below(agent, "codex-mcp-client") as found:
        assert is_session(found, own.session_id)
    with serving_below(agent, "codex-mcp-client", keeps=False) as found:
        # The token is in no file; only the environment has it.
        assert "(TOKEN_REQUIRED)" in found.refused("sessions")


def test_gemini_cli_leaves_a_variable_as_it_stands(person: Shell, agents: list[Agent]) -> None:
    """Where the user's shell has no session, its settings still name the variable."""
    agent = started(agents, person.like(MAESTRO_SESSION_TOKEN="$MAESTRO_SESSION_TOKEN"), "gemini-cli")
    own = agent.start()
    with serving_below(agent, "gemini-cli-mcp-client") as found:
        assert is_session(found, own)


def test_the_variable_of_the_agents_own_session(person: Shell, agents: list[Agent]) -> None:
    """The server is no child of the agent, as behind a wrapper that outlives it."""
    agent = started(agents, person, "claude-code")
    own = agent.start()
    with serving(person, "claude-code", CLAUDE_CODE_SESSION_ID=agent.own_id) as (found, _):
        assert is_session(found, own)
    with serving(person, "x", MAESTRO_SESSION_LINK=f"claude-code/{agent.own_id}") as (found, _):
        assert is_session(found, own)


def test_an_agent_below_another_one(person: Shell, agents: list[Agent]) -> None:
    """It has the variables of the upper one, whose hooks have set them, and speaks for itself."""
    upper = started(agents, person, "claude-code")
    above = upper.start()
    inherits = person.like(MAESTRO_SESSION_ID=above, MAESTRO_SESSION_TOKEN=_token(upper))
    lower = started(agents, inherits, "codex")
    own = lower.start()
    assert own != above
    with serving_below(lower, "codex-mcp-client") as found:
        assert is_session(found, own)


def test_an_agent_without_hooks_below_another_one(person: Shell, agents: list[Agent]) -> None:
    """It must not write in the other's name."""
    upper = started(agents, person, "claude-code")
    above = upper.start()
    with serving_below(upper, "codex-mcp-client") as found:
        refused = found.refused("send", to="operator", message="Who am I?")
        assert "codex does not write in its name" in refused
        assert "maestro hooks install codex --mcp" in refused
    inherits = person.like(MAESTRO_SESSION_ID=above, MAESTRO_SESSION_TOKEN=_token(upper))
    with serving(inherits, "gemini-cli-mcp-client") as (found, _):
        assert "gemini-cli does not write in its name" in found.refused("sessions")
    with serving(inherits, "claude-code") as (found, _):
        assert is_session(found, above)


def test_below_several_agents(person: Shell, agents: list[Agent]) -> None:
    ids = {}
    for name, variable in (("claude-code", "CLAUDE_CODE_SESSION_ID"), ("codex", "CODEX_SESSION_ID")):
        agent = started(agents, person, name)
        agent.start()
        ids[variable] = agent.own_id
    with serving(person, "x", **ids) as (found, _):
        assert "below several agents (CLAUDE_CODE_SESSION_ID, CODEX_SESSION_ID are set)" in found.refused("sessions")


def test_never_the_operator(person: Shell) -> None:
    for variables in ({}, {"MAESTRO_SESSION_ID": "operator"}, {"MAESTRO_SESSION_ID": ""}):
        with serving(person, "x", **variables) as (found, _):
            for tool, arguments in (("inbox", {}), ("send", {"to": "operator", "message": "x"})):
                assert "(NO_SESSION)" in found.refused(tool, **arguments)


def test_a_session_that_has_ended(person: Shell) -> None:
    own = person.session()
    with serving(own) as (found, _):
        own.done("session", "end")
        assert "(SESSION_ENDED)" in found.refused("send", to="operator", message="x")


def test_a_link_of_a_process_that_has_ended(person: Shell, agents: list[Agent]) -> None:
    """A pid alone is not enough: the kernel may have given it to another agent."""
    agent = started(agents, person, "codex")
    agent.start()
    path = os.path.join(person.data, "hooks", "links", "codex", agent.own_id)
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    pid, _, _ = lines[3].partition(" ")
    with serving_below(agent, "codex-mcp-client", keeps=False) as found:
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join([*lines[:3], f"{pid} another/boot/1"]) + "\n")
        assert "(NO_SESSION)" in found.refused("sessions")


def _token(agent: Agent) -> str:
    path = os.path.join(agent.shell.data, "hooks", "links", agent.name, agent.own_id)
    with open(path, encoding="ascii") as file:
        return file.read().split("\n")[1]
