"""Data lock: one broker for each data directory.

Rule: an flock, taken before anything else is changed and held until the process ends: an ipc bind would silently take
over a running broker's sockets. The file stays; the kernel releases the lock when the process dies, even by SIGKILL.
A lock counts only while the path leads to the locked file: another broker would lock another file.
"""

from __future__ import annotations

import fcntl
import os
import time

from maestro_runtime import places
from maestro_runtime.process_identity import is_alive, pid_start
from maestro_runtime.traces import lock_file
from maestro_runtime.traces.lock_file import LockHolder
from maestro_schemas.errors import FatalError, MaestroError

_POLL_S = 0.02
# A process that looks who holds the lock also takes it for a moment.
_LOOK_S = 0.2


class DataLock:
    """The lock on `<data>/broker.lock`; the file names the holder (`maestro_runtime.lock_file`)."""

    def __init__(self, data: str) -> None:
        self._data = data
        self._path = lock_file.path(data)
        self._fd: int | None = None
        # Device and inode of the locked file.
        self._inode = (0, 0)

    def acquire(self, stopping_timeout_s: float) -> None:
        """Take the lock, waiting only for a holder that is stopping.

        Raises MaestroError DATA_DIR_LOCKED with the holder's pid, or DATA_DIR_UNUSABLE.
        """
        began_s = time.monotonic()
        while self._fd is None:
            fd = _open(self._path)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = lock_file.parse(os.pread(fd, lock_file.BYTES_MAX, 0))
                os.close(fd)
                if time.monotonic() - began_s < _patience_s(holder, stopping_timeout_s):
                    time.sleep(_POLL_S)
                    continue
                raise MaestroError(
                    "DATA_DIR_LOCKED",
                    f"another broker (pid {'unknown' if holder is None else holder.pid}) serves {self._data}",
                    "Use that one (`maestro status`), stop it (`maestro down`), or set MAESTRO_DATA_DIR to another.",
                    details={"pid": None if holder is None else holder.pid},
                ) from None
            status = os.fstat(fd)
            self._fd, self._inode = fd, (status.st_dev, status.st_ino)
            if not self._is_held():  # the file was removed between the two calls
                self.release()
        self._write(is_stopping=False)

    def check_held(self) -> None:
        """Raises FatalError DATA_DIR_UNUSABLE if the path does not lead to the locked file any more: the file or the
        whole directory was removed or replaced, and another broker may serve. One system call."""
        if not self._is_held():
            raise FatalError(
                "DATA_DIR_UNUSABLE",
                f"{self._path} is not the file that this broker locked: it, or the data directory, was removed or "
                "replaced while the broker ran",
                "Look what removed it; the next command starts a broker for what is there now.",
            )

    def announce_stop(self) -> None:
        """Record that this broker is stopping, so that its successor waits."""
        self._write(is_stopping=True)

    def release(self) -> None:
        """Release the lock, as the last step of a stop."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _is_held(self) -> bool:
        try:
            status = os.stat(self._path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._inode

    def _write(self, *, is_stopping: bool) -> None:
        if self._fd is not None:
            pid = os.getpid()
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, lock_file.encode(LockHolder(pid, pid_start(pid), is_stopping)), 0)


def _patience_s(holder: LockHolder | None, stopping_timeout_s: float) -> float:
    if holder is None or not is_alive(holder.pid, holder.start):
        return _LOOK_S
    return stopping_timeout_s if holder.is_stopping else 0.0


def _open(path: str) -> int:
    try:
        return places.open_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise places.refusal(
            "DATA_DIR_UNUSABLE",
            f"the lock {places.shown(path)} can't be used",
            error,
            "Or set MAESTRO_DATA_DIR to another directory.",
        ) from None
