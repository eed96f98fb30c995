"""Tmux terminal: a program in a terminal of a given size, with its colours, in a tmux server of the test's own.

Rule: the server reads no settings of the user, and ends with the block.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from . import components
from .post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

_SECONDS_MAX = 60.0
_HISTORY_ROWS = 20_000
_numbers = itertools.count()


class TmuxTerminal:
    """A terminal in which a person could type; `socket`: the path of its server, which it makes."""

    def __init__(
        self, socket: str, environ: dict[str, str], cwd: str, command: Sequence[str], columns: int, rows: int = 40
    ) -> None:
        components.require_tools("tmux")
        self._socket = socket
        self._environ = environ
        settings = f"{socket}.conf"
        with open(settings, "w", encoding="utf-8") as file:
            file.write(
                f"set -g history-limit {_HISTORY_ROWS}\nset -g remain-on-exit on\nset -g remain-on-exit-format ''\n"
                'set -g status off\nset -g default-terminal "tmux-256color"\nset -sg escape-time 0\n'
                "set -g focus-events on\n"
            )
        size = ["-x", str(columns), "-y", str(rows)]
        self._tmux("-f", settings, "new-session", "-d", *size, "-c", cwd, *command)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The program may have ended the server with itself.
        with contextlib.suppress(subprocess.CalledProcessError):
            self._tmux("kill-server")

    def wait_end(self) -> int:
        """Wait until the program has ended; its exit status."""
        eventually(self._has_ended, "the end of the program", _SECONDS_MAX)
        return int(self._said("#{pane_dead_status}") or -1)

    def _has_ended(self) -> bool:
        # The status comes a moment after the end of the output.
        dead, server, status = self._said("#{pane_dead}/#{pid}/#{pane_dead_status}#{pane_dead_signal}").split("/")
        if dead == "1" and not status:
            # tmux 3.3 misses the signal of some children, and they stay zombies: the next one makes it look for all.
            os.kill(int(server), signal.SIGCHLD)
        return status != ""

    def captured(self, *, whole: bool = False) -> str:
        """What is on the screen, with its colours; `whole`: also what has left it at the top."""
        return self._tmux("capture-pane", "-e", "-p", *(("-S", "-") if whole else ()))

    def text(self) -> str:
        """What is on the screen, without colours."""
        return self._tmux("capture-pane", "-p")

    def cursor(self) -> tuple[int, int]:
        """Column and row of the cursor."""
        column, row = self._said("#{cursor_x} #{cursor_y}").split()
        return int(column), int(row)

    def press(self, key: str) -> None:
        """Press a key, by tmux's name of it."""
        self._tmux("send-keys", key)

    def type(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-l", "--", text)

    def pid(self) -> int:
        """The program's process."""
        return int(self._said("#{pane_pid}"))

    def _said(self, wanted: str) -> str:
        return self._tmux("display-message", "-p", wanted).strip()

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-u", "-S", self._socket, *arguments],
            env={**self._environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "SHELL": "/bin/sh"},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout


def in_a_terminal(environ: dict[str, str], cwd: str, line: str, columns: int, rows: int = 40) -> tuple[str, int]:
    """What a shell line leaves on a terminal, with its colours, and its exit status."""
    clean = {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES", "TMUX", "NO_COLOR")}
    # Another server each time: one that ends still has its socket for a moment.
    path = os.path.join(cwd, f"tmux-{next(_numbers)}")
    with TmuxTerminal(path, clean, cwd, ["sh", "-c", line], columns, rows) as terminal:
        code = terminal.wait_end()
        return terminal.captured(whole=True), code
