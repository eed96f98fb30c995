"""Host checks: the installed versions, the command, the disk and the settings.

Rule: nothing is changed; the file for the sync measurement is removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import mounts, places
from maestro_schemas import __version__
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.visible_text import one_line

from . import place_checks
from .findings import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_cli.context import CommandContext

_SYNCS = 20
# A sync takes 0.1 to 10 ms on any current disk. If it takes longer, the disk is faulty or very busy.
_SYNC_SLOW_MS = 20.0
_FREE_BYTES_LOW = 256 << 20
_INOTIFY = "/proc/sys/fs/inotify"
# Above this part of a limit, the next program may get none.
_INOTIFY_FULL = 0.9
_PACKAGES = ("pyzmq", "msgpack", "msgspec", "cyclopts", "tenacity")


def versions(_context: CommandContext) -> DoctorFinding:
    """The versions of maestro, Python and the required packages."""
    from importlib import metadata

    found = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    python = ".".join(map(str, sys.version_info[:3]))
    return DoctorFinding("versions", "ok", f"maestro {__version__}, Python {python}, {found}")


def command(context: CommandContext) -> DoctorFinding:
    """Whether the shell, and so an agent, finds `maestro`."""
    found = shutil.which("maestro", path=context.environ.get("PATH", ""))
    if found is not None:
        return DoctorFinding("command", "ok", found)
    installed = os.path.join(os.path.dirname(sys.executable), "maestro")
    link = f"mkdir -p ~/.local/bin && ln -sf {places.quoted(installed)} ~/.local/bin/maestro"
    return DoctorFinding(
        "command",
        "warning",
        "no folder of PATH has `maestro`: what messages and hooks tell an agent to type is not found",
        f"{link}, and have ~/.local/bin in PATH",
    )


def file_system(context: CommandContext) -> Iterator[DoctorFinding]:
    """The type and the free space of the data directory's file system."""
    from maestro_clients.texts.byte_counts import size

    data = context.data
    if not os.path.isdir(data):
        return
    kind = mounts.file_system(data)
    why = mounts.doubt(kind)
    if why is not None:
        repair = "Put the data directory on a local disk: MAESTRO_DATA_DIR."
        yield DoctorFinding("file system", "warning", f"{kind}: {why}", repair)
    else:
        yield DoctorFinding("file system", "ok", kind)
    status = os.statvfs(data)
    free = status.f_bavail * status.f_frsize
    if free < _FREE_BYTES_LOW:
        yield DoctorFinding(
            "free space",
            "warning",
            f"{size(free)} free",
            "Free some space: a full disk makes the broker refuse new mail.",
        )
    else:
        yield DoctorFinding("free space", "ok", f"{size(free)} free")


def disk_sync(context: CommandContext) -> DoctorFinding:
    """The time of a sync in the data directory, on which each send waits."""
    name, data = "sync of the disk", context.data
    if not os.path.isdir(data):
        return DoctorFinding(name, "warning", "not measured: there is no data directory")
    path = os.path.join(data, f".doctor-{os.getpid()}")
    sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            times_ms = []
            for _ in range(_SYNCS):
                began = time.perf_counter()
                os.write(fd, b"x" * 512)
                sync(fd)
                times_ms.append((time.perf_counter() - began) * 1000)
        finally:
            os.close(fd)
            os.unlink(path)
    except OSError as error:
        refused = places.refusal("DATA_DIR_UNUSABLE", f"{data} can't be written to", error, place_checks.NOT_YOURS)
        return DoctorFinding(name, "failed", refused.message, refused.hint)
    median_ms = statistics.median(times_ms)
    what = f"{median_ms:.2f} ms at the median, {max(times_ms):.2f} ms at worst"
    is_slow = median_ms > _SYNC_SLOW_MS
    repair = "Each send waits for one: use a faster disk for the data." if is_slow else ""
    return DoctorFinding(name, "warning" if is_slow else "ok", what, repair)


def settings(context: CommandContext) -> DoctorFinding:
    """The config file and the environment."""
    from maestro_runtime import config
    from maestro_schemas import http_limits, limits

    try:
        file = config.read(context.environ)
        limits.resolve(file.section("limits"), context.environ, {}, file.path)
        http_limits.resolve(context.environ, file.section("http"))
        http_limits.front(context.environ, file.section("http"))
        config.wake_setting(context.environ, file)
    except MaestroError as error:
        return DoctorFinding("settings", "failed", error.message, error.hint)
    found = f"{file.path} sets {len(file.settings)}; `maestro config show` lists all"
    return DoctorFinding("settings", "ok", found if file.digest else f"no config file; it would be {file.path}")


class _InotifyUse(NamedTuple):
    """What one process has."""

    instances: int
    watches: int
    who: str


def inotify(_context: CommandContext) -> Iterator[DoctorFinding]:
    """Whether this user has inotify instances and watches left. Without, neither the broker nor an agent's client
    hears of changes, and no idle agent is woken."""
    found = _inotify_uses()
    said = []
    for what, uses in (
        ("instances", [(use.instances, use.who) for use in found]),
        ("watches", [(use.watches, use.who) for use in found]),
    ):
        most = _number(f"{_INOTIFY}/max_user_{what}")
        if most is None:
            return  # another system
        count = sum(number for number, _ in uses)
        said.append(f"{count:,} of {most:,} {what}")
        if count >= most * _INOTIFY_FULL:
            top = ", ".join(f"{who}: {number:,}" for number, who in sorted(uses, reverse=True)[:3])
            repair = f"End some of these programs ({top}), or: sysctl fs.inotify.max_user_{what}={most * 2}"
            yield DoctorFinding("inotify", "warning", f"{said[-1]} are in use", repair)
            return
    yield DoctorFinding("inotify", "ok", f"{' and '.join(said)} are in use")


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _inotify_uses() -> list[_InotifyUse]:
    """Of each process of this user that can be looked at."""
    uid = os.geteuid()
    found: list[_InotifyUse] = []
    try:
        pids = [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return found
    for pid in pids:
        # It may have ended, or be no process that this user may look at.
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == uid:
                found += _inotify_use(f"/proc/{pid}")
    return found


def _inotify_use(process: str) -> list[_InotifyUse]:
    """What one process has; empty where that is nothing. Raises OSError."""
    instances = watches = 0
    for fd in os.listdir(f"{process}/fd"):
        # One that is closed meanwhile, such as that of this listing, is left out.
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{process}/fd/{fd}") == "anon_inode:inotify":
                with open(f"{process}/fdinfo/{fd}", encoding="ascii", errors="replace") as file:
                    watches += sum(line.startswith("inotify ") for line in file)
                instances += 1
    if not instances:
        return []
    with open(f"{process}/comm", encoding="utf-8", errors="replace") as file:
        name = one_line(file.read().strip())
    return [_InotifyUse(instances, watches, f"{name} (pid {os.path.basename(process)})")]
