"""Session link: the session of an agent whose shell has no variables of ours.

Rule: a hook keeps the session and its token in `<data>/hooks/links/<agent>/<agent's own session id>` (0600).
`MAESTRO_SESSION_LINK=<agent>/<that id>` before a command names the link. It outweighs MAESTRO_SESSION_ID, which an
agent may have inherited from the one above it. Without both, the agent's own variable does, if it leads to one link
alone.
"""

from __future__ import annotations

import os

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping

LINK_VARIABLE = "MAESTRO_SESSION_LINK"
# The variable with the agent's own session id, in the shells of its tools -> the agent.
AGENT_VARIABLES = {
    "CLAUDE_CODE_SESSION_ID": "claude-code",
    "CODEX_SESSION_ID": "codex",
    "GEMINI_SESSION_ID": "gemini-cli",
    "QWEN_CODE_SESSION_ID": "qwen-code",
    # Our plugin sets it.
    "OPENCODE_SESSION_ID": "opencode",
}
_BYTES_MAX = 512


def named(data: str, link: str) -> tuple[str, str | None]:
    """The session and the token of the link that MAESTRO_SESSION_LINK names. Raises MaestroError NO_SESSION."""
    agent, _, own = link.partition("/")
    found = _read(data, agent, own)
    if found is None:
        raise MaestroError(
            "NO_SESSION",
            f"{LINK_VARIABLE} names {link[:160]!r}, and {os.path.join(data, 'hooks', 'links')} has no such link",
            "The agent's SessionStart hook makes it: start the agent again. With another data directory, set "
            "MAESTRO_DATA_DIR too.",
        )
    return found


def of_agent(data: str, environ: Mapping[str, str]) -> tuple[str, str | None] | None:
    """The session and the token of the agent whose shell this is; None where that is not one agent with a link."""
    links = [_read(data, agent, environ.get(name, "")) for name, agent in AGENT_VARIABLES.items()]
    found = [link for link in links if link is not None]
    return found[0] if len(found) == 1 else None


def _read(data: str, agent: str, own: str) -> tuple[str, str | None] | None:
    if not (_is_plain(agent) and _is_plain(own)):
        return None
    try:
        descriptor = os.open(os.path.join(data, "hooks", "links", agent, own), os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        lines = os.read(descriptor, _BYTES_MAX).decode("ascii", "replace").split("\n")
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # A link is an agent's, and no agent is the operator.
    is_link = len(lines) > 2 and _is_plain(lines[0]) and lines[0] != OPERATOR
    return (lines[0], lines[1] or None) if is_link else None


def _is_plain(name: str) -> bool:
    """Whether this can be a file's name in the directory, and no path out of it."""
    return name.isascii() and name.replace("-", "").replace("_", "").isalnum()
