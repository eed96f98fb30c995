"""Process identity: which process a pid names, also after the kernel has given the pid to another process.

Rule: what can't be known is None, and never "gone". On Linux a start is `boot id/pid namespace/start time in ticks`,
because a pid means another process after a boot and in another namespace, such as a container's.
"""

from __future__ import annotations

import os
from functools import cache

_STAT = "/proc/{}/stat"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_NAMESPACE = "/proc/self/ns/pid"
# Fields of /proc/PID/stat by proc(5). The name in brackets is the second one, so the list after it begins with 3.
_STATE = 3 - 3
_PARENT = 4 - 3
_START_TIME = 22 - 3
_ANCESTORS_MAX = 64
# A zombie, and a process that the kernel is removing.
_DEAD = (b"Z", b"X")


def pid_start(pid: int) -> str | None:
    """What tells the process with this pid from a later one; None where no process has it, or it can't be known."""
    return _started(pid) or None


def is_alive(pid: int, start: str | None) -> bool | None:
    """Whether a process runs that was recorded with this pid and `pid_start`; None where that can't be known.

    Without a start, a process with that pid may be another one, and only a missing process is certain.
    """
    if pid <= 0:
        return None
    if start is not None and start.count("/") == 2:
        boot, namespace, _ = start.split("/")
        if boot != _boot_id():
            return False if _boot_id() else None
        if namespace != _namespace():
            return None
    now = _started(pid)
    if now is None or (now and start is None):
        return None
    return now == start and now != ""


def ancestors() -> list[int]:
    """The processes above this one, the parent first; those that are known."""
    found: list[int] = []
    pid = os.getppid()
    # Process 1 is above all of them, and no agent. A limit, as the processes may change while they are read.
    while pid > 1 and len(found) < _ANCESTORS_MAX:
        found.append(pid)
        pid = _parent(pid)
    return found


def terminal_leader() -> int | None:
    """The leader of this process's terminal session, mostly a shell; None without a terminal, or if it has ended."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
        leader = os.getsid(0)
    except OSError:
        return None
    return leader if _started(leader) else None


def _started(pid: int) -> str | None:
    """The start of the process with this pid; empty where there is none, None where that can't be known."""
    if not _boot_id():
        return _started_by_ps(pid)
    try:
        fields = _fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError:
        return None
    if len(fields) <= _START_TIME:
        return None
    if fields[_STATE] in _DEAD:
        return ""
    return f"{_boot_id()}/{_namespace()}/{fields[_START_TIME].decode()}"


def _fields(pid: int) -> list[bytes]:
    with open(_STAT.format(pid), "rb", buffering=0) as file:
        # The name in brackets may contain blanks and brackets: split after it.
        return file.read(1_024).rpartition(b")")[2].split()


def _parent(pid: int) -> int:
    """The process above this one; 0 where that is not known."""
    try:
        return int(_fields(pid)[_PARENT]) if _boot_id() else int(_by_ps("ppid", pid) or 0)
    except (OSError, ValueError, IndexError):
        return 0


def _started_by_ps(pid: int) -> str | None:
    """As `_started`, for macOS."""
    return _by_ps("lstart", pid)


def _by_ps(field: str, pid: int) -> str | None:
    """A field of a process on macOS: empty where there is no such process. No test has run there."""
    import subprocess

    command = ["/bin/ps", "-o", f"{field}=", "-p", str(pid)]
    try:
        found = subprocess.run(command, env={"LC_ALL": "C", "TZ": "UTC"}, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    # `ps` ends with 1 where there is no such process.
    return found.stdout.decode("ascii", "replace").strip() if found.returncode in (0, 1) else None


@cache
def _boot_id() -> str:
    """Another one after each boot; empty where there is no /proc."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


@cache
def _namespace() -> str:
    """The number of this process's pid namespace; 0 where the kernel does not say."""
    try:
        return os.readlink(_NAMESPACE).partition("[")[2].rstrip("]") or "0"
    except OSError:
        return "0"
