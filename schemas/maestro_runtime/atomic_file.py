"""Atomic file: writes a small file so that every reader finds the old content or the new content, never a part.

Rule: content is written to a temporary path in the same file system, and a rename puts it in place. Every error names
the path. Quick commands import this module, so it imports nothing but `os`.
"""

from __future__ import annotations

import os

_PRIVATE = 0o600
_FOR_OTHERS = 0o077
_MODE_BITS = 0o7777


def replace(path: str, content: bytes, *, durable: bool, mode: int = _PRIVATE, aside: str | None = None) -> None:
    """Replace a file, or make it. Raises OSError; then the old file is still there, or none.

    `durable`: content and name survive a power cut once this returns. `mode`: the exact permissions, whatever the
    umask. `aside`: the temporary path; the default, `<path>.tmp`, is for a path that one process writes at a time.
    """
    aside = aside or f"{path}.tmp"
    stage(aside, content, durable=durable, mode=mode)
    try:
        os.rename(aside, path)
    except OSError:
        _remove(aside)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def rewrite(path: str, content: bytes, *, durable: bool, mode: int = _PRIVATE) -> None:
    """Replace a file that belongs to the user or to another program, and keep its owner, group and mode. A link stays
    a link, and the file that it leads to is replaced. Raises OSError; then nothing has changed.

    `mode`: of a file that does not exist yet.
    """
    path = os.path.realpath(path)
    try:
        status: os.stat_result | None = os.stat(path)
    except FileNotFoundError:
        status = None
    # Not one temporary path for all: two programs may write the file at the same time.
    aside = f"{path}.{os.getpid()}.new"
    stage(aside, content, durable=durable, mode=mode, like=status)
    try:
        os.rename(aside, path)
    except OSError:
        _remove(aside)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def stage(
    aside: str, content: bytes, *, durable: bool, mode: int = _PRIVATE, like: os.stat_result | None = None
) -> None:
    """Write a temporary file, for a caller that renames it later. As `create`, but an existing file is replaced."""
    try:
        create(aside, content, durable=durable, mode=mode, like=like)
    except FileExistsError:  # left by a process that was killed; it may be read-only, or a link
        os.unlink(aside)
        create(aside, content, durable=durable, mode=mode, like=like)


def create(
    path: str, content: bytes, *, durable: bool, mode: int = _PRIVATE, like: os.stat_result | None = None
) -> None:
    """Make a new file. Raises FileExistsError, or OSError; then the file is not there.

    `durable`: the content survives a power cut. The name does after `sync_directory`. `like`: another file, whose
    owner, group and mode the new one gets.
    """
    # O_EXCL: not through a link, and never a file that another program may read already.
    # Private until it has its owner and group.
    opened = _PRIVATE if like is not None else mode
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, opened)
    try:
        try:
            if like is not None:
                made = os.fstat(fd)
                if (made.st_uid, made.st_gid) != (like.st_uid, like.st_gid):
                    os.fchown(fd, like.st_uid, like.st_gid)
                os.fchmod(fd, like.st_mode & _MODE_BITS)
            elif mode & _FOR_OTHERS:
                os.fchmod(fd, mode)
            written = os.write(fd, content)
            while written < len(content):
                written += os.write(fd, memoryview(content)[written:])
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        error.filename = error.filename or path
        _remove(path)
        raise


def move(source: str, target: str) -> None:
    """Rename a file, replacing `target`, and make both names durable. Raises OSError."""
    os.rename(source, target)
    sync_directory(os.path.dirname(target))
    if os.path.dirname(source) != os.path.dirname(target):
        sync_directory(os.path.dirname(source))


def sync_directory(directory: str) -> None:
    """Make the names in a directory durable. Raises OSError."""
    fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        error.filename = error.filename or directory
        raise
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
