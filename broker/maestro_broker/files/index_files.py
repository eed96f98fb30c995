"""Index files: where the search index is.

Rule: everything in `<data>/index` is derived from the mail, and may be removed at any time.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

FOLDER: Final = "index"
LOCK: Final = "lock"
# The number is that of its form.
_FILE = "search-1.sqlite3"
# Beside the file itself: what SQLite makes.
SUFFIXES: Final = ("", "-wal", "-shm", "-journal")


def path_of(data: str) -> str:
    """The index of a data directory."""
    return os.path.join(data, FOLDER, _FILE)


def bytes_of(data: str) -> int:
    """What it takes on the disk."""
    total = 0
    for suffix in SUFFIXES:
        with contextlib.suppress(OSError):
            total += os.stat(path_of(data) + suffix).st_size
    return total
