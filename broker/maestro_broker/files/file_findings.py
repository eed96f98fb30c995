"""File findings: what `spool verify` says of a file, and how it looks at folders.

Rule: it reads, and changes nothing. What vanishes meanwhile is no finding.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class VerifyFinding(NamedTuple):
    """A violation of a promise."""

    path: str
    why: str
    todo: str
    harmless: bool = False  # it costs time, and no mail


def visible_names(directory: str) -> list[str]:
    """The names in a folder, hidden ones left out; none if there is no folder."""
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def status_of(path: str) -> os.stat_result | None:
    """The status of the file or link itself; None if it is gone."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
