"""Spawn: starting a process of ours that outlives its starter.

Rule: the process is no child of the starter, and keeps nothing of it (directory, session, terminal). It reports once,
on a pipe: `ready` with its message, or `error` with its own typed error. A file keeps its output from before it has a
log.
"""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
from typing import TYPE_CHECKING

from maestro_runtime import places
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .start_deadline import StartDeadline

# The working directory of every process of ours. Not the caller's and not the data directory: a user may want to
# remove it, and it may hold files with the names of modules. The commands have `-P`, so Python does not look there.
DIRECTORY = "/"

_LOG_BYTES_MAX = 1 << 20
_LOG_TAIL_BYTES = 2_000
_REPORT_BYTES_MAX = 65_536
# Variables with a path: a relative one would mean another place in another working directory.
_PATH_VARIABLES = ("MAESTRO_RUNTIME_DIR", "MAESTRO_CONFIG", "MAESTRO_DATA_DIR")


class ChildProcess:
    """One start of `what` by `command`, which gets the option `--ready-fd`. `log_name`: the file in the data
    directory for its output. `advice`: how a person finds out more."""

    def __init__(self, what: str, command: Sequence[str], data: str, log_name: str, advice: str) -> None:
        self._what = what
        self._command = command
        self._data = data
        self._log_name = log_name
        self._advice = advice

    def report(self, environ: Mapping[str, str], deadline: StartDeadline) -> str:
        """Start it and return its report; empty when it ended without one.

        Raises MaestroError TIMEOUT or AUTOSTART_FAILED.
        """
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                self._spawn(environ, write_fd)
            finally:
                os.close(write_fd)
            return self._read(read_fd, deadline)
        finally:
            os.close(read_fd)

    def refusal(self, report: str) -> MaestroError:
        """The error in its report."""
        word, _, body = report.partition(" ")
        if word == "error":
            try:
                return MaestroError.from_body(json.loads(body))
            except ValueError:
                return self._failed(f"{self._what} ended: {body[:200]}")
        return self._failed(f"{self._what} ended before it served{self._log_tail()}")

    def _spawn(self, environ: Mapping[str, str], ready_fd: int) -> None:
        """Start it detached. A shell puts it into the background and ends, so that it is no child of this process: a
        long-lived client would keep a killed broker as a zombie, and a fork is unsafe in a process with threads."""
        log_fd = self._open_log()
        try:
            finished = subprocess.run(
                ["/bin/sh", "-c", '"$@" &', "sh", *self._command, "--ready-fd", str(ready_fd)],
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                cwd=DIRECTORY,
                env=environment(environ),
                pass_fds=(ready_fd,),
                start_new_session=True,
                check=False,
            )
        except OSError as error:
            raise self._failed(f"no process could be made: {error}") from None
        finally:
            os.close(log_fd)
        if finished.returncode != 0:
            raise self._failed(f"no process could be made{self._log_tail()}")

    def _open_log(self) -> int:
        """The file for its output before it has a log of its own, e.g. that Python can't import it."""
        try:
            return places.open_file(
                os.path.join(self._data, self._log_name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            )
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise places.refusal(
                    "AUTOSTART_FAILED", f"the log of {self._what} can't be opened", error, f"{self._advice}."
                ) from None
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def _read(self, fd: int, deadline: StartDeadline) -> str:
        poller = select.poll()  # not select(), which can't take a descriptor above 1,023
        poller.register(fd, select.POLLIN)
        heard = b""
        while b"\n" not in heard and len(heard) < _REPORT_BYTES_MAX:
            left_s = deadline.left_s()
            if left_s <= 0:
                raise deadline.late(f"{self._what} of {self._data} was started, and it does not serve yet")
            if not poller.poll(left_s * 1000):
                continue
            some = os.read(fd, 4_096)
            if not some:
                break
            heard += some
        return heard.decode("utf-8", "replace").strip()

    def _log_tail(self) -> str:
        try:
            path = os.path.join(self._data, self._log_name)
            lines = places.read(path, _LOG_BYTES_MAX)[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        last = next(filter(None, map(str.strip, reversed(lines))), "")
        return f": {last}" if last else ""

    def _failed(self, why: str) -> MaestroError:
        return MaestroError(
            "AUTOSTART_FAILED",
            why,
            f"{self._advice}; {self._log_name} in the data directory has what it printed.",
        )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the new process: without a session, and with paths that are valid in another directory."""
    clean = {name: value for name, value in environ.items() if not name.startswith("MAESTRO_SESSION_")}
    for name in _PATH_VARIABLES:
        if clean.get(name):
            clean[name] = os.path.abspath(os.path.expanduser(clean[name]))
    if clean.get("PYTHONPATH"):
        # An empty part would be the new process's directory.
        named = filter(None, clean["PYTHONPATH"].split(os.pathsep))
        clean["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, named))
    return clean
