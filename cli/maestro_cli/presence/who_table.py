"""Who table: what is known of the sessions, those that need a person first.

Rule: pure; lines in, lines out. In a narrow terminal the columns that matter least are left out, and no line is wider
than the terminal. Words of the states are those of `maestro_clients.texts.presence_words`.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from maestro_clients.texts.ages import aged
from maestro_clients.texts.fence import named
from maestro_clients.texts.presence_words import since, state, wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from maestro_schemas.documents import SessionPresenceDoc

_COLUMNS = ("NAME", "ROLE", "PROJECT", "STATE", "SINCE", "BY", "NEW", "OLDEST", "AGENT")
# In this order they are left out where the terminal is narrow.
_LESS = ("AGENT", "BY", "PROJECT", "ROLE", "OLDEST", "SINCE", "NEW")
_ORDER = ("waiting", "gone with mail", "working", "idle", "watching", "unknown", "gone", "ended")
_GAP = "  "
_NAME_CHARS_MIN = 8


def ordered(lines: Iterable[SessionPresenceDoc]) -> list[SessionPresenceDoc]:
    """Who waits for a person first, the longest wait before the others; then who is gone and has mail."""
    return sorted(lines, key=lambda line: (_rank(line), line.get("since", 0), label(line)))


def table(lines: Iterable[SessionPresenceDoc], own: str | None, now_ms: int, width: int | None) -> list[str]:
    """The table, without its last line. `own`: the caller's session. `width`: the terminal's; None for no bound."""
    rows = [dict(zip(_COLUMNS, _COLUMNS, strict=True)), *(_row(line, own, now_ms) for line in lines)]
    shown = list(_COLUMNS)
    if width is not None:
        for column in _LESS:
            if _width(rows, shown) <= width:
                break
            shown.remove(column)
        _shorten(rows, shown, width)
    widths = [max(len(row[column]) for row in rows) for column in shown]
    return [
        _GAP.join(f"{row[column]:<{size}}" for column, size in zip(shown, widths, strict=True)).rstrip()
        for row in rows
    ]


def waits(lines: Iterable[SessionPresenceDoc], width: int | None) -> list[str]:
    """`2 wait for a person: dee (permission: Bash), eva`; nothing where none does."""
    waiting = [line for line in lines if line["state"] == "waiting"]
    if not waiting:
        return []
    each = [f"{label(line)} ({wanted(line['detail'])})" if line.get("detail") else label(line) for line in waiting]
    verb = "waits" if len(waiting) == 1 else "wait"
    text = f"{len(waiting):,} {verb} for a person: {', '.join(each)}"
    return [text] if width is None else textwrap.wrap(text, max(width, _NAME_CHARS_MIN), break_on_hyphens=False)


def label(line: Mapping[str, Any]) -> str:
    """A session's name, or its id where it has none."""
    return named(line["name"]) if line.get("name") else str(line["session"])


def _rank(line: SessionPresenceDoc) -> int:
    has_mail = line["state"] == "gone" and line.get("unread", 0)
    word = "gone with mail" if has_mail else line["state"]
    # A newer broker may know a state more.
    return _ORDER.index(word) if word in _ORDER else len(_ORDER)


def _row(line: SessionPresenceDoc, own: str | None, now_ms: int) -> dict[str, str]:
    oldest = line.get("oldestAt")
    return {
        "NAME": label(line) + (" (you)" if line["session"] == own else ""),
        "ROLE": line["role"],
        "PROJECT": named(line["projectId"]) if line["projectId"] else "-",
        "STATE": state(line, now_ms),
        "SINCE": since(line, now_ms),
        "BY": line.get("by", "-"),
        "NEW": f"{line['unread']:,}" if "unread" in line else "-",
        "OLDEST": "-" if oldest is None else aged(oldest, now_ms),
        "AGENT": named(line["agent"]) if "agent" in line else "-",
    }


def _width(rows: list[dict[str, str]], shown: list[str]) -> int:
    return sum(max(len(row[column]) for row in rows) for column in shown) + len(_GAP) * (len(shown) - 1)


def _shorten(rows: list[dict[str, str]], shown: list[str], width: int) -> None:
    """Cut names, and then states, so that the rows fit."""
    for column in ("NAME", "STATE"):
        excess = _width(rows, shown) - width
        if excess > 0:
            longest = max(len(row[column]) for row in rows)
            room = max(longest - excess, _NAME_CHARS_MIN if column == "NAME" else 1)
            for row in rows:
                row[column] = _cut(row[column], room)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
