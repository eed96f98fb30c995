"""Disk: syncing a file system, and free space.

Rule: every function reports its errors. `os.sync` does not, so `syncfs` is called through ctypes: it reports
write-back errors since Linux 5.8 (syncfs(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys

from maestro_schemas.errors import MaestroError

# The disk, or the user's share of it, is full.
FULL = (errno.ENOSPC, errno.EDQUOT)

# The unit of st_blocks, whatever the file system's own blocks are (stat(2)).
_BLOCK_BYTES = 512


def sync_file_system(directory: str) -> None:
    """Make everything written on the file system of `directory` durable. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.syncfs(fd) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), directory)
        else:
            os.sync()
            os.fsync(fd)
    finally:
        os.close(fd)


def free_bytes(directory: str) -> int:
    """The space that an ordinary user can still use there."""
    stat = os.statvfs(directory)
    return stat.f_bavail * stat.f_frsize


def held_bytes(directory: str) -> int:
    """The space of the files directly in a directory; those that are removed meanwhile are not counted."""
    held = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                held += entry.stat().st_blocks * _BLOCK_BYTES
            except FileNotFoundError:
                continue
    return held


def storage_full(data: str) -> MaestroError:
    """The error for a write that finds no space."""
    return MaestroError(
        "STORAGE_FULL",
        f"the disk of {data} is full ({free_bytes(data):,} bytes free)",
        "Free some space; reading, confirming and deleting still work, and sending resumes by itself.",
        retry_after_s=2.0,
    )


def remove(path: str) -> None:
    """Remove a file, if it exists. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
