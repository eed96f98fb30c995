"""Codex screens: the process on whose screen a person sees a thread of Codex, and how that thread can be woken.

Rule: only what a person sees is woken. A hook runs below the screen's process, or below the daemon that serves all
screens of one CODEX_HOME and goes on after them; then the screen is looked for among the user's processes. `codex
exec` and the servers of other programs have none. Seen with Codex 0.169.0, on Linux alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from maestro_runtime import wake_facts
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import CODEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME: Final = "codex"
_DAEMON: Final = "--managed-daemon"
# Its socket, below CODEX_HOME.
_DAEMON_SOCKET: Final = "app-server-control/app-server-control.sock"
# The first word of a command line that shows no screen.
_WITHOUT_SCREEN: Final = re.compile(
    "exec|e|review|login|logout|mcp|mcp-server|plugin|app-server|app|exec-server|remote-control|completion|update|doctor"
    "|sandbox|debug|apply|a|queue|archive|unarchive|delete|migrate-rollouts|migrate-nfs-db|cloud|features|help"
)
_DELETED: Final = " (deleted)"
# Of /proc/PID/stat by proc(5), counted from the field after the name in brackets.
_TERMINAL = 7 - 3


class _Process(NamedTuple):
    pid: int
    words: tuple[str, ...]
    program: str
    has_terminal: bool

    @property
    def is_screen(self) -> bool:
        own = self.words[1 : self.words.index("--") if "--" in self.words else None]
        return self.has_terminal and not any(map(_WITHOUT_SCREEN.fullmatch, own))

    @property
    def is_daemon(self) -> bool:
        return "app-server" in self.words and _DAEMON in self.words


def screen(pid: int, data: str, session: str, directory: str, environ: Mapping[str, str]) -> int:
    """The process that shows the thread for which a hook runs below `pid`; 0 where none does.

    `session`: the Maestro session that belongs to the thread, empty for a new one. `directory`: the thread's.
    """
    agent = _process(pid)
    if agent is None:
        return 0
    if not agent.is_daemon:
        return pid if agent.is_screen else 0
    home = _home(environ)
    screens = [one for one in _processes() if one.is_screen and home and _home_of(one.pid) == os.path.realpath(home)]
    noted = {facts.pid for other, facts in _noted(data) if other != session}

    def unlikely(one: _Process) -> tuple[bool, bool, float]:
        return one.pid in noted, _directory_of(one.pid) != directory, -_last_read(one.pid)

    return min(screens, key=unlikely).pid if screens else 0


def note(data: str, session: str, thread: str, pid: int, shown_by: int, environ: Mapping[str, str]) -> bool:
    """Note how the thread can be woken that the process `shown_by` shows; whether it can be. `pid`: the process that
    its hooks run below."""
    agent, shown = _process(pid), _process(shown_by)
    home, program = _home(environ), _program(shown, environ)
    if agent is None or shown is None or not home or not program or not _UUID.fullmatch(thread):
        wake_facts.remove(data, session)
        return False
    # A screen shows one thread at a time.
    for other, facts in _noted(data):
        if facts.pid == shown.pid and other != session:
            wake_facts.remove(data, other)
    database = environ.get("CODEX_SQLITE_HOME", "")
    found = WakeFacts(
        CODEX,
        shown.pid,
        pid_start(shown.pid),
        thread=thread,
        program=program,
        home=home,
        database=database if os.path.isabs(database) else None,
        socket=os.path.join(home, _DAEMON_SOCKET) if agent.is_daemon else None,
    )
    try:
        wake_facts.write(data, session, found)
    except (OSError, ValueError):
        wake_facts.remove(data, session)
        return False
    return True


def _noted(data: str) -> Iterator[tuple[str, WakeFacts]]:
    for session in wake_facts.sessions(data):
        facts = wake_facts.read(data, session)
        if facts is not None and facts.by == CODEX:
            yield session, facts


def _home(environ: Mapping[str, str]) -> str:
    """CODEX_HOME; empty where it is not known."""
    found = environ.get("CODEX_HOME") or os.path.join(environ.get("HOME", ""), ".codex")
    return found if os.path.isabs(found) else ""


def _program(shown: _Process | None, environ: Mapping[str, str]) -> str:
    """The program of the screen; where an update has replaced it, the one on the PATH; empty where there is none."""
    if shown is not None and os.access(shown.program, os.X_OK):
        return shown.program
    found = shutil.which(_NAME, path=environ.get("PATH")) or ""
    return found if os.path.isabs(found) else ""


def _processes() -> Iterator[_Process]:
    """This user's processes of Codex."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            found = _process(int(name)) if name.isdecimal() else None
            if found is not None and os.path.basename(found.program.removesuffix(_DELETED)) == _NAME:
                yield found


def _process(pid: int) -> _Process | None:
    """The process with this pid, if it is this user's."""
    try:
        if pid <= 0 or os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return None
        program = os.readlink(f"/proc/{pid}/exe")
        words = _read(pid, "cmdline").split("\0")
        fields = _read(pid, "stat").rpartition(")")[2].split()
    except OSError:
        return None
    has_terminal = len(fields) > _TERMINAL and fields[_TERMINAL] != "0"
    return _Process(pid, tuple(words[:-1]), program, has_terminal)


def _home_of(pid: int) -> str:
    try:
        found = dict(one.partition("=")[::2] for one in _read(pid, "environ").split("\0"))
    except OSError:
        return ""
    return os.path.realpath(_home(found))


def _directory_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _last_read(pid: int) -> float:
    """When a key was pressed last on the terminal of a process."""
    try:
        return os.stat(f"/proc/{pid}/fd/0").st_atime
    except OSError:
        return 0.0


def _read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
