"""Scratch directories: temporary ones, removed at the end of their process, and after a kill by a later process.

Rule: each is locked while its process lives; the kernel unlocks it however that ends. The first call for a kind
removes those of that kind that no process has locked. Millions of files were left once by killed runs.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import signal
import struct
import sys
import tempfile
import time

# Only names with this ending are locked: other programs make directories with the same beginnings.
_SUFFIX = ".own"
# A new directory is not locked for some microseconds.
_YOUNG_S = 60.0
# linux/fs.h
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_SPREAD = 0x00020000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# The descriptor of each, and the process that made it, by path.
_held: dict[str, tuple[int, int]] = {}
_looked: set[tuple[str, str]] = set()


def make(prefix: str, base: str | None = None) -> str:
    """A new directory in `base`, or where temporary files lie. `remove` it; at the latest, the process's end does."""
    base = base or tempfile.gettempdir()
    if (prefix, base) not in _looked:
        _looked.add((prefix, base))
        remove_left(prefix, base)
    path = tempfile.mkdtemp(prefix=prefix, suffix=_SUFFIX, dir=base)
    fd = os.open(path, _FOLDER)
    fcntl.flock(fd, fcntl.LOCK_EX)
    _held[path] = fd, os.getpid()
    return path


def remove(path: str) -> None:
    """Remove it with all its files, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)
    fd, _ = _held.pop(path, (-1, 0))
    if fd >= 0:
        os.close(fd)


def remove_left(prefix: str, base: str, young_s: float = _YOUNG_S) -> list[str]:
    """Remove what killed processes left, and return the paths."""
    removed = []
    for name in os.listdir(base):
        if not name.startswith(prefix) or not name.endswith(_SUFFIX):
            continue
        path = os.path.join(base, name)
        with contextlib.suppress(OSError):  # it is locked, another user's, or gone
            fd = os.open(path, _FOLDER)
            try:
                if time.time() - os.fstat(fd).st_ctime > young_s:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                    removed.append(path)
            finally:
                os.close(fd)
    return removed


def spread(path: str) -> None:
    """Let ext4 put each directory below into a part of the disk of its own (`chattr +T`). Without a journal it passes
    over inodes that were freed within minutes, one by one: where many were, a new file takes 500 us, else 8."""
    with contextlib.suppress(OSError):  # another file system
        fd = os.open(path, _FOLDER)
        try:
            [flags] = struct.unpack("l", fcntl.ioctl(fd, _GET_FLAGS, struct.pack("l", 0)))
            fcntl.ioctl(fd, _SET_FLAGS, struct.pack("l", flags | _SPREAD))
        finally:
            os.close(fd)


def end_in_order() -> None:
    """Let SIGTERM and SIGHUP end this process as an exception does, so that it cleans up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(number: int, _: object) -> None:
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)  # a second one must not stop the cleaning
    sys.exit(128 + number)


@atexit.register
def _remove_all() -> None:
    for path, (_, maker) in list(_held.items()):
        if maker == os.getpid():
            remove(path)
