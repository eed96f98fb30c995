"""Processes: what the kernel counts of one.

Rule: read from /proc, so that the process that is measured does nothing for it.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Cpu(NamedTuple):
    """CPU time in us: of the broker's main loop, of libzmq's threads, of the spool writer."""

    loop: float
    sockets: float
    writer: float

    @property
    def whole(self) -> float:
        """Of the process."""
        return self.loop + self.sockets + self.writer

    def each(self, before: Cpu, count: int) -> Cpu:
        """What was used since `before`, a `count`th of it."""
        return Cpu(*((now - then) / count for now, then in zip(self, before, strict=True)))


def cpu_us(pid: int) -> Cpu:
    """What a broker has used so far, to the ns: /proc/PID/stat counts in hundredths of a second."""
    used = {"loop": 0.0, "sockets": 0.0, "writer": 0.0}
    for thread in os.listdir(f"/proc/{pid}/task"):
        name = _read(f"/proc/{pid}/task/{thread}/comm")
        part = "sockets" if name.startswith("ZMQbg") else "loop" if int(thread) == pid else "writer"
        used[part] += int(_read(f"/proc/{pid}/task/{thread}/schedstat").split()[0]) / 1000
    return Cpu(**used)


def resident_bytes(pid: int) -> int:
    """Of its own memory, without the pages of files that it maps."""
    lines = _read(f"/proc/{pid}/status").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def calls_that_read(pid: int) -> int:
    """How often it has called `read` and its like."""
    lines = _read(f"/proc/{pid}/io").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("syscr:"))


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
