"""Presence words: what is known of a session, and when it sees a message, in words with the age of the sign.

Rule: an old sign is never said without its age, and a dead process never called at work. It is on the fast path of
`send`, so it imports nothing that costs time.
"""

from __future__ import annotations

from maestro_schemas.names import OPERATOR

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# A shorter silence is usual in a turn. As `limits.SILENT_AFTER_MS`, whose import costs more than this module; a test
# compares both.
SILENT_AFTER_MS = 900_000
# A sign of life of a receiver without an agent that is older than this is mentioned.
_QUIET_MS = 300_000
# What a notification of an agent says that it waits for.
_WANTED = {
    "permission_prompt": "permission",
    "elicitation_dialog": "a question",
    # Claude Code's tool for questions asks by the same dialog.
    "permission:AskUserQuestion": "a question",
}
_WANTED_CHARS_MAX = 60
# What lists say of a session without a sign.
NO_SIGN = "no sign"
_PERSON_WATCHES = "The person is watching, and hears of it now."
_PERSON_LOOKS = "The person sees it in `maestro inbox`, and at once with `maestro inbox --watch`."
_REACHES = {
    "watching": "Its receiver is watching, and hears of it now.",
    "tool": "Its agent is at work, and sees it after its next tool call.",
    "prompt": "Its agent sees it at its next prompt or tool call.",
    "inbox": "Its receiver sees it when it looks into its inbox.",
    "gone": "Its receiver's process has ended",
    "ended": "Its receiver has ended: it is queued for when it comes back (the same id, started again).",
}

_SHORT = {
    "watching": "watching",
    "tool": "at work: after its next tool call",
    "prompt": "at its next prompt or tool call",
    "inbox": "when it looks into its inbox",
    "ended": "ended: when it comes back",
}


def expectation(result: Mapping[str, Any], now_ms: int, metadata: Mapping[str, Any] | None = None) -> str:
    """When the receiver of an accepted message sees it; empty where the broker does not say. `metadata`: the
    message's."""
    reach = result.get("reach", "")
    if reach and result.get("to") == OPERATOR:
        return _PERSON_WATCHES if reach == "watching" else _PERSON_LOOKS
    words = _REACHES.get(reach, "")
    presence = result.get("presence") or {}
    state, since = presence.get("state"), presence.get("since")
    old = None if since is None else _aged(since, now_ms)
    if reach == "wake":
        return _is_woken(presence, old, now_ms)
    if reach == "gone":
        return f"{words}{f' (last sign {old} ago)' if old else ''}: it is queued for when it is started again."
    if reach in ("tool", "prompt") and state == "waiting":
        return f"Its agent waits for a person{_detail(presence)}{_for(old)}, and sees it after that."
    if reach == "prompt" and state == "working":
        silent = old or "an unknown time"
        words = f"Its agent was at work, and silent for {silent}: it sees it at its next prompt or tool call."
        return words + _not_woken(presence, metadata, now_ms)
    if reach == "prompt" and state == "idle":
        words = f"Its agent is idle{_for(old)}, and sees it at its next prompt."
        return words + _not_woken(presence, metadata, now_ms)
    if reach == "inbox" and state == "unknown" and presence.get("detail"):
        # Then the detail is the broker's own words.
        words = f"{str(presence['detail']).capitalize()}. {words}"
    seen_at = result.get("seenAt")
    if seen_at is not None and reach in ("inbox", "prompt") and now_ms - seen_at >= _QUIET_MS:
        words += f" It gave its last sign of life {_aged(seen_at, now_ms)} ago."
    return words


def group_of(result: Mapping[str, Any]) -> str:
    """When one of several receivers sees the message: `now`, `later`, or `no` where it refused."""
    if "error" in result:
        return "no"
    reach = result.get("reach", "")
    waits = (result.get("presence") or {}).get("state") == "waiting"
    return "now" if reach in ("watching", "wake") or (reach == "tool" and not waits) else "later"


def short(result: Mapping[str, Any], now_ms: int, *, dated: bool) -> str:
    """The same as `expectation` in a few words, for one of several receivers. `dated`: with the age of its sign."""
    reach = result.get("reach", "")
    presence = result.get("presence") or {}
    state, since = presence.get("state"), presence.get("since")
    old = None if since is None or not dated else _aged(since, now_ms)
    wake = presence.get("wake")
    if reach == "gone":
        return f"gone, no sign of life{_for(old)}"
    if reach == "wake":
        from .wake_words import soon

        return f"{state if state == 'idle' else 'silent'}{_for(old)}: woken, {soon(wake or {})}"
    if reach in ("tool", "prompt"):
        if state == "waiting":
            return f"waits for a person{_for(old)}{_detail(presence) if dated else ''}"
        if state == "idle":
            return f"idle{_for(old)}: at its next prompt{_wake_cell(wake, now_ms)}"
        if reach == "prompt" and state == "working":
            return f"silent{_for(old)}: at its next prompt or tool call{_wake_cell(wake, now_ms)}"
    return _SHORT.get(reach, "")


def brief(presence: Mapping[str, Any] | None, now_ms: int) -> str:
    """One cell of a list: `working 12s`, `waiting 4m (permission: Bash)`, `gone, last sign 2h ago`."""
    if presence is None:
        return NO_SIGN
    state, since = presence["state"], presence.get("since")
    if since is None or state == "unknown":
        # What is unknown has no age of its own; lists say beside it when the session was last seen.
        return f"{state_word(state)}{_detail(presence)}"
    old = _aged(since, now_ms)
    if state == "gone":
        return f"gone, last sign {old} ago"
    if state == "ended":
        return f"ended {old} ago"
    wake = _wake_cell(presence.get("wake"), now_ms)
    if is_silent(presence, now_ms):
        return f"working, silent for {old}{wake}"
    return f"{state} {old}{_detail(presence)}{wake if state == 'idle' else ''}"


def state(presence: Mapping[str, Any], now_ms: int) -> str:
    """The same without the age, which has a column of its own; a silent turn is named as one all the same."""
    wake = _wake_cell(presence.get("wake"), now_ms)
    if is_silent(presence, now_ms):
        return f"working, silent for {since(presence, now_ms)}{wake}"
    return f"{state_word(presence['state'])}{_detail(presence)}{wake if presence['state'] == 'idle' else ''}"


def state_word(state: str) -> str:
    """The word of a state for a person: `unknown`, as of a shell without an agent, would sound like a fault."""
    return NO_SIGN if state == "unknown" else state


def since(presence: Mapping[str, Any], now_ms: int) -> str:
    """The age of the sign: `12s`, `4m`; `-` where it is not known."""
    at_ms = presence.get("since")
    return "-" if at_ms is None else _aged(at_ms, now_ms)


def is_silent(presence: Mapping[str, Any], now_ms: int) -> bool:
    """Whether a turn has given no sign for a long time: it may have been broken off, and is not called ended."""
    at_ms = presence.get("since")
    return presence["state"] == "working" and at_ms is not None and now_ms - at_ms >= SILENT_AFTER_MS


def wanted(detail: str) -> str:
    """What a waiting session wants of a person: `permission: Bash`, `permission`, `a question`."""
    from .fence import named

    if detail in _WANTED:
        return _WANTED[detail]
    kind, separator, tool = detail.partition(":")
    if separator and kind == "permission":
        return f"permission: {named(tool)}"
    # A session without hooks may say in a whole text what it waits for.
    return named(detail if len(detail) <= _WANTED_CHARS_MAX else f"{detail[: _WANTED_CHARS_MAX - 1]}…")


def _is_woken(presence: Mapping[str, Any], old: str | None, now_ms: int) -> str:
    from .wake_words import soon

    wake = presence.get("wake") or {}
    if presence.get("state") == "idle":
        what = f"Its agent is idle{_for(old)}"
    else:
        what = f"Its agent has given no sign{_for(old)}"
    if wake.get("state") == "woken" and "at" in wake:
        return f"{what}, and was woken {_aged(wake['at'], now_ms)} ago for earlier mail: it sees it then."
    return f"{what}, and is woken: it sees it {soon(wake)}."


def _not_woken(presence: Mapping[str, Any], metadata: Mapping[str, Any] | None, now_ms: int) -> str:
    wake = presence.get("wake")
    if not wake:
        return ""
    from .wake_words import why_not

    why = why_not(wake, now_ms)
    if not why and (metadata or {}).get("priority") == "low":
        why = "mail of low priority wakes no agent"
    return f" It is not woken: {why}." if why else ""


def _wake_cell(wake: Mapping[str, Any] | None, now_ms: int) -> str:
    if not wake:
        return ""
    from .wake_words import cell

    words = cell(wake, now_ms)
    return f", {words}" if words else ""


def _detail(presence: Mapping[str, Any]) -> str:
    detail = presence.get("detail")
    if not detail:
        return ""
    # Of an unknown state, the detail is the broker's own words.
    return f" ({detail if presence['state'] == 'unknown' else wanted(detail)})"


def _for(old: str | None) -> str:
    return f" for {old}" if old else ""


def _aged(at_ms: int, now_ms: int) -> str:
    # Most sends say no age.
    from .ages import aged

    return aged(at_ms, now_ms)
