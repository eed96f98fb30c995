"""Mounts: which file system a directory is on.

Rule: reads only, and doubts by name: a kind that is not known to break a promise is believed.
"""

from __future__ import annotations

import os

# The kind's beginning (f_type's names): where durability or locking is not what a broker needs.
_DOUBTFUL = {
    "nfs": "locks and syncs depend on the server",
    "cifs": "locks and syncs depend on the server",
    "fuse": "syncs depend on what is behind it",
    "tmpfs": "it forgets everything when the power goes",
}


def file_system(directory: str, mounts_file: str = "/proc/self/mounts") -> str:
    """The kind of file system, from the longest mount point above `directory`; `unknown` off Linux."""
    try:
        with open(mounts_file, encoding="utf-8", errors="replace") as file:
            mounts = [line.split(" ")[1:3] for line in file]
    except OSError:
        return "unknown"
    real = os.path.realpath(directory)
    above = [(point, kind) for point, kind in mounts if f"{real}/".startswith(point.rstrip("/") + "/")]
    return max(above, key=lambda mount: len(mount[0]), default=("", "unknown"))[1]


def doubt(kind: str) -> str | None:
    """Why a kind of file system does not keep a broker's promises; None where it does."""
    return next((why for name, why in _DOUBTFUL.items() if kind.startswith(name)), None)
