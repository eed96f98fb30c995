"""The real agents call the tools of `maestro mcp`, as `maestro hooks install --mcp` configures it."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from agents.clients import at_work
from agents.desk import await_mail
from agents.scenes import TEXT
from agents.turns import Call, Say
from support.gateways import Gateway

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agents.turns import Request, Turn
    from support.cli_shell import Shell

# As the tool's text offers it.
_ANSWER = re.compile(r'reply\(id="([^"]+)"')


class Client(NamedTuple):
    """What is peculiar to an agent's MCP client."""

    kind: str
    # How a model calls a tool.
    tool: str
    # The name by which it introduces itself.
    name: str
    # Whether a model loads the tools before it calls them.
    defers: bool = False


CLIENTS = [
    pytest.param(Client("claude-code", "mcp__maestro__{}", "claude-code", defers=True), id="claude-code"),
    pytest.param(Client("codex", "mcp__maestro/{}", "codex-mcp-client"), id="codex"),
    pytest.param(Client("gemini-cli", "mcp_maestro_{}", "gemini-cli-mcp-client"), id="gemini-cli"),
]


@pytest.mark.mechanism
@pytest.mark.parametrize("client", CLIENTS)
def test_an_agent_reads_and_answers_by_tools(person: Shell, client: Client) -> None:
    """Without a session in its environment, the server speaks for the session that the agent's hooks made, although
    it started before that. Its mail counts as delivered by the tool, and is in the context once."""
    colleague = person.session("colleague", role="orchestrator")
    sent: list[str] = []
    own: list[Shell] = []

    def call(tool: str, **arguments: Any) -> Turn:
        return Call(client.tool.format(tool), arguments)

    def model(request: Request) -> Turn:
        if client.defers and len(agent.model.calls) == 1:
            names = ",".join(client.tool.format(tool) for tool in ("inbox", "reply"))
            return Call("ToolSearch", {"query": f"select:{names}"})
        if not sent:
            with colleague.client() as office:
                [made] = [one["id"] for one in office.sessions() if one["id"] != colleague.session_id]
                own.append(person.like(MAESTRO_SESSION_ID=made))
                sent.append(office.send(made, TEXT)["id"])
            await_mail(own[0])
            return call("inbox", wait_s=20)
        if "Here they are." not in request:
            offered = [found for text in request.texts() for found in _ANSWER.findall(text)]
            assert offered == [sent[0]]
            return call("reply", id=offered[0], message="Here they are.")
        return Say("Done.")

    with at_work(client.kind, model, os.path.join(person.root, "agent"), person.environ) as agent:
        agent.install_hooks("--mcp")
        agent.run("Go on.")
        assert agent.model.calls[-1].count(TEXT) == 1
    [answer] = colleague.inbox()
    assert (answer["message"], answer["from"]) == ("Here they are.", own[0].session_id)
    assert answer["metadata"]["inReplyTo"] == sent[0]
    with colleague.anonymous().client() as operator:
        read = operator.message(sent[0], session=own[0].session_id)
    assert (read["status"], read["deliveredVia"]) == ("read", f"mcp:{client.name}")


def _claude(home: str, url: str) -> None:
    """As `claude mcp add --transport http --header ...` writes it."""
    headers = {"Authorization": "Bearer ${MAESTRO_SESSION_TOKEN}", "X-Session-ID": "${MAESTRO_SESSION_ID}"}
    with open(os.path.join(home, ".claude.json"), "w", encoding="utf-8") as file:
        json.dump({"mcpServers": {"maestro": {"type": "http", "url": url, "headers": headers}}}, file)


def _codex(home: str, url: str) -> None:
    """As `codex mcp add --url --bearer-token-env-var` writes it, and a line for the session."""
    with open(os.path.join(home, ".codex", "config.toml"), "a", encoding="utf-8") as file:
        file.write(f'\n[mcp_servers.maestro]\nurl = "{url}"\nbearer_token_env_var = "MAESTRO_SESSION_TOKEN"\n')
        file.write('env_http_headers = { "X-Session-ID" = "MAESTRO_SESSION_ID" }\n')


def _gemini(home: str, url: str) -> None:
    """By hand: variables of the environment are put in."""
    path = os.path.join(home, ".gemini", "settings.json")
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    headers = {"Authorization": "Bearer $MAESTRO_SESSION_TOKEN", "X-Session-ID": "$MAESTRO_SESSION_ID"}
    settings["mcpServers"] = {"maestro": {"httpUrl": url, "headers": headers}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(settings, file)


@pytest.mark.parametrize(
    ("client", "configure"),
    [
        pytest.param(*CLIENTS[0].values, _claude, id="claude-code"),
        pytest.param(*CLIENTS[1].values, _codex, id="codex"),
        pytest.param(*CLIENTS[2].values, _gemini, id="gemini-cli"),
    ],
)
def test_an_agent_reads_by_http(person: Shell, client: Client, configure: Callable[[str, str], None]) -> None:
    """The headers are filled in from the environment of a shell with a session, whose token is checked."""
    colleague, own = person.session("colleague", role="orchestrator"), person.session("agent")
    sent = colleague.send(own, TEXT)

    def model(_request: Request) -> Turn:
        if client.defers and len(agent.model.calls) == 1:
            return Call("ToolSearch", {"query": f"select:{client.tool.format('inbox')}"})
        if len(agent.model.calls) == 1 + client.defers:
            return Call(client.tool.format("inbox"), {})
        return Say("Done.")

    with (
        Gateway(person) as gateway,
        at_work(client.kind, model, os.path.join(person.root, "agent"), own.environ) as agent,
    ):
        configure(agent.home, f"{gateway.url}/mcp")
        agent.run("Go on.")
        assert agent.model.calls[-1].count(TEXT) == 1
    with colleague.client() as office:
        assert office.message(sent).get("deliveredVia") == f"mcp:{client.name}"
