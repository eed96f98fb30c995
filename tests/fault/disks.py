"""Disk: an ext4 file system of its own, in a file in memory, mounted through a loop device.

Rule: real fsync and real power cuts at the speed of memory, without the wear and the noise of the machine's disk.
It needs root and loop devices; without, a test that must have it skips with the reason, and under CI fails if this
machine could have had it.
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


def lacking() -> str | None:
    """What this machine lacks for a disk of its own; None where it has all."""
    if os.geteuid() != 0:
        return "mounting a loop device needs root"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices here"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"{', '.join(missing)} is missing" if missing else None


def require() -> None:
    """Skip the test where there can be no such disk; with CI=true a missing tool or right is a failure."""
    lack = lacking()
    if lack is None:
        return
    if os.path.exists("/dev/loop-control"):
        components.missing(lack)
    pytest.skip(f"NOT tested here: {lack}")


def _memory() -> str:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


class Disk:
    """A mounted image; `path` is where. Used with `with`."""

    def __init__(self, size_bytes: int | None = None, *, image: str | None = None, options: str = "loop") -> None:
        """`size_bytes`: of a new, empty one. `image`: a copy of another's, which this one takes over. `options`: as
        mount takes them."""
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
            self._forget()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Lazily: a broker that a failed test left behind must not keep the image for ever.
        _run("umount", "-l", self.path)
        self._forget()

    def _forget(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.image)
        os.rmdir(self.path)

    def cut(self) -> str:
        """What a power cut at this moment would leave: a copy of the image, beside it.

        The caller has stopped whoever writes to the file system; the kernel may still write by itself, so the copy
        counts only if its source was the same before and after.
        """
        copy = tempfile.mkstemp(prefix="mm-disk-", dir=_memory())[1]
        for _ in range(_COPIES_MAX):
            _run("cp", "--sparse=always", self.image, copy)
            if subprocess.run(["cmp", "-s", self.image, copy], check=False).returncode == 0:
                return copy
        raise AssertionError("the kernel writes and writes: no copy was of one moment")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@contextlib.contextmanager
def tmpfs(size_bytes: int) -> Iterator[str]:
    """A small file system in memory, for filling up; its path."""
    path = tempfile.mkdtemp(prefix="mm-", dir="/tmp")
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "maestro-test", path)
    try:
        yield path
    finally:
        _run("umount", "-l", path)
        os.rmdir(path)


def fill(path: str) -> None:
    """A file that takes all the room that is left on its file system."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for size in (1 << 20, 1 << 16, 1 << 12, 1 << 9):
            with contextlib.suppress(OSError):
                while True:
                    os.write(fd, bytes(size))
    finally:
        os.close(fd)
