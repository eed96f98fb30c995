"""New files: makes files and links below one folder, of which a reader finds the whole content or no file.

Rule: the content goes into a file without a name (O_TMPFILE), and one link gives it the name. That is less work than
a temporary name and a rename, and a crash leaves nothing behind. Paths are relative to the folder's descriptor,
because the kernel would look at each component of a longer path for every call.
"""

from __future__ import annotations

import contextlib
import errno
import os
import weakref

# Linux has both. Elsewhere, and on a file system without such files, the caller has another way.
_NAMELESS = getattr(os, "O_TMPFILE", 0)
_OPEN_FILES = "/proc/self/fd"
# The file system has no such files, /proc is not what it should be, or a rule of the machine forbids such a link.
_REFUSED = (
    errno.EOPNOTSUPP,
    errno.EISDIR,
    errno.EINVAL,
    errno.ENOENT,
    errno.EPERM,
    errno.EACCES,
    errno.EXDEV,
)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class NewFiles:
    """The files and links of one folder. One thread makes them at a time."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fd = _opened(self, folder)
        self._open_files = -1
        with contextlib.suppress(OSError):  # no /proc, or a rule of the machine forbids it
            self._open_files = _opened(self, _OPEN_FILES)
        self._can_create = bool(_NAMELESS) and self._open_files >= 0

    def create(self, path: str, content: bytes, mode: int) -> bool:
        """Make a file with these permissions. False if the name is taken, or if it can't be done in this way. Not
        synced. Raises OSError; then the file is not there."""
        if not self._can_create:
            return False
        try:
            fd = os.open(".", os.O_WRONLY | _NAMELESS | os.O_CLOEXEC, mode, dir_fd=self._fd)
            try:
                written = os.write(fd, content)
                while written < len(content):
                    written += os.write(fd, memoryview(content)[written:])
                # By its link in /proc: before Linux 6.10 it is a privilege to name a descriptor's file directly.
                os.link(str(fd), path, src_dir_fd=self._open_files, dst_dir_fd=self._fd, follow_symlinks=True)
            finally:
                os.close(fd)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _REFUSED:
                error.filename, error.filename2 = os.path.join(self._folder, path), None
                raise
            self._can_create = False
            return False
        return True

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link, unless the name is taken. Raises OSError."""
        try:
            os.symlink(target, path, dir_fd=self._fd)
        except FileExistsError:
            return
        except OSError as error:
            error.filename, error.filename2 = os.path.join(self._folder, path), None
            raise


def _opened(owner: object, folder: str) -> int:
    fd = os.open(folder, _FOLDER)
    weakref.finalize(owner, os.close, fd)
    return fd
