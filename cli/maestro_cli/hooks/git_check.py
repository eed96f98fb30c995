"""Git check: whether a file of a project would be committed with it.

Rule: our hooks hold paths of this machine's user, so no file that a team commits may hold them.
"""

from __future__ import annotations

import os
import shutil
import subprocess

_TIMEOUT_S = 20


def would_be_committed(path: str) -> bool:
    """Whether git tracks the file, or would add it; also where git can't say it of a file in a repository."""
    directory = os.path.dirname(os.path.abspath(path))
    if not _is_in_repository(directory):
        return False
    git = shutil.which("git")
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    if git is None:
        return True
    try:
        asked = subprocess.run(
            [git, "-C", directory, "check-ignore", "-q", "--", path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    # 0: it is ignored, and not tracked.
    return asked.returncode != 0


def exclude_command(folder: str, file: str) -> str:
    """The command with which this clone ignores the file, and no other clone does."""
    return f"""echo '**/{folder}/{file}' >> "$(git rev-parse --git-path info/exclude)\""""


def _is_in_repository(directory: str) -> bool:
    while True:
        if os.path.exists(os.path.join(directory, ".git")):
            return True
        above = os.path.dirname(directory)
        if above == directory:
            return False
        directory = above
