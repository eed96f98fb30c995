"""Lock file: `<data>/broker.lock`, which the broker locks and which names its process.

Rule: `<pid> <start> [stopping]` on one line. The pid is believed only while some process holds the lock and the
process with that pid began at `start` (`process_identity`): a pid alone may be another process's by now.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from maestro_runtime.process_identity import is_alive

BYTES_MAX = 256
_STOPPING = "stopping"
_UNKNOWN = "-"


class LockHolder(NamedTuple):
    """A broker's process. `start`: what `process_identity.pid_start` said; None where that is not known."""

    pid: int
    start: str | None
    is_stopping: bool


def path(data: str) -> str:
    """The file of a data directory."""
    return os.path.join(data, "broker.lock")


def encode(holder: LockHolder) -> bytes:
    """The file's content."""
    words = [str(holder.pid), holder.start or _UNKNOWN, *([_STOPPING] if holder.is_stopping else [])]
    return " ".join(words).encode("ascii", "replace") + b"\n"


def parse(content: bytes) -> LockHolder | None:
    """The holder that the file names; None where it names none. One that is begun and not written yet is empty."""
    words = content.decode("ascii", "replace").split()
    if not words or not words[0].isdecimal():
        return None
    start = words[1] if len(words) > 1 and words[1] != _UNKNOWN else None
    return LockHolder(int(words[0]), start, _STOPPING in words[2:])


def holder(data: str) -> LockHolder | None:
    """The process that holds the lock now, whether it serves or not; None if there is none, or if its pid may be
    another process's."""
    import fcntl

    try:
        fd = os.open(path(data), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        # A shared lock: two processes that look at the same moment must not take each other for a broker.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        found = parse(os.pread(fd, BYTES_MAX, 0))
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(fd)
    return found if found is not None and is_alive(found.pid, found.start) else None
