"""Waking: the names and the fixed words with which an idle agent is woken.

Rule: a wake says only that there is mail. It has no text, name or id of a message, so it can be lost, doubled or late
without harm, and it can inject nothing. The hooks of the woken turn bring the mail, as at any other prompt.
"""

from __future__ import annotations

TYPE_CHECKING = False  # a command that says how a session is woken can do without `typing`
if TYPE_CHECKING:
    from typing import Final

# What starts the turn: `wokenBy` of a confirmation, and `wakeBy` of a session.
CLAUDE_CODE: Final = "claude-code:FileChanged"
CODEX: Final = "codex:queue"
QWEN_CODE: Final = "qwen-code:input-file"
OPENCODE: Final = "opencode:plugin"
TMUX: Final = "tmux:keys"
ZELLIJ: Final = "zellij:keys"
WAKERS: Final = (CLAUDE_CODE, CODEX, QWEN_CODE, OPENCODE, TMUX, ZELLIJ)
# Agents whose hooks, or whose plugin, can have them woken.
HOOKED: Final = frozenset(label.partition(":")[0] for label in WAKERS if not label.endswith(":keys"))
# Why a session is not woken whose setting `wake` is `off`.
SWITCHED_OFF: Final = "it is switched off for this session"


def not_installed(agent: str) -> str:
    """Why an agent whose hooks could have it woken is not."""
    again = f"`maestro hooks install {agent}` sets one up"
    if agent == QWEN_CODE.partition(":")[0]:
        again = f"start it with `--input-file FILE`; {again}"
    return f"its hooks named no way to wake it; {again}"


# What a woken agent reads. A hook recognizes a woken turn by it, so no other text of ours contains it.
NOTICE: Final = "maestro: new mail"
# The file in a mailbox's folder with which the broker asks for a wake; see PROTOCOL.md.
WAKE_FILE: Final = ".wake"
# The events in whose sign a turn begins, by the names of each agent's hooks.
PROMPT_EVENTS: Final = frozenset({"UserPromptSubmit", "BeforeAgent"})
# The detail in the sign of a turn that a wake began (`maestro_runtime.hook_state`).
WOKEN: Final = "woken"
