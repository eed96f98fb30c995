"""Wake facts: how the idle agent of a session can be woken, one file a session in `<data>/hooks/wake`.

Rule: one JSON object, written by the agent's SessionStart hook, or by the command with which a person opts in. The
broker's waker reads it (`maestro_broker.waking`). What it names is run as this user, so a file counts only if it is a
regular file of this user that others can't write to. It holds no token and no text of a message.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import Final, NamedTuple

from maestro_schemas.names import is_id
from maestro_schemas.texts.waking import WAKERS

from . import atomic_file, places

BYTES_MAX: Final = 8_192
_KEPT_S: Final = 30 * 24 * 3600
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_OF_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
# The names of the texts in the file.
_TEXTS: Final = {
    "thread": "thread",
    "program": "program",
    "home": "home",
    "database": "database",
    "file": "file",
    "socket": "socket",
    "pane": "pane",
    "pidStart": "pid_start",
}


class WakeFacts(NamedTuple):
    """What a waker must know of one session beside its id."""

    # A name in `waking.WAKERS`.
    by: str
    # The agent's process, which must still run.
    pid: int
    pid_start: str | None
    # The agent's own id of the conversation that the process shows.
    thread: str | None = None
    # Absolute paths: the agent's program, its home, and the folder of its databases where that is another one.
    program: str | None = None
    home: str | None = None
    database: str | None = None
    # The file that an agent reads its orders from.
    file: str | None = None
    # The server of a terminal multiplexer, and the pane that the agent is in.
    socket: str | None = None
    pane: str | None = None


def path(data: str, session: str) -> str:
    """The file of a session."""
    return os.path.join(_folder(data), session)


def write(data: str, session: str, facts: WakeFacts) -> None:
    """Write the file, and delete files that were not written for a month. Raises OSError, ValueError."""
    import json

    file = path(data, session)
    content = {"by": facts.by, "pid": facts.pid}
    content |= {name: value for name, field in _TEXTS.items() if (value := getattr(facts, field)) is not None}
    raw = json.dumps(content).encode()
    if not is_id(session) or parse(raw) != facts:
        raise ValueError(f"these are no facts about a wake of {session!r:.80}: {facts!r:.400}")
    folder = _folder(data)
    places.make_directory(folder)
    # The temporary name begins with a dot, so that no reader takes it for a session.
    atomic_file.replace(file, raw, durable=False, aside=os.path.join(folder, f".{os.getpid()}.new"))
    _delete_old(folder)


def read(data: str, session: str) -> WakeFacts | None:
    """The facts of a session; None where there are none, or where the file is not one that this user wrote."""
    if not is_id(session):
        return None
    try:
        descriptor = os.open(path(data, session), _FLAGS)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        # A FIFO, a device, or a file that another user has written or can change.
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OF_OTHERS:
            return None
        raw = os.read(descriptor, BYTES_MAX + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return parse(raw)


def parse(raw: bytes) -> WakeFacts | None:
    """The facts in a file's content; None where it is too long, or where one of them is not what it must be."""
    import json

    if len(raw) > BYTES_MAX:
        return None
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("by") not in WAKERS:
        return None
    pid = found.get("pid")
    texts = {field: found.get(name) for name, field in _TEXTS.items()}
    if type(pid) is not int or pid <= 0 or not all(one is None or _is_text(one) for one in texts.values()):
        return None
    # A relative path would mean another file to the broker than to the hook.
    if not all(one is None or os.path.isabs(one) for one in map(texts.get, ("program", "home", "database", "file"))):
        return None
    return WakeFacts(by=found["by"], pid=pid, **texts)


def remove(data: str, session: str) -> None:
    """Remove the file of a session, if there is one."""
    if is_id(session):
        with contextlib.suppress(OSError):
            os.unlink(path(data, session))


def restore(data: str, session: str, before: WakeFacts | None) -> None:
    """Undo a `write`: what `read` has found before is there again. Raises as `write`."""
    if before is None:
        remove(data, session)
    elif before != read(data, session):
        write(data, session, before)


def sessions(data: str) -> list[str]:
    """The sessions that have a file."""
    try:
        return [name for name in os.listdir(_folder(data)) if is_id(name)]
    except OSError:
        return []


def _folder(data: str) -> str:
    return os.path.join(data, "hooks", "wake")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def _delete_old(folder: str) -> None:
    oldest_s = time.time() - _KEPT_S
    for name in os.listdir(folder):
        one = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            if os.stat(one, follow_symlinks=False).st_mtime < oldest_s:
                os.unlink(one)
