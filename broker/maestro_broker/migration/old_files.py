"""Old files: what a step has written in its new form, and removes after a sync.

Rule: the new form of a file is durable before the old one goes, so that a power cut costs neither.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_broker.files import disk

if TYPE_CHECKING:
    from collections.abc import Callable

# So much space a step needs at the most, beside the files that stay until its end.
_BATCH_FILES = 10_000
_BATCH_BYTES = 64 << 20


class OldFiles:
    """The files to remove; `directory` is on their file system."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._paths: list[str] = []
        self._bytes = 0

    def supersede(self, path: str, size: int) -> None:
        """Remove a file later. Raises OSError."""
        self._paths.append(path)
        self._bytes += size
        if len(self._paths) >= _BATCH_FILES or self._bytes >= _BATCH_BYTES:
            self.remove()

    def remove(self) -> None:
        """Sync, and remove them now. Raises OSError."""
        if self._paths:
            disk.sync_file_system(self._directory)
            for path in self._paths:
                os.unlink(path)
            self._paths.clear()
            self._bytes = 0


def move_along(path: str, folder: str) -> None:
    """Move what a step does not know into the new folder as it is; the next start treats it as it did before."""
    target = os.path.join(folder, os.path.basename(path))
    while os.path.lexists(target):
        target += ".old"
    os.rename(path, target)


def remove_tree(directory: str, count: Callable[[], None] = lambda: None) -> None:
    """Remove a folder with all in it, and `count` each file. Unlike `shutil.rmtree` it holds no list of a million
    names. Raises OSError."""
    left = True
    while left:  # a listing during removals need not show all
        left = False
        with os.scandir(directory) as entries:
            for entry in entries:
                left = True
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(entry.path, count)
                else:
                    os.unlink(entry.path)
                    count()
    os.rmdir(directory)
