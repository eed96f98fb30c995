"""Update file: what a broker says while it brings the data directory to another format, which can take minutes.

Rule: it is soft state. The broker writes it about once a second and removes it at the end; one that is older was left
by a broker that was killed, and says nothing.
"""

from __future__ import annotations

import os
import time

from maestro_runtime import atomic_file, places

# Longer than a sync of a slow disk takes, between two lines.
_FRESH_S = 600.0


def _path(data: str) -> str:
    return os.path.join(data, "update-progress")


def write(data: str, text: str) -> None:
    """Replace the text, one line. A full disk is no error here."""
    try:
        atomic_file.replace(_path(data), text.encode() + b"\n", durable=False)
    except OSError:
        return


def read(data: str) -> str | None:
    """What the running update says; None if there is none."""
    try:
        with open(places.open_file(_path(data), os.O_RDONLY), encoding="utf-8", errors="replace") as file:
            age_s = time.time() - os.fstat(file.fileno()).st_mtime
            text = file.read(1_000).strip()
    except OSError:
        return None
    return text if text and abs(age_s) < _FRESH_S else None


def remove(data: str) -> None:
    """Remove it, if it is there."""
    try:
        os.unlink(_path(data))
    except OSError:
        return
