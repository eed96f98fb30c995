"""Index checks: whether the search index can be used.

Rule: they start neither a broker nor the index's process. A missing index is no fault: the first search makes it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from maestro_cli.commands.index.status import lines

from .findings import DoctorFinding

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext

_NAME = "search index"
# Of each SQLite database (https://sqlite.org/fileformat.html, 1.3).
_FIRST_BYTES = b"SQLite format 3\0"


def index(context: CommandContext) -> DoctorFinding:
    """The index, as the broker that runs knows it; without one, whether this Python can keep one."""
    path = index_file(context.data)
    # That of a running broker looks after itself.
    if path is not None and context.running() is None and (fault := damage(path)) is not None:
        return DoctorFinding(_NAME, "failed", f"{path} is damaged: {fault}", "maestro doctor --fix")
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


def index_file(data: str) -> str | None:
    """The file of the index; None where there is none."""
    try:
        found = [entry.path for entry in os.scandir(os.path.join(data, "index")) if entry.name.endswith(".sqlite3")]
    except OSError:
        return None
    return max(found, default=None)


def damage(path: str) -> str | None:
    """Why the file is no sound database; None where it is one. Only for a file that no process writes to: what one
    has not put into it yet would look like damage."""
    import sqlite3
    from urllib.parse import quote

    with open(path, "rb") as file:
        if (first := file.read(len(_FIRST_BYTES))) and first != _FIRST_BYTES:
            return "it is no SQLite file"
    if os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal"):
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?immutable=1", uri=True)) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else str(found)


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
