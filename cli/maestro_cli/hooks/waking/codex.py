"""Codex screens: the process on whose screen a person sees a thread of Codex, and how that thread can be woken.

Rule: only what a person sees is woken. A hook runs below the screen's process, or below the daemon that serves all
screens of one CODEX_HOME and goes on after them; then the screen is looked for among the user's processes. `codex
exec` and the servers of other programs have none. Seen with Codex 0.169.0, on Linux alone.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from maestro_cli.hooks import state_files
from maestro_clients.protocol.callers import SESSION_VARIABLE, TOKEN_VARIABLE
from maestro_runtime import paths, wake_facts
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import CODEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

    from maestro_cli.hooks.payload import HookInput

_NAME: Final = "codex"
_DAEMON: Final = "--managed-daemon"
# Its socket, below CODEX_HOME.
_DAEMON_SOCKET: Final = "app-server-control/app-server-control.sock"
# The words of a command line that shows no screen, between blanks.
_WITHOUT_SCREEN: Final = (
    " exec e review login logout mcp mcp-server plugin app-server app exec-server remote-control completion update "
    "doctor sandbox debug apply a queue archive unarchive delete migrate-rollouts migrate-nfs-db cloud features help "
)
# What a shell says to the agents that are started in it.
_OF_THE_SHELL: Final = (SESSION_VARIABLE, TOKEN_VARIABLE, "MAESTRO_WAKE")
_DELETED: Final = " (deleted)"
# The kernel notes the time of a read of a terminal once in 8 s.
_RECENT_S: Final = 10.0
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
        return self.has_terminal and not any(" " not in word and f" {word} " in _WITHOUT_SCREEN for word in own)

    @property
    def is_daemon(self) -> bool:
        return "app-server" in self.words and _DAEMON in self.words


def enter(pid: int, hook_input: HookInput, environ: MutableMapping[str, str], *, begins: bool) -> int:
    """The process that stands for the agent where a hook runs below `pid`: that of the screen where there is one.

    `begins`: the thread begins or goes on now, so its screen is looked for; later its link names it. The daemon has
    the variables of the shell in which it was started. In `environ`, those of the screen replace them. Raises
    MaestroError DATA_DIR_UNUSABLE.
    """
    agent = _process(pid)
    if agent is None or not agent.is_daemon:
        return pid
    data = paths.data_dir(environ)
    if begins:
        screen = _screen_of_daemon(data, hook_input, environ)
    else:
        link = state_files.read_link(data, _NAME, hook_input.session)
        screen = link.processes[0].pid if link is not None and link.processes else 0
    own = _environ_of(screen)
    if not own:  # it has ended, or there is none
        return screen or pid
    for name in _OF_THE_SHELL:
        environ.pop(name, None)
        if name in own:
            environ[name] = own[name]
    return screen


def note(data: str, session: str, hook_input: HookInput, pid: int, environ: Mapping[str, str]) -> bool:
    """Note how the thread on the screen of process `pid` can be woken; whether it can be."""
    shown = _process(pid)
    if shown is None or not shown.is_screen:
        return False
    home, program = _home(environ), _program(shown, environ)
    for other, facts in _noted(data):
        # A screen shows one thread at a time.
        if facts.pid == pid and other != session:
            wake_facts.remove(data, other)
    database = environ.get("CODEX_SQLITE_HOME", "")
    socket = os.path.join(home, _DAEMON_SOCKET)
    found = WakeFacts(
        CODEX,
        pid,
        pid_start(pid),
        thread=hook_input.session,
        program=program,
        home=home,
        database=database if os.path.isabs(database) else None,
        socket=socket if os.path.exists(socket) else None,
    )
    try:
        wake_facts.write(data, session, found)
    except (OSError, ValueError):
        wake_facts.remove(data, session)
        return False
    return True


def _screen_of_daemon(data: str, hook_input: HookInput, environ: Mapping[str, str]) -> int:
    """The screen of a thread in the daemon; 0 where there is none.

    The daemon does not say which screen it is. A thread begins when a person has pressed a key there.
    """
    home = os.path.realpath(_home(environ))
    noted = {facts.pid: facts.thread for _, facts in _noted(data)}
    recent_s = time.time() - _RECENT_S

    def unlikely(one: _Process) -> tuple[bool, int, bool, float]:
        read_s, shows = _last_read(one.pid), noted.get(one.pid)
        shows_another = 1 if shows is None else 2 * (shows != hook_input.session)
        return read_s < recent_s, shows_another, _directory_of(one.pid) != hook_input.directory, -read_s

    screens = [one for one in _processes() if one.is_screen and os.path.realpath(_home(_environ_of(one.pid))) == home]
    return min(screens, key=unlikely).pid if screens else 0


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
    import shutil

    found = shutil.which(_NAME, path=environ.get("PATH")) or ""
    return found if os.path.isabs(found) else ""


def _processes() -> Iterator[_Process]:
    """This user's processes of Codex."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdecimal() and _is_codex(name) and (found := _process(int(name))) is not None:
                yield found


def _is_codex(pid: str) -> bool:
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False
    return os.path.basename(program.removesuffix(_DELETED)) == _NAME


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


def _environ_of(pid: int) -> dict[str, str]:
    """The environment with which a process was started; empty where it can't be read."""
    try:
        return dict(one.partition("=")[::2] for one in _read(pid, "environ").split("\0"))
    except OSError:
        return {}


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
