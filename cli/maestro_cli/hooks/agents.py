"""Hook agents: for each supported agent, its event names, its settings file and its answer format.

Rule: pure; one entry per agent, and every difference between agents is in this module. It imports little, because
each hook call of a waiting agent imports it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts import waking

from .context_text import utf8_bytes, utf16_units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

USER: Final = "user"
PROJECT: Final = "project"

# The kinds of events; each agent has its own names for them.
START: Final = "start"
PROMPT: Final = "prompt"
TOOL: Final = "tool"
STOP: Final = "stop"
WAIT: Final = "wait"
END: Final = "end"
# The mailbox's `.wake` has changed; answered by the script alone.
WAKE: Final = "wake"

_TIMEOUT_S = 20
# The script waits for nothing at that event, so this only bounds a machine under load.
_WAKE_TIMEOUT_S = 60
# Where XDG keeps a user's configuration, below the home directory, and the variable that replaces it.
_CONFIG: Final = ".config/"
_CONFIG_VARIABLE: Final = "XDG_CONFIG_HOME"

# Claude Code runs the hook beside its own work, and starts a turn if it ends with 2. The summary is what the person
# sees. The model reads the message, and then what the hook printed.
_REWAKE: Final = {
    "asyncRewake": True,
    "rewakeSummary": waking.NOTICE,
    "rewakeMessage": f"{waking.NOTICE} for this session. The hook of its post office says:",
}


class Agent(NamedTuple):
    """One supported agent."""

    name: str
    # The name of its command.
    program: str
    # The agent's name of each event -> the kind of the event.
    events: Mapping[str, str]
    # Its settings file is `folder`/`file`, below the home or project directory.
    folder: str
    file: str
    # The file of a user's own settings in a project, beside `file`, which a team commits; empty where there is none.
    local_file: str
    # The variable that replaces the home directory; with `home_is_folder`, it replaces `folder` in it.
    home_variable: str
    home_is_folder: bool
    # Whether its settings may contain comments.
    comments: bool
    # The unit of its hook timeouts: 1 for seconds, 1,000 for milliseconds.
    timeout_units_per_s: int
    # The decision that continues a turn at its end; empty where an additional context does that.
    block: str
    # Tools that run a subagent. The agent discards context that is injected after one of them.
    subagent_tools: frozenset[str]
    # Whether SessionStart can set variables for the shell of the agent's tools.
    shell_has_session: bool
    # The length of a text, in the units of the agent's limit for injected context.
    size: Callable[[str], int]
    # What the user must know after an installation.
    remark: str
    # What can wake it from idle, where its hooks are installed for that: a name in `waking`; empty: nothing can.
    waker: str = ""
    # What that needs beside the hooks.
    wakes_if: str = ""
    # Whether `file` is a plugin of ours, which runs the hooks, and no file of settings.
    is_plugin: bool = False
    # The folder in a project, where it has another name than the user's.
    project_folder: str = ""
    # Where its settings have the list of rules that let it open the files of its mail; empty: it needs none.
    rule_keys: tuple[str, ...] = ()
    # It runs hooks in the user's login shell, whose files may change what a command does; and a changed line stays
    # without effect until the user has reviewed it.
    has_login_shell: bool = False
    # It opens files only in folders of its own, so its hooks copy those of its mail there.
    has_own_folder: bool = False

    def user_settings(self, environ: Mapping[str, str]) -> str:
        """The user's own settings file. Raises MaestroError DATA_DIR_UNUSABLE without a home directory."""
        chosen = environ.get(self.home_variable)
        if chosen:
            top = chosen if self.home_is_folder else os.path.join(chosen, self.folder)
            return os.path.join(paths.absolute(top, self.home_variable), self.file)
        config = environ.get(_CONFIG_VARIABLE)
        if config and self.folder.startswith(_CONFIG):
            folder = self.folder.removeprefix(_CONFIG)
            return os.path.join(paths.absolute(config, _CONFIG_VARIABLE), folder, self.file)
        return os.path.join(paths.home(environ), self.folder, self.file)

    @property
    def folder_in_project(self) -> str:
        """The folder of its settings in a project."""
        return self.project_folder or self.folder

    def project_settings(self, directory: str) -> str:
        """The user's own settings file in a project; where the agent knows none, the project's only one."""
        return os.path.join(directory, self.folder_in_project, self.local_file or self.file)

    def shared_settings(self, directory: str) -> str:
        """The settings file of a project that its team commits."""
        return os.path.join(directory, self.folder_in_project, self.file)

    def entry(self, event: str, command: str) -> dict[str, Any]:
        """The entry for an event's list in the settings."""
        is_wake = self.events[event] == WAKE
        handler: dict[str, Any] = {
            "type": "command",
            "command": command,
            "timeout": (_WAKE_TIMEOUT_S if is_wake else _TIMEOUT_S) * self.timeout_units_per_s,
        }
        return {"hooks": [handler | _REWAKE if is_wake else handler]}

    def context(self, event: str, text: str, watched: str = "") -> dict[str, Any]:
        """The answer that injects a text into the agent's context. `watched`: a file whose changes it watches from
        now on."""
        answer: dict[str, Any] = {"hookEventName": event, "additionalContext": text}
        return {"hookSpecificOutput": answer | ({"watchPaths": [watched]} if watched else {})}

    def continue_turn(self, event: str, text: str) -> dict[str, Any]:
        """The answer at a turn's end that continues the turn with a text."""
        return {"decision": self.block, "reason": text} if self.block else self.context(event, text)


CLAUDE_CODE = Agent(
    name="claude-code",
    program="claude",
    events={
        "SessionStart": START,
        "UserPromptSubmit": PROMPT,
        "PostToolUse": TOOL,
        "PermissionRequest": WAIT,
        "Notification": WAIT,
        "Stop": STOP,
        "SessionEnd": END,
        "FileChanged": WAKE,
    },
    folder=".claude",
    file="settings.json",
    local_file="settings.local.json",
    home_variable="CLAUDE_CONFIG_DIR",
    home_is_folder=True,
    comments=False,
    timeout_units_per_s=1,
    # Not "block": with 2.1.330, the reason of a block reached the model twice, and a context once.
    block="",
    subagent_tools=frozenset({"Task", "Agent"}),
    shell_has_session=True,
    size=utf16_units,
    remark="Running sessions read the new hooks when you restart them, or when you open /hooks in them.",
    waker=waking.CLAUDE_CODE,
    rule_keys=("permissions", "allow"),
)
CODEX = Agent(
    name="codex",
    program="codex",
    events={
        "SessionStart": START,
        "UserPromptSubmit": PROMPT,
        "PostToolUse": TOOL,
        "PermissionRequest": WAIT,
        "Stop": STOP,
        "SessionEnd": END,
    },
    folder=".codex",
    file="hooks.json",
    local_file="",
    home_variable="CODEX_HOME",
    home_is_folder=True,
    comments=False,
    timeout_units_per_s=1,
    block="block",
    subagent_tools=frozenset(),
    shell_has_session=False,
    # Codex truncates a text above 2,500 tokens, and counts four bytes as one token.
    size=utf8_bytes,
    remark="Codex skips hooks that you have not reviewed: start it, open /hooks, and trust these.",
    waker=waking.CODEX,
    has_login_shell=True,
)
GEMINI_CLI = Agent(
    name="gemini-cli",
    program="gemini",
    events={
        "SessionStart": START,
        "BeforeAgent": PROMPT,
        "AfterTool": TOOL,
        "Notification": WAIT,
        "AfterAgent": STOP,
        "SessionEnd": END,
    },
    folder=".gemini",
    file="settings.json",
    local_file="",
    home_variable="GEMINI_CLI_HOME",
    home_is_folder=False,
    comments=True,
    timeout_units_per_s=1_000,
    block="deny",
    subagent_tools=frozenset(),
    shell_has_session=False,
    size=utf16_units,
    remark="Running sessions read the new hooks when you restart them.",
    has_own_folder=True,
)
# Its hooks have the names and the answers of Claude Code's; seen with 0.24.4.
QWEN_CODE = Agent(
    name="qwen-code",
    program="qwen",
    events={
        "SessionStart": START,
        "UserPromptSubmit": PROMPT,
        "PostToolUse": TOOL,
        "PermissionRequest": WAIT,
        "Notification": WAIT,
        "Stop": STOP,
        "SessionEnd": END,
    },
    folder=".qwen",
    file="settings.json",
    local_file="",
    home_variable="QWEN_HOME",
    home_is_folder=True,
    comments=True,
    timeout_units_per_s=1,
    block="block",
    subagent_tools=frozenset(),
    shell_has_session=False,
    size=utf16_units,
    remark="Running sessions read the new hooks when you restart them, or when you open /hooks in them.",
    waker=waking.QWEN_CODE,
    wakes_if="if it was started with a file of its own (qwen --input-file FILE)",
)
# It runs no commands as hooks. Our plugin runs them, with the names and the answers of Claude Code's.
OPENCODE = Agent(
    name="opencode",
    program="opencode",
    events={
        "SessionStart": START,
        "UserPromptSubmit": PROMPT,
        "PostToolUse": TOOL,
        "PermissionRequest": WAIT,
        "Notification": WAIT,
        "Stop": STOP,
        "SessionEnd": END,
    },
    folder=".config/opencode",
    file="plugin/maestro.js",
    local_file="",
    home_variable="OPENCODE_CONFIG_DIR",
    home_is_folder=True,
    comments=False,
    timeout_units_per_s=1,
    block="",
    subagent_tools=frozenset(),
    shell_has_session=False,
    size=utf16_units,
    remark="Running sessions read the new plugin when you restart them.",
    waker=waking.OPENCODE,
    is_plugin=True,
    project_folder=".opencode",
)

AGENTS: Final[dict[str, Agent]] = {
    agent.name: agent for agent in (CLAUDE_CODE, CODEX, GEMINI_CLI, QWEN_CODE, OPENCODE)
}


def named(name: str) -> Agent:
    """Look up an agent by name. Raises MaestroError INVALID."""
    found = AGENTS.get(name)
    if found is None:
        raise MaestroError("INVALID", f"no hooks are known for {name!r:.60}", f"Known agents: {', '.join(AGENTS)}.")
    return found
