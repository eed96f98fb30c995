"""Wake child: one running command of the waker, in a process group of its own.

Rule: the program gets words and no shell, an empty standard input, and the environment that was given, nothing else
of the broker's. It has a bound of time, and only the end of what it prints is kept. It runs behind `tied.py`, which
ends it with the broker, also after kill -9, and lets the broker's own work go first at the processor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from .steps import CommandEnd

if TYPE_CHECKING:
    from .steps import WakeCommand

COMMAND_S_MAX: Final = 10.0
_OUT_BYTES_MAX = 4_096
_READ_BYTES = 65_536
_READ_S = 0.1
_TIED = os.path.join(os.path.dirname(__file__), "tied.py")


class WakeChild:
    """One command, from its start to its end."""

    def __init__(self, command: WakeCommand, path: str) -> None:
        """Start it. Raises OSError where the system has no process, no descriptor or no pidfd left."""
        out, given = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(out, False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _TIED, str(os.getpid()), *command.words],
                stdin=subprocess.DEVNULL,
                stdout=given,
                stderr=given,
                # Not the broker's directory, which may be unmounted one day.
                cwd="/",
                # The interpreter would set the last one by itself.
                env={"PATH": path, **command.environ, "LC_CTYPE": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError:
            os.close(out)
            raise
        finally:
            os.close(given)
        self._out = out
        self._printed = b""
        self._until_s = time.monotonic() + COMMAND_S_MAX
        self._was_killed = False
        try:
            self.fd = os.pidfd_open(self._process.pid)
        except OSError:
            self._kill()
            os.close(out)
            raise

    @property
    def wait_s(self) -> float:
        """When to ask for its end again at the latest: what it prints must be read, and it has a bound of time."""
        return min(_READ_S, max(0.0, self._until_s - time.monotonic()))

    def end(self) -> CommandEnd | None:
        """What became of it, once it has ended or has run too long; None before."""
        self._read()
        # It is not waited for yet: until then, no other process can have its number, which is that of its group.
        if os.waitid(os.P_PIDFD, self.fd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return self._close()
        return None if time.monotonic() < self._until_s else self.kill()

    def kill(self) -> CommandEnd:
        """End it now, with all that it has started."""
        self._was_killed = True
        return self._close()

    def _kill(self) -> int:
        """End its group: what it has left behind there would have no bound of time. Returns its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def _close(self) -> CommandEnd:
        code = self._kill()
        self._read()
        os.close(self.fd)
        os.close(self._out)
        return CommandEnd(None if self._was_killed else code, self._printed.decode("utf-8", "replace"))

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._out, _READ_BYTES):
                self._printed = (self._printed + part)[-_OUT_BYTES_MAX:]
