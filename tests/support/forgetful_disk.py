"""Forgetful: a disk that loses in a power cut what was not synced, and drops what it failed to sync.

Rule: the files are real and stand for the page cache; what would be on the platter is kept beside them. Data goes
there page by page at a sync, and before one in any choice of sectors; names go there in order, at the latest when a
directory is synced (as on a journaling file system). A failed sync marks the pages clean, as Linux does: they can
still be read, and are not written any more.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    import pytest

PAGE = 4096
SECTOR = 512


class PowerCutError(BaseException):
    """The lights went out: nothing in the program under test may catch this."""


class ForgetfulDisk:
    """What happens below `root`; `calls` counts system calls, `cut_at` is the one at which the power fails,
    `fail_at` the one of the syncs that fails."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.calls = 0
        self.syncs = 0
        self.cut_at: int | None = None
        self.fail_at: int | None = None
        self._count = 0
        self._content: dict[int, bytearray] = {}
        self._names: dict[str, int] = {}
        self._dirty: dict[int, list[tuple[int, bytes]]] = {}
        self._renames: list[tuple[str | None, str | None, int]] = []
        self._live: dict[str, int] = {}
        self._open: dict[int, int | None] = {}
        self._position: dict[int, int] = {}

    def _tick(self) -> None:
        self.calls += 1
        if self.calls == self.cut_at:
            raise PowerCutError

    @contextmanager
    def under(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """With the system calls of this process on this disk."""
        real_open, real_close, real_pwrite = os.open, os.close, os.pwrite
        real_rename, real_unlink = os.rename, os.unlink

        def open_(path: str, flags: int, mode: int = 0o777) -> int:
            assert path.startswith(self.root)
            self._tick()
            fd = real_open(path, flags, mode)
            if flags & os.O_CREAT and (path not in self._live or flags & os.O_TRUNC):
                self._count += 1
                self._live[path] = self._count
                self._renames.append((None, path, self._count))
            self._open[fd] = self._live.get(path)
            self._position[fd] = 0
            return fd

        def close(fd: int) -> None:
            self._open.pop(fd, None)
            real_close(fd)

        def pwrite(fd: int, data: bytes | memoryview, offset: int) -> int:
            self._tick()
            count = real_pwrite(fd, data, offset)
            file = self._open[fd]
            assert file is not None
            start = offset // PAGE * PAGE
            end = -(-(offset + count) // PAGE) * PAGE
            # The kernel writes whole pages, with all other data in them.
            path = f"/proc/self/fd/{fd}"
            with open(path, "rb") as cached:
                cached.seek(start)
                self._dirty.setdefault(file, []).append((start, cached.read(end - start)))
            return count

        def write(fd: int, data: bytes | memoryview) -> int:
            count = pwrite(fd, data, self._position[fd])
            self._position[fd] += count
            return count

        def sync(fd: int) -> None:
            self._tick()
            self.syncs += 1
            file = self._open[fd]
            dirty = self._dirty.pop(file, []) if file is not None else []
            if self.syncs == self.fail_at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            if file is None:
                self._settle_names(len(self._renames))
            else:
                for offset, content in dirty:
                    self._put(file, offset, content)

        def rename(source: str, target: str) -> None:
            self._tick()
            real_rename(source, target)
            file = self._live.pop(source)
            self._live[target] = file
            self._renames.append((source, target, file))

        def unlink(path: str) -> None:
            self._tick()
            real_unlink(path)
            self._renames.append((path, None, self._live.pop(path)))

        with patch.context() as inner:
            for name, double in {
                "open": open_,
                "close": close,
                "pwrite": pwrite,
                "write": write,
                "fsync": sync,
                "fdatasync": sync,
                "rename": rename,
                "unlink": unlink,
            }.items():
                inner.setattr(os, name, double)
            yield

    def _put(self, file: int, offset: int, content: bytes) -> None:
        platter = self._content.setdefault(file, bytearray())
        if len(platter) < offset:
            platter += bytes(offset - len(platter))
        platter[offset : offset + len(content)] = content

    def _settle_names(self, count: int) -> None:
        for source, target, file in self._renames[:count]:
            if source is not None:
                self._names.pop(source, None)
            if target is not None:
                self._names[target] = file
        del self._renames[:count]

    def release(self) -> None:
        """The process is gone; the machine runs on, and so does its page cache. Call it outside of `under`."""
        for fd in list(self._open):
            os.close(fd)
        self._open.clear()

    def power_cut(self, random: Random) -> None:
        """Everything that was not synced is there or not, sector by sector; then the files are what is left.

        Call it outside of `under`.
        """
        self.release()
        self._settle_names(random.randint(0, len(self._renames)))
        self._renames.clear()
        mood = random.choice(["nothing", "everything", "some"])
        for file, dirty in self._dirty.items():
            for offset, content in dirty:
                for start in range(0, len(content), SECTOR):
                    if mood == "everything" or (mood == "some" and random.random() < 0.5):
                        self._put(file, offset + start, content[start : start + SECTOR])
        self._dirty.clear()
        self._content = {file: self._content.get(file, bytearray()) for file in self._names.values()}
        self._live = dict(self._names)
        for name in os.listdir(self.root):
            shutil.rmtree(os.path.join(self.root, name))
        for path, file in self._names.items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as left:
                left.write(self._content[file])
