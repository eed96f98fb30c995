"""Index check: whether the file of the search index is a sound database.

Rule: it writes nothing, also no file beside it. The index is derived, so damage costs time, and no mail.
"""

from __future__ import annotations

import contextlib
import os
from urllib.parse import quote

from maestro_broker.files import index_files


def damage(data: str) -> str | None:
    """What is wrong with it; None if nothing is, or if there is none. What a killed process has not put into the file
    yet makes it unreadable for this check, and is no damage."""
    path = index_files.path_of(data)
    if not os.path.exists(path) or _size(path + "-wal"):
        return None
    import sqlite3

    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?immutable=1", uri=True)) as db:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else str(found)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
