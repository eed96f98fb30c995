"""About: what a run was made on, and with.

Rule: enough to judge the figures and to repeat them; no name and no path of a machine.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import zmq

from maestro_runtime import mounts
from maestro_schemas import __version__

if TYPE_CHECKING:
    from bench.findings import Cell

_PACKAGES = ("pyzmq", "msgspec", "msgpack", "redis", "hiredis", "nats-py", "hcom", "agent-mail-cli")


def about(directory: str) -> dict[str, Cell]:
    """Machine, versions, command; the file system of `directory`."""
    versions = [f"Python {platform.python_version()}", f"libzmq {zmq.zmq_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "made on": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{os.cpu_count()} x {_processor()}, {_memory_gib():.0f} GiB, {platform.system()} "
        f"{_kernel()}, {mounts.file_system(directory)}",
        "Maestro messaging": f"{__version__}, commit {commit()}",
        "versions": ", ".join(versions),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
        "seeds": "none: nothing in it is random but ids",
        "command": f"`just bench {' '.join(sys.argv[1:])}`".replace(" `", "`"),
    }


def _kernel() -> str:
    return ".".join(platform.release().split(".")[:2])


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def commit() -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    asked = subprocess.run(
        ["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
