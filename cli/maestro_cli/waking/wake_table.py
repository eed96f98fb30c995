"""Wake table: which sessions' agents can be woken from idle, and what became of the last wake of each.

Rule: pure; documents in, rows out. A session whose agent nothing can wake is shown with the reason.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from maestro_cli.output import tables
from maestro_cli.output.styles import styled
from maestro_cli.output.tables import Column
from maestro_cli.output.wrapping import wrapped
from maestro_clients.texts import wake_words
from maestro_clients.texts.fence import named
from maestro_schemas.names import OPERATOR
from maestro_schemas.texts import waking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_schemas.documents import SessionDoc

_COLUMNS = (
    Column("NAME", least=10),
    Column("AGENT", 3),
    Column("STATE"),
    Column("BY", 4),
    Column("LAST WAKE", 2),
    Column("WHY NOT", 1, least=16, wraps=True),
)
_REASON_CHARS = 20
_STYLES = {"ready": ("green",), "unanswered": ("bold", "yellow"), "held": ("bold", "yellow")}


def of_agents(sessions: Iterable[SessionDoc], own: str | None) -> list[SessionDoc]:
    """The sessions of agents, the caller's own first."""
    found = [session for session in sessions if "agent" in session or "wakeBy" in session]
    return sorted(found, key=lambda session: (session["id"] != own, label(session)))


def label(session: SessionDoc) -> str:
    """A session's name, or its id where it has none."""
    return named(session["name"]) if session.get("name") else session["id"]


def document(session: SessionDoc, now_ms: int) -> dict[str, Any]:
    """What is known of one session's wakes, as JSON."""
    wake: dict[str, Any] = dict(session.get("presence", {}).get("wake", {}))
    found: dict[str, Any] = {
        "session": session["id"],
        "name": session.get("name"),
        "agent": session.get("agent"),
        "setting": session.get("wake", "idle"),
        "state": wake.get("state") or ("off" if session.get("wake") == "off" else "none"),
        "by": wake.get("by") or session.get("wakeBy"),
        "at": wake.get("at"),
        "answered": None if "at" not in wake else wake["state"] not in ("woken", "unanswered"),
        "reason": why_not(session, now_ms) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def table(sessions: list[SessionDoc], own: str | None, now_ms: int, width: int | None = None) -> list[str]:
    """The lines of the table. `width`: the terminal's; None for no bound."""
    rows = [_row(session, own, now_ms) for session in sessions]
    if width is None:
        return tables.table(_COLUMNS, rows, None)
    # A long reason that several have in common is said once, below.
    reasons = [row[-1] for row in rows]
    common = [why for why in dict.fromkeys(reasons) if len(why) > _REASON_CHARS and reasons.count(why) > 1]
    numbers = {why: f"({number})" for number, why in enumerate(common, 1)}
    lines = tables.table(_COLUMNS, [(*row[:-1], numbers.get(row[-1], row[-1])) for row in rows], width)
    return lines + [line for why, number in numbers.items() for line in wrapped(f"{number} {why}", width, "    ")]


def why_not(session: SessionDoc, now_ms: int) -> str:
    """Why mail does not wake the session's agent when it is idle; empty where it does."""
    wake = session.get("presence", {}).get("wake")
    if wake is not None and (why := wake_words.why_not(wake, now_ms)):
        return why
    if session["id"] == OPERATOR:
        return "it is the person, and no agent"
    if session.get("wake") == "off":
        return f"{waking.SWITCHED_OFF}: maestro wake --on"
    if wake is not None:
        return ""
    # Of an agent that can be woken, the broker says nothing only once its process has ended.
    return "its agent is gone, so its mail waits" if session.get("wakeBy") else unable(session.get("agent"))


def unable(agent: str | None, platform: str = sys.platform) -> str:
    """Why nothing can wake an agent that has reported no way."""
    if agent is None:
        return "no agent has reported itself in it; Codex does that at its first prompt"
    if platform != "linux":
        return "agents are woken on Linux only: it sees its mail at its next prompt"
    if agent in waking.HOOKED:
        return waking.not_installed(agent)
    return f"nothing wakes {named(agent)} but keys in its terminal: maestro session nudge --help"


def _row(session: SessionDoc, own: str | None, now_ms: int) -> tuple[str, ...]:
    found = document(session, now_ms)
    wake: dict[str, Any] = dict(session.get("presence", {}).get("wake", {}))
    return (
        label(session) + (" (you)" if session["id"] == own else ""),
        named(found.get("agent", "-")),
        styled(found["state"], *_STYLES.get(found["state"], ())),
        found.get("by", "-"),
        wake_words.last(wake, now_ms),
        found.get("reason", "-"),
    )
