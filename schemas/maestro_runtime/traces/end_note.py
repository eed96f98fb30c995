"""End note: why a broker that had to end did so, kept outside its data directory.

Rule: such a broker may have lost its data directory, and with it the log. So the reason is also in the directory of
the sockets, in the system's log and on standard error. The next broker that serves removes the note.
"""

from __future__ import annotations

import os

from maestro_runtime import atomic_file, ownership, places
from maestro_schemas.errors import MaestroError

NAME = "ended"
_BYTES_MAX = 4_096


def write(runtime: str, reason: str, *, pid: int, now: str) -> str | None:
    """Keep the reason of the broker `pid`; return the note's path, None where it could not be written. `now`: the
    time, for a person."""
    reason = reason.encode("utf-8", "backslashreplace").decode()
    _to_system_log(f"maestro broker (pid {pid}): {reason}")
    path = os.path.join(runtime, NAME)
    try:
        places.make_directory(runtime)
        ownership.check_socket_place(path)
        atomic_file.replace(path, f"{now} pid {pid}: {reason}\n".encode(), durable=False)
    except (OSError, MaestroError):
        return None
    return path


def read(runtime: str) -> str | None:
    """The note, on one line; None where there is none."""
    path = os.path.join(runtime, NAME)
    try:
        ownership.check_socket_place(path)
        with open(places.open_file(path, os.O_RDONLY), "rb") as file:
            text = file.read(_BYTES_MAX).decode("utf-8", "replace").strip()
    except (OSError, MaestroError):
        return None
    return " ".join(text.split()) or None


def remove(runtime: str) -> None:
    """A broker serves again."""
    try:
        os.unlink(os.path.join(runtime, NAME))
    except OSError:
        return


def _to_system_log(text: str) -> None:
    import syslog

    syslog.openlog("maestro", syslog.LOG_PID, syslog.LOG_USER)
    syslog.syslog(syslog.LOG_CRIT, text)
    syslog.closelog()
