"""Wake words: whether an idle agent is woken for its mail, how soon, and why not.

Rule: it says what the broker knows, with its time, and nothing of what the agent's model does then. Only replies
about an agent that can be woken need this module.
"""

from __future__ import annotations

from maestro_schemas.texts import waking
from maestro_schemas.texts.visible_text import one_line

from .ages import age, moment

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# From a send to the mail in a request to the model, as seen with the real agents (docs/agents.md).
_SOON = {
    waking.CLAUDE_CODE: "in about 1 s",
    waking.CODEX: "in about 10 s",
    waking.QWEN_CODE: "in a few seconds",
    waking.OPENCODE: "in a few seconds",
    waking.TMUX: "in a few seconds, unless a person types there",
    waking.ZELLIJ: "in a few seconds, unless a person types there",
}
# Where the broker names no reason.
_REASONS = {"off": "its wakes are off", "held": "its wakes are held back"}
_CHECK = "`maestro doctor` looks for the cause"


def soon(wake: Mapping[str, Any]) -> str:
    """How soon a wake brings the mail: `in about 1 s`."""
    return _SOON.get(wake.get("by", ""), "soon")


def why_not(wake: Mapping[str, Any], now_ms: int) -> str:
    """Why mail does not wake the agent now; empty where it does."""
    state, reason = wake.get("state"), one_line(wake.get("reason", ""))
    if state == "unanswered":
        at = f" at {moment(wake['at'], now_ms)}" if "at" in wake else ""
        if reason:
            return f"its last wake{at} failed: {reason}"
        return f"it was woken twice without an answer{at and f', the last time{at}'}; {_CHECK}"
    return reason or _REASONS.get(state, "") if state in _REASONS else ""


def cell(wake: Mapping[str, Any], now_ms: int) -> str:
    """A few words for a list, where the state matters: `woken 3s ago`, `wakes unanswered`; empty for `ready`."""
    state = wake.get("state")
    if state == "woken":
        return f"woken {age(wake['at'], now_ms)}" if "at" in wake else "woken"
    return {"unanswered": "wakes unanswered", "held": "wakes held", "off": "wakes off"}.get(str(state), "")


def last(wake: Mapping[str, Any], now_ms: int) -> str:
    """The last wake, and whether it was answered: `10:02:13, answered`; `-` where there was none."""
    if "at" not in wake:
        return "-"
    answer = {"woken": "no answer yet", "unanswered": "no answer"}.get(str(wake.get("state")), "answered")
    return f"{moment(wake['at'], now_ms)}, {answer}"


def row(session: Mapping[str, Any], now_ms: int) -> str:
    """Of one session, in its details: `ready, by claude-code:FileChanged; last 10:02:13, answered`. Empty where
    nothing can wake it."""
    wake = (session.get("presence") or {}).get("wake") or {}
    by = wake.get("by") or session.get("wakeBy")
    state = wake.get("state") or ("off" if session.get("wake") == "off" else "")
    if not by and not state:
        return ""
    why = why_not(wake, now_ms) if wake else ""
    words = [f"{state or 'not known'}{f', by {by}' if by else ''}", why]
    if "at" in wake and wake.get("state") != "unanswered":
        words.append(f"last {last(wake, now_ms)}")
    return "; ".join(filter(None, words))
