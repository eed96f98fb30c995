"""Outbox blobs: the contents of files that entries of the outbox name.

Rule: a content is durable before the entry that names it, under its digest in hex. What no entry names is removed. A
client holds a shared lock on the folder from the first content to the entry, and who removes holds the exclusive one:
so nothing is removed between the two, and the lock of a killed client is gone with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from typing import TYPE_CHECKING

from . import atomic_file, places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FILE_MODE = 0o400
# A drain removes an empty folder, so a client may find it gone this often.
_TRIES = 100


class OutboxBlobs:
    """The folder at `path`. Every method raises OSError."""

    def __init__(self, path: str) -> None:
        self.path = path

    def file(self, sha256: str) -> str | None:
        """The path of a content; None for what is no digest."""
        return os.path.join(self.path, sha256) if _DIGEST.fullmatch(sha256) else None

    def read(self, sha256: str, bytes_max: int) -> bytes | None:
        """A content, at most `bytes_max` of it; None where it is not there."""
        path = self.file(sha256)
        try:
            return None if path is None else places.read(path, bytes_max)
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def kept(self, files: Mapping[str, bytes]) -> Iterator[None]:
        """Store contents durably, and keep them until the block has ended; then an entry names them."""
        fd = self._locked()
        try:
            for sha256, content in files.items():
                path = os.path.join(self.path, sha256)
                if not _is_whole(path, len(content)):
                    aside = os.path.join(self.path, f".{os.getpid()}-{sha256}.new")
                    atomic_file.replace(path, content, durable=True, mode=_FILE_MODE, aside=aside)
            atomic_file.sync_directory(os.path.dirname(self.path))
            yield
        finally:
            os.close(fd)

    def collect(self, named: Callable[[], set[str]]) -> None:
        """Remove the contents that `named` does not have, unless a client adds some at the moment. `named` is asked
        while no client does."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            names = os.listdir(self.path)
            kept = named() if names else set()
            for name in names:
                # Also what a killed client has left half written. Other names are not ours.
                if name not in kept and (_DIGEST.fullmatch(name) or name.startswith(".")):
                    os.unlink(os.path.join(self.path, name))
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
        except BlockingIOError:
            return
        finally:
            os.close(fd)

    def _locked(self) -> int:
        for _ in range(_TRIES):
            places.make_directory(self.path)
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(fd, fcntl.LOCK_SH)
                # Removed before it was locked: what is written into it would be lost.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                        return fd
                os.close(fd)
        raise FileNotFoundError(f"{self.path} is removed again and again")


def _is_whole(path: str, size: int) -> bool:
    try:
        return os.lstat(path).st_size == size
    except OSError:
        return False
