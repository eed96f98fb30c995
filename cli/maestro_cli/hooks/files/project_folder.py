"""Project folder: where an agent that reads only below its own folders finds the files of its mail.

Rule: Gemini CLI opens no file outside of its workspace, but for its own folder of temporary files for the project.
Its hooks name a file in that folder. A folder more in its workspace would do too, and would list what other sessions
call their files at each start, and take a GEMINI.md among them for instructions.
"""

from __future__ import annotations

import os

# `<folder>/chats/<conversation>`.
_CHATS = "chats"
_OURS = "maestro-files"


def all_below(folder: str) -> list[str]:
    """The folders of copies that hooks have made for all projects. `folder`: that of the agent's settings."""
    projects = os.path.join(folder, "tmp")
    try:
        names = sorted(os.listdir(projects))
    except OSError:
        return []
    return [path for name in names if os.path.isdir(path := os.path.join(projects, name, _OURS))]


def of_transcript(transcript: str) -> str | None:
    """The folder for copies, from the file of the conversation; None where that is not what it was."""
    chats = os.path.dirname(transcript)
    folder = os.path.dirname(chats)
    if not os.path.isabs(transcript) or os.path.basename(chats) != _CHATS:
        return None
    try:
        is_own = os.stat(folder).st_uid == os.geteuid()
    except (OSError, ValueError):
        return None
    return os.path.join(folder, _OURS) if is_own else None
