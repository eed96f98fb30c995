"""Hook agents: what each agent calls its hooks, where it reads them from, and what it takes as an answer.

Rule: pure, one entry an agent; all that differs between agents is in this module, and nothing is imported that the
hook of a waiting agent would pay for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from maestro_schemas.errors import MaestroError

from .context_text import utf8_bytes, utf16_units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

USER: Final = "user"
PROJECT: Final = "project"

# What an event is to us, whatever the agent calls it.
START: Final = "start"
PROMPT: Final = "prompt"
TOOL: Final = "tool"
STOP: Final = "stop"
END: Final = "end"

_TIMEOUT_S = 20


class Agent(NamedTuple):
    """`events`: the agent's name of an event to what it is. `folder`, `file`: where its settings are, below the home
    or project directory; `home_variable` replaces the home, or with `home_is_folder` the folder itself.
    `comments`: whether its settings may have them. `timeout_unit`: how many of the agent's units a second has.
    `block`: its word for "go on" at a turn's end, empty where a context does that. `subagent_tools`: after these,
    context is dropped. `shell_has_session`: whether SessionStart can set variables for its shell. `size`: how it
    counts a text's length. `remark`: what its user has to know after an installation.
    """

    name: str
    events: Mapping[str, str]
    folder: str
    file: str
    home_variable: str
    home_is_folder: bool
    comments: bool
    timeout_unit: int
    block: str
    subagent_tools: frozenset[str]
    shell_has_session: bool
    size: Callable[[str], int]
    remark: str

    def settings_path(self, scope: str, environ: Mapping[str, str], directory: str) -> str:
        """The file that the agent reads in this scope; `directory`: the project's."""
        if scope == PROJECT:
            return os.path.join(directory, self.folder, self.file)
        chosen = environ.get(self.home_variable)
        if chosen:
            top = chosen if self.home_is_folder else os.path.join(chosen, self.folder)
            return os.path.join(os.path.abspath(top), self.file)
        home = environ.get("HOME") or os.path.expanduser("~")
        return os.path.join(home, self.folder, self.file)

    def entry(self, command: str) -> dict[str, Any]:
        """What stands in the list of an event."""
        handler: dict[str, Any] = {"type": "command", "command": command, "timeout": _TIMEOUT_S * self.timeout_unit}
        return {"hooks": [handler]}

    def context(self, event: str, text: str) -> dict[str, Any]:
        """The answer that puts a text into the context."""
        return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}

    def go_on(self, event: str, text: str) -> dict[str, Any]:
        """The answer to the end of a turn that begins another, with a text."""
        return {"decision": self.block, "reason": text} if self.block else self.context(event, text)


CLAUDE_CODE = Agent(
    name="claude-code",
    events={"SessionStart": START, "UserPromptSubmit": PROMPT, "PostToolUse": TOOL, "Stop": STOP, "SessionEnd": END},
    folder=".claude",
    file="settings.json",
    home_variable="CLAUDE_CONFIG_DIR",
    home_is_folder=True,
    comments=False,
    timeout_unit=1,
    # Not "block": seen with 2.1.330, the reason of a block reaches the model twice, and a context once.
    block="",
    subagent_tools=frozenset({"Task", "Agent"}),
    shell_has_session=True,
    size=utf16_units,
    remark="Sessions that run already read it when they are started again, or after a look into /hooks.",
)
CODEX = Agent(
    name="codex",
    events={"SessionStart": START, "UserPromptSubmit": PROMPT, "PostToolUse": TOOL, "Stop": STOP, "SessionEnd": END},
    folder=".codex",
    file="hooks.json",
    home_variable="CODEX_HOME",
    home_is_folder=True,
    comments=False,
    timeout_unit=1,
    block="block",
    subagent_tools=frozenset(),
    shell_has_session=False,
    # It cuts what is over 2,500 tokens, at four bytes each.
    size=utf8_bytes,
    remark="Codex passes over hooks that nobody has reviewed: start it, open /hooks, and trust these.",
)
GEMINI_CLI = Agent(
    name="gemini-cli",
    events={"SessionStart": START, "BeforeAgent": PROMPT, "AfterTool": TOOL, "AfterAgent": STOP, "SessionEnd": END},
    folder=".gemini",
    file="settings.json",
    home_variable="GEMINI_CLI_HOME",
    home_is_folder=False,
    comments=True,
    timeout_unit=1_000,
    block="deny",
    subagent_tools=frozenset(),
    shell_has_session=False,
    size=utf16_units,
    remark="Sessions that run already read it when they are started again.",
)

AGENTS: Final[dict[str, Agent]] = {agent.name: agent for agent in (CLAUDE_CODE, CODEX, GEMINI_CLI)}


def named(name: str) -> Agent:
    """The agent of that name. Raises MaestroError INVALID."""
    found = AGENTS.get(name)
    if found is None:
        raise MaestroError("INVALID", f"no hooks are known for {name!r:.60}", f"Known agents: {', '.join(AGENTS)}.")
    return found
