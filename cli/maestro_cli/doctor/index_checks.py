"""Index checks: whether the search index can be used.

Rule: they start neither a broker nor the index's process. A missing index is no fault: the first search makes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_cli.commands.index.status import lines

from .findings import DoctorFinding

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext

_NAME = "search index"


def index(context: CommandContext) -> DoctorFinding:
    """The index, as the broker that runs knows it; without one, whether this Python can keep one."""
    client = None if context.is_remote else context.as_operator().open_client()
    if client is None:
        return _without_broker()
    with client:
        stats: dict[str, Any] = dict(client.stats())
    state = stats.get("index")
    if state is None:
        return DoctorFinding(
            _NAME, "warning", "the broker is of a version without one", "Run: maestro down && maestro up"
        )
    said = " ".join(lines({**state, "head": stats["headLsn"]}))
    if state.get("fullText") is False:
        return DoctorFinding(_NAME, "warning", said, "Use a Python whose SQLite has FTS5, for faster searches.")
    return DoctorFinding(_NAME, "ok", said)


def _without_broker() -> DoctorFinding:
    import sqlite3

    with sqlite3.connect(":memory:") as database:
        options = {name for (name,) in database.execute("PRAGMA compile_options")}
    database.close()
    if "ENABLE_FTS5" in options:
        return DoctorFinding(_NAME, "ok", "no broker runs; SQLite has FTS5, so searches for words are fast")
    return DoctorFinding(
        _NAME,
        "warning",
        "SQLite has no FTS5 here: searches for words take longer",
        "Use a Python whose SQLite has FTS5.",
    )
