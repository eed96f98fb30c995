"""Who table: what is known of the sessions, those that need a person first.

Rule: pure; lines in, lines out. Words of the states are those of `maestro_clients.texts.presence_words`.
"""

from __future__ import annotations

from maestro_cli.output import tables
from maestro_cli.output.styles import styled
from maestro_cli.output.tables import Column
from maestro_cli.output.wrapping import wrapped
from maestro_clients.texts.ages import aged
from maestro_clients.texts.fence import named
from maestro_clients.texts.presence_words import since, state, wanted

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from maestro_schemas.documents import SessionPresenceDoc

_COLUMNS = (
    Column("NAME", least=10),
    Column("ROLE", 4),
    Column("PROJECT", 5),
    Column("STATE", least=10),
    Column("SINCE", 2),
    Column("BY", 6, least=12),
    Column("NEW", 1, right=True),
    Column("OLDEST", 3),
    Column("AGENT", 7, least=12),
)
# The columns of a short table.
COMPACT = ("NAME", "STATE", "SINCE", "NEW", "AGENT")
# How the states that a person looks for stand out on a terminal.
STATE_STYLES = {"waiting": ("bold", "yellow"), "gone": ("red",), "working": ("green",)}
_ORDER = ("waiting", "gone with mail", "working", "idle", "watching", "unknown", "gone", "ended")


def ordered(lines: Iterable[SessionPresenceDoc]) -> list[SessionPresenceDoc]:
    """Who waits for a person first, the longest wait before the others; then who is gone and has mail."""
    return sorted(lines, key=lambda line: (_rank(line), line.get("since", 0), label(line)))


def table(
    lines: Iterable[SessionPresenceDoc],
    own: str | None,
    now_ms: int,
    width: int | None,
    titles: Collection[str] | None = None,
) -> list[str]:
    """The table, without its last line. `own`: the caller's session. `width`: the terminal's; None for no bound.
    `titles`: only these columns."""
    chosen = [index for index, column in enumerate(_COLUMNS) if titles is None or column.title in titles]
    rows = [_row(line, own, now_ms) for line in lines]
    return tables.table(
        [_COLUMNS[index] for index in chosen], [[row[index] for index in chosen] for row in rows], width
    )


def waits(lines: Iterable[SessionPresenceDoc], width: int | None) -> list[str]:
    """`2 wait for a person: dee (permission: Bash), eva`; nothing where none does."""
    waiting = [line for line in lines if line["state"] == "waiting"]
    if not waiting:
        return []
    each = [f"{label(line)} ({wanted(line['detail'])})" if line.get("detail") else label(line) for line in waiting]
    verb = "waits" if len(waiting) == 1 else "wait"
    text = f"{len(waiting):,} {verb} for a person: {', '.join(each)}"
    return [styled(line, "bold", "yellow") for line in wrapped(text, width)]


def label(line: Mapping[str, Any]) -> str:
    """A session's name, or its id where it has none."""
    return named(line["name"]) if line.get("name") else str(line["session"])


def _rank(line: SessionPresenceDoc) -> int:
    has_mail = line["state"] == "gone" and line.get("unread", 0)
    word = "gone with mail" if has_mail else line["state"]
    # A newer broker may know a state more.
    return _ORDER.index(word) if word in _ORDER else len(_ORDER)


def _row(line: SessionPresenceDoc, own: str | None, now_ms: int) -> tuple[str, ...]:
    oldest = line.get("oldestAt")
    return (
        label(line) + (" (you)" if line["session"] == own else ""),
        line["role"],
        named(line["projectId"]) if line["projectId"] else "-",
        styled(state(line, now_ms), *STATE_STYLES.get(line["state"], ())),
        since(line, now_ms),
        line.get("by", "-"),
        styled(f"{line['unread']:,}", *(["bold"] if line["unread"] else [])) if "unread" in line else "-",
        "-" if oldest is None else aged(oldest, now_ms),
        named(line["agent"]) if "agent" in line else "-",
    )
