"""Mounts: which file system a directory is on, and whether it can keep the broker's promises.

Rule: only the file system's type is checked. A type that is not known to be unsafe is taken to be safe.
"""

from __future__ import annotations

import os

# Beginnings of the types whose durability or locking is not sufficient for a broker, with the reason.
_DOUBTFUL = {
    "nfs": "locks and syncs depend on the server",
    "cifs": "locks and syncs depend on the server",
    "fuse": "syncs depend on what is behind it",
    "tmpfs": "it loses everything in a power cut",
}


def file_system(directory: str, mounts_file: str = "/proc/self/mounts") -> str:
    """The type of the file system, from the longest mount point above `directory`; `unknown` if not on Linux."""
    try:
        with open(mounts_file, encoding="utf-8", errors="replace") as file:
            mounts = [line.split(" ")[1:3] for line in file]
    except OSError:
        return "unknown"
    real = os.path.realpath(directory)
    above = [(point, kind) for point, kind in mounts if f"{real}/".startswith(point.rstrip("/") + "/")]
    return max(above, key=lambda mount: len(mount[0]), default=("", "unknown"))[1]


def doubt(kind: str) -> str | None:
    """Why a type of file system cannot keep a broker's promises; None if it can."""
    return next((why for name, why in _DOUBTFUL.items() if kind.startswith(name)), None)
