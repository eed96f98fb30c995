"""Disk calls: the syncs of one send before its answer, as strace sees them.

Rule: counted, not believed: whole calls of fsync and fdatasync, of the sender and of the process that writes for it,
up to the first write to standard output and from there to the sender's end.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bench.mailboxes import Command

_DONE = re.compile(r"(fsync|fdatasync)(\(.*| resumed>.*)= 0$")
_PATIENCE_S = 30.0


class Syncs(NamedTuple):
    """Successful calls of fsync and fdatasync: before the answer, and after it until the sender ended."""

    before: int
    after: int


class NotMeasuredError(Exception):
    """Why not."""


def syncs(command: Command, server: int | None, directory: str) -> Syncs:
    """Run `command` under strace, and `server` with it. Raises NotMeasuredError."""
    strace = shutil.which("strace")
    if strace is None:
        raise NotMeasuredError("strace is not installed")
    path = os.path.join(directory, "strace.out")
    words = [strace, "-f", "-I", "2", "-o", path, "-e", "trace=execve,fsync,fdatasync,write,writev"]
    words += ["-p", str(server)] if server is not None else []
    tracing = subprocess.Popen(
        [*words, *command.words], env=command.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        lines = _until_ended(path, tracing)
    finally:
        tracing.terminate()  # it lets go of the server
        errors = tracing.communicate(timeout=_PATIENCE_S)[1]
        if os.path.exists(path):
            os.unlink(path)
    if lines is None:
        said = errors.decode(errors="replace").strip().splitlines()
        raise NotMeasuredError(said[0] if said else "strace saw no end of the sender")
    return counted(lines)


def counted(lines: list[str]) -> Syncs:
    """The counts of a trace: each line begins with the process, and the sender's first is its start."""
    sender = _sender(lines)
    answered = next((n for n, line in enumerate(lines) if re.match(rf"{sender} +writev?\(1, ", line)), None)
    if answered is None:
        raise NotMeasuredError("the sender said nothing")
    before = sum(_DONE.search(line) is not None for line in lines[:answered])
    return Syncs(before, sum(_DONE.search(line) is not None for line in lines[answered:]))


def _sender(lines: list[str]) -> str | None:
    return next((line.split()[0] for line in lines if re.match(r"\d+ +execve\(", line)), None)


def _until_ended(path: str, tracing: subprocess.Popen[bytes]) -> list[str] | None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        ended = tracing.poll() is not None
        lines: list[str] = []
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        sender = _sender(lines)
        for number, line in enumerate(lines):
            if sender is not None and re.match(rf"{sender} +\+\+\+ exited with 0", line):
                return lines[: number + 1]
        if ended:
            return None
        time.sleep(0.02)
    return None
