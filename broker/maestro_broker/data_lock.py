"""Data lock: one broker a data directory.

Rule: an flock held for the life of the process, taken before anything else is touched: an ipc bind would
silently steal a living broker's sockets. The file stays; the kernel frees the lock at death, even by SIGKILL.
"""

from __future__ import annotations

import fcntl
import os
import time

from maestro_schemas.errors import MaestroError

_POLL_S = 0.02


class DataLock:
    """The lock on `<data>/broker.lock`; the file holds the holder's pid, for people."""

    def __init__(self, data: str) -> None:
        self._path = os.path.join(data, "broker.lock")
        self._fd: int | None = None

    def acquire(self, timeout_s: float) -> None:
        """Take it, waiting for a broker that is just stopping. Raises MaestroError DATA_DIR_LOCKED with its pid."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline_s:
                    time.sleep(_POLL_S)
                    continue
                holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(fd)
                raise MaestroError(
                    "DATA_DIR_LOCKED",
                    f"another broker (pid {holder}) serves {os.path.dirname(self._path)}",
                    "Use that one (`maestro status`), stop it (`maestro down`), or set MAESTRO_DATA_DIR to another.",
                    details={"pid": int(holder) if holder.isdecimal() else None},
                ) from None
            break
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        self._fd = fd

    def release(self) -> None:
        """Let go, last of all."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
