"""Disk: a separate ext4 file system in a file in memory, mounted through a loop device.

Rule: real fsync calls and real power cuts at the speed of memory, independent of the machine's disk. It needs root
and loop devices. Without them a test that needs a disk is skipped with the reason; with CI=true a missing tool or
right is a failure.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Self

import pytest

from support import components

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_TOOLS = ("mkfs.ext4", "mount", "umount")
_COPIES_MAX = 50


def missing_for_a_disk() -> str | None:
    """What this machine lacks for a separate disk; None if it lacks nothing."""
    if os.geteuid() != 0:
        return "mounting a loop device needs root"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices here"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"{', '.join(missing)} is missing" if missing else None


def require() -> None:
    """Skip the test if there can be no such disk; with CI=true a missing tool or right is a failure."""
    lack = missing_for_a_disk()
    if lack is None:
        return
    if os.path.exists("/dev/loop-control"):
        components.missing(lack)
    pytest.skip(f"NOT tested here: {lack}")


def _memory() -> str:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


class Disk:
    """A mounted image; `path` is its mount point. A context manager."""

    def __init__(self, size_bytes: int | None = None, *, image: str | None = None, options: str = "loop") -> None:
        """`size_bytes`: the size of a new, empty image. `image`: an existing image, which this disk removes at the
        end. `options`: those of mount(8)."""
        self._options = options
        self.image = image or tempfile.mkstemp(prefix="mm-disk-", dir=_memory())[1]
        self.path = tempfile.mkdtemp(prefix="mm-", dir="/tmp")
        if size_bytes is not None:
            os.truncate(self.image, size_bytes)
            _run("mkfs.ext4", "-q", "-F", "-m", "0", "-i", "2048", self.image)

    def __enter__(self) -> Self:
        try:
            _run("mount", "-o", self._options, self.image, self.path)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Lazily: a broker that a failed test has left running must not keep the image.
        _run("umount", "-l", self.path)
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.image)
        os.rmdir(self.path)

    def cut(self) -> str:
        """Copy the image as a power cut at this moment would leave it. Returns the copy's path.

        The caller has stopped all processes that write to the file system. The kernel may still write, so a copy is
        valid only if it equals its source afterwards.
        """
        copy = tempfile.mkstemp(prefix="mm-disk-", dir=_memory())[1]
        for _ in range(_COPIES_MAX):
            _run("cp", "--sparse=always", self.image, copy)
            if subprocess.run(["cmp", "-s", self.image, copy], check=False).returncode == 0:
                return copy
        raise AssertionError("the kernel wrote during every copy")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@contextlib.contextmanager
def tmpfs(size_bytes: int) -> Iterator[str]:
    """A small file system in memory, to be filled up. Yields its path."""
    path = tempfile.mkdtemp(prefix="mm-", dir="/tmp")
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "maestro-test", path)
    try:
        yield path
    finally:
        _run("umount", "-l", path)
        os.rmdir(path)


def fill(path: str) -> None:
    """Write a file that takes all the free space of its file system."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for size in (1 << 20, 1 << 16, 1 << 12, 1 << 9):
            with contextlib.suppress(OSError):
                while True:
                    os.write(fd, bytes(size))
    finally:
        os.close(fd)
