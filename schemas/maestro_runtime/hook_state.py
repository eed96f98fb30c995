"""Hook state: the last sign that an agent's hooks gave of a session, one file a session in `<data>/hooks/state`.

Rule: the hooks' shell script writes it without Python (`maestro_cli.hooks.shell_script`). Its modification time is
the time of the sign. Line 1 is the state alone, so that a shell reads it with one `read`. Line 2 is `event agent pid
start detail`, with `-` for what is not known; `start` is what `process_identity.pid_start` says. A writer does not
empty the file first. It writes both lines over the old ones in one call, so a reader sees the old lines or the new
ones. What is left of longer lines after line 2 means nothing.

A program that wakes idle agents needs no other file for "is it at work?". Line 1 is `working` or `waiting` from the
prompt to the end of the turn. The hook at the end writes `idle` before it looks for mail, so either that hook or the
waker sees new mail. A turn that was broken off leaves `working`; the file's age bounds how long a waker waits for it.
What a waker keeps (when it woke, how often) changes at other times and belongs into a file of its own.
"""

from __future__ import annotations

import os
import stat
from typing import Literal, NamedTuple, cast, get_args

from . import places

State = Literal["working", "idle", "waiting", "left"]
STATES: frozenset[str] = frozenset(get_args(State))
_BYTES_MAX = 512
_WORDS = 5
_WORD_CHARS_MAX = 128
_UNKNOWN = "-"
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class HookState(NamedTuple):
    """One sign."""

    state: State
    # The agent's own name of the hook's event.
    event: str
    agent: str
    # The agent's process; 0 if unknown.
    pid: int = 0
    pid_start: str | None = None
    # What it waits for.
    detail: str | None = None
    # When the sign was given, ms; `write` takes the time of the system instead.
    at_ms: int = 0


def path(data: str, session: str) -> str:
    """The file of a session."""
    return os.path.join(data, "hooks", "state", session)


def read(file: str) -> HookState | None:
    """The sign in a file; None where there is none, or where the file is not one that a hook of this user wrote."""
    try:
        descriptor = os.open(file, os.O_RDONLY | _FLAGS)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        # A FIFO, a device, or the file of another user.
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        return parse(os.read(descriptor, _BYTES_MAX), found.st_mtime_ns // 1_000_000)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def parse(content: bytes, at_ms: int) -> HookState | None:
    """The sign in a file's content; None where it is not whole."""
    lines = content.decode("ascii", "replace").split("\n")
    words = lines[1].split(" ") if len(lines) > 2 else []
    if len(words) != _WORDS or lines[0] not in STATES:
        return None
    if not all(word.isprintable() and 0 < len(word) <= _WORD_CHARS_MAX for word in words):
        return None
    event, agent, pid, start, detail = words
    return HookState(
        cast("State", lines[0]),
        event,
        agent,
        int(pid) if pid.isdecimal() and len(pid) < 10 else 0,
        None if start == _UNKNOWN else start,
        None if detail == _UNKNOWN else detail,
        at_ms,
    )


def write(file: str, sign: HookState) -> None:
    """Write a sign as the script does, for a hook that runs Python already. Raises OSError."""
    words = (sign.event, sign.agent, str(sign.pid), sign.pid_start or _UNKNOWN, sign.detail or _UNKNOWN)
    content = f"{sign.state}\n{' '.join(words)}\n".encode()
    places.make_directory(os.path.dirname(file))
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | _FLAGS, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
