"""Data lock: one broker for each data directory.

Rule: an flock, taken before anything else is changed and held until the process ends: an ipc bind would silently take
over a running broker's sockets. The file stays; the kernel releases the lock when the process dies, even by SIGKILL.
"""

from __future__ import annotations

import fcntl
import os
import time

from maestro_runtime import places
from maestro_schemas.errors import MaestroError

_POLL_S = 0.02
_STOPPING = "stopping"


class DataLock:
    """The lock on `<data>/broker.lock`; the file holds the holder's pid, and `stopping` once it stops."""

    def __init__(self, data: str) -> None:
        self._path = os.path.join(data, "broker.lock")
        self._fd: int | None = None

    def acquire(self, stopping_timeout_s: float) -> None:
        """Take the lock, waiting only for a holder that is stopping.

        Raises MaestroError DATA_DIR_LOCKED with the holder's pid, or DATA_DIR_UNUSABLE.
        """
        fd = _open(self._path)
        deadline_s = time.monotonic() + stopping_timeout_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, _, doing = os.pread(fd, 64, 0).decode("ascii", "replace").strip().partition(" ")
                if doing == _STOPPING and time.monotonic() < deadline_s:
                    time.sleep(_POLL_S)
                    continue
                os.close(fd)
                raise MaestroError(
                    "DATA_DIR_LOCKED",
                    f"another broker (pid {pid or 'unknown'}) serves {os.path.dirname(self._path)}",
                    "Use that one (`maestro status`), stop it (`maestro down`), or set MAESTRO_DATA_DIR to another.",
                    details={"pid": int(pid) if pid.isdecimal() else None},
                ) from None
            break
        self._fd = fd
        self._write(f"{os.getpid()}\n")

    def announce_stop(self) -> None:
        """Record that this broker is stopping, so that its successor waits."""
        self._write(f"{os.getpid()} {_STOPPING}\n")

    def release(self) -> None:
        """Release the lock, as the last step of a stop."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write(self, text: str) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, text.encode("ascii"), 0)


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
