"""Agent identity: the session of the agent that has started this MCP server.

Rule: never the operator's, and never that of another agent. Agents give a server little: Codex no variable at all,
Gemini CLI no token. But the server is a child of the agent, and the links of the hooks name the agent's process. The
session may begin after the server, and change (`/clear`, a resume), so each call looks again; what was read is kept
while no link has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from maestro_cli.context import CommandContext
from maestro_cli.hooks import session_link, state_files
from maestro_cli.hooks.state_files import AgentProcess
from maestro_clients.protocol.callers import SESSION_VARIABLE, TOKEN_VARIABLE
from maestro_runtime import process_identity
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_cli.hooks.state_files import AgentLink

# How the names of MCP clients begin, and the agents that have them. Qwen Code is made from Gemini CLI.
_CLIENTS = {
    "claude": ("claude-code",),
    "codex": ("codex",),
    "gemini": ("gemini-cli", "qwen-code"),
    "qwen": ("qwen-code",),
    "opencode": ("opencode",),
}


class _Seen(NamedTuple):
    """What the files said."""

    # The times of the folders of links, which a new or changed link changes.
    stamps: tuple[tuple[str, int], ...]
    links: list[AgentLink]


class AgentIdentity:
    """The identity that this process has by its environment, its ancestors, and the links in `data`."""

    def __init__(self, data: str, environ: Mapping[str, str]) -> None:
        self._data = data
        self._environ = environ
        self._seen: _Seen | None = None

    def context(self, client_name: str) -> CommandContext:
        """The context of the agent's session. `client_name`: as the client calls itself. Raises MaestroError
        NO_SESSION, in words for the agent."""
        session, token = self._found(client_name)
        return CommandContext(self._environ, self._data, session, token)

    def _found(self, client_name: str) -> tuple[str, str | None]:
        named = self._environ.get(session_link.LINK_VARIABLE)
        if named:
            return session_link.named(self._data, named)
        links = self._links()
        above = _of_nearest(links)
        session, token = self._of_environment()
        if session == OPERATOR:
            raise MaestroError(
                "NO_SESSION",
                "the environment of this server names `operator` as its session, and only a person is that",
                "Ask the user to start this agent from a shell without MAESTRO_SESSION_ID.",
            )
        if session is not None:
            maker = next((link for link in links if link.link.made and link.link.session == session), None)
            if above is not None and above.link.session == session:
                return session, token or above.link.token
            if maker is None:
                return session, token
            # It is inherited from an agent above this one, which has started this one from its shell.
            return self._own(above or maker, client_name)
        if above is not None:
            return self._own(above, client_name)
        return session_link.of_agent(self._data, self._environ) or self._none()

    def _of_environment(self) -> tuple[str | None, str | None]:
        session, token = self._environ.get(SESSION_VARIABLE), self._environ.get(TOKEN_VARIABLE)
        # Gemini CLI leaves a variable that is not set as it stands in its settings: "$MAESTRO_SESSION_TOKEN".
        return (
            session if session and not session.startswith("$") else None,
            token if token and not token.startswith("$") else None,
        )

    def _own(self, found: AgentLink, client_name: str) -> tuple[str, str | None]:
        """The link's session, unless the client is certainly another agent than the link's."""
        lower = client_name.lower()
        known = next((agents for begin, agents in _CLIENTS.items() if lower.startswith(begin)), None)
        if known is not None and found.agent not in known:
            raise MaestroError(
                "NO_SESSION",
                f"the only session here is that of the {found.agent} which has started this agent, and "
                f"{known[0]} does not write in its name",
                f"Ask the user to run `maestro hooks install {known[0]} --mcp`, and to start this agent again: it "
                "then gets a session of its own.",
            )
        return found.link.session, found.link.token

    def _none(self) -> tuple[str, str | None]:
        set_here = [name for name in session_link.AGENT_VARIABLES if self._environ.get(name)]
        if len(set_here) > 1:
            raise MaestroError(
                "NO_SESSION",
                f"this server was started below several agents ({', '.join(set_here)} are set), and none of their "
                "processes has a session of its own, so it can't know for whom it speaks",
                "Ask the user to run `maestro hooks install AGENT --mcp` for this agent, and to start it again.",
            )
        raise MaestroError(
            "NO_SESSION",
            "this agent has no Maestro session: no hook of ours has run in it, and its environment names no session",
            "With Maestro's hooks, a session begins with the agent's first turn: call again then. Without them, ask "
            "the user to run `maestro hooks install AGENT --mcp`, and to start the agent again.",
        )

    def _links(self) -> list[AgentLink]:
        stamps = state_files.link_stamps(self._data)
        seen = self._seen
        if seen is None or seen.stamps != stamps:
            # Another thread may do the same; both find the same.
            seen = self._seen = _Seen(stamps, state_files.newest_links(self._data))
        return seen.links


def _of_nearest(links: list[AgentLink]) -> AgentLink | None:
    """The newest link of the nearest process above this one that has any: an agent below another one is nearer."""
    by_process: dict[AgentProcess, AgentLink] = {}
    for link in links:
        for process in link.link.processes:
            by_process.setdefault(process, link)
    pids = {process.pid for process in by_process}
    for pid in process_identity.ancestors():
        if pid in pids:
            now = AgentProcess.of(pid)
            if now is not None and now in by_process:
                return by_process[now]
    return None
