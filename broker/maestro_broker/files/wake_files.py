"""Wake files: `.wake` in a mailbox's folder, with which the broker asks for a turn of the receiver's idle agent.

Rule: the program that carries the wake out claims the file by unlink(2), so exactly one does. The file appears whole,
by a rename, since an agent's client may read it at once. What stands in its place, a FIFO or a link, is replaced.
"""

from __future__ import annotations

import os

from maestro_runtime import atomic_file
from maestro_schemas.texts.waking import WAKE_FILE

# Beside the folders of the mailboxes, so that a client sees one change of its folder.
_ASIDE = f"{WAKE_FILE}.tmp"


class WakeFiles:
    """The wake files of a data directory. One thread makes them at a time."""

    def __init__(self, messages: str) -> None:
        self._receivers = os.path.join(messages, "by-receiver")
        self._aside = os.path.join(messages, _ASIDE)

    def make(self, session: str, content: str) -> None:
        """Make a session's file, or touch it again: a client sees a change of its folder in both cases. Raises
        OSError, with FileNotFoundError where the mailbox has no folder."""
        path = self.path(session)
        line = f"{content}\n".encode()
        try:
            atomic_file.replace(path, line, durable=False, aside=self._aside)
        except IsADirectoryError:
            os.rmdir(path)
            atomic_file.replace(path, line, durable=False, aside=self._aside)

    def touch(self, session: str) -> bool:
        """Give a session's file the present time, of which a client sees a change; whether it was there."""
        try:
            os.utime(self.path(session), follow_symlinks=False)
        except OSError:
            return False
        return True

    def remove(self, session: str) -> bool:
        """Remove a session's file; whether it was there, so that no program carries the wake out. Raises OSError."""
        try:
            os.unlink(self.path(session))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        return True

    def path(self, session: str) -> str:
        """The file of a session."""
        return f"{self._receivers}/{session}/{WAKE_FILE}"
