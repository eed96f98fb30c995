"""Hook calls: an agent whose installed hooks a test calls one by one, with the agent's own input.

Rule: the hook is the real script, started by the line that stands in the agent's settings; its answer is checked
against the agent's format.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema

from maestro_cli.hooks import installation
from maestro_cli.hooks.agents import AGENTS
from support.agent_forms import answer_schema, said, text_of

if TYPE_CHECKING:
    from support.cli_shell import Shell


def installed_line(data: str, agent: str, event: str) -> str:
    """The command line in the agent's settings."""
    line = installation.entries(AGENTS[agent], data)[event]["hooks"][0]["command"]
    assert isinstance(line, str)
    return line


def events_of(kind: str) -> dict[str, str]:
    """Each agent's name of the event of a kind."""
    return {
        agent.name: next(event for event, found in agent.events.items() if found == kind) for agent in AGENTS.values()
    }


class Called(NamedTuple):
    """The result of one hook call."""

    code: int
    out: bytes
    err: bytes

    def silent(self) -> bool:
        """Whether the hook printed nothing and succeeded."""
        return (self.code, self.out, self.err) == (0, b"", b"")

    def text(self, agent: str, event: str) -> str:
        """The text that enters the context. Fails if the answer is not in the agent's format."""
        assert (self.code, self.err) == (0, b"")
        answer = json.loads(self.out)
        jsonschema.validate(answer, answer_schema(agent, event))
        return text_of(answer)


class Agent:
    """An agent in a shell, with its hooks installed."""

    def __init__(self, shell: Shell, name: str) -> None:
        self.shell = shell
        self.name = name

    def start(self, event: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start the hook's process as the agent does."""
        line = installed_line(self.shell.data, self.name, event)
        return subprocess.Popen(
            ["/bin/sh", "-c", line],
            env={**self.shell.environ, **environ},
            cwd=self.shell.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def raw(self, event: str, given: bytes, **environ: str) -> Called:
        """Call a hook with these bytes on standard input."""
        process = self.start(event, **environ)
        out, err = process.communicate(given, timeout=60)
        return Called(process.returncode, out, err)

    def call(self, event: str, environ: dict[str, str] | None = None, **more: Any) -> Called:
        """Call a hook with the agent's payload."""
        return self.raw(event, json.dumps(said(self.name, event, **more)).encode(), **(environ or {}))

    def text(self, event: str, **more: Any) -> str:
        """The text that a call brings into the context."""
        return self.call(event, **more).text(self.name, event)
