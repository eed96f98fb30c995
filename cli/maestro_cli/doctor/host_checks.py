"""Host checks: the installed versions, the directories, the disk and the settings.

Rule: nothing is changed; the file for the sync measurement is removed.
"""

from __future__ import annotations

import os
import stat
import statistics
import sys
import time
from typing import TYPE_CHECKING

from maestro_runtime import mounts, paths
from maestro_schemas import __version__
from maestro_schemas.errors import MaestroError

from .findings import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_cli.context import CommandContext

_SYNCS = 20
# A sync takes 0.1 to 10 ms on any current disk. If it takes longer, the disk is faulty or very busy.
_SYNC_SLOW_MS = 20.0
_FREE_BYTES_LOW = 256 << 20
_PACKAGES = ("pyzmq", "msgpack", "msgspec", "cyclopts", "tenacity")
_NOT_YOURS = "Make it yours, or set MAESTRO_DATA_DIR to a directory that is."


def versions(_context: CommandContext) -> DoctorFinding:
    """The versions of maestro, Python and the required packages."""
    from importlib import metadata

    found = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    python = ".".join(map(str, sys.version_info[:3]))
    return DoctorFinding("versions", "ok", f"maestro {__version__}, Python {python}, {found}")


def data_directory(context: CommandContext) -> DoctorFinding:
    """Owner and permissions of the data directory."""
    return _directory("data directory", context.data)


def file_system(context: CommandContext) -> Iterator[DoctorFinding]:
    """The type and the free space of the data directory's file system."""
    from maestro_cli.output.render import size

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
        return DoctorFinding(name, "failed", f"{data} can't be written to: {error.strerror}", _NOT_YOURS)
    median_ms = statistics.median(times_ms)
    what = f"{median_ms:.2f} ms at the median, {max(times_ms):.2f} ms at worst"
    is_slow = median_ms > _SYNC_SLOW_MS
    repair = "Each send waits for one: use a faster disk for the data." if is_slow else ""
    return DoctorFinding(name, "warning" if is_slow else "ok", what, repair)


def socket_directory(context: CommandContext) -> DoctorFinding:
    """The directory of the broker's sockets."""
    try:
        path = paths.runtime_dir(context.data, context.environ)
    except MaestroError as error:
        return DoctorFinding("socket directory", "failed", error.message, error.hint)
    if not os.path.isdir(path):
        return DoctorFinding("socket directory", "ok", f"{path}, made when the broker starts")
    return _directory("socket directory", path)


def settings(context: CommandContext) -> DoctorFinding:
    """The config file and the environment."""
    from maestro_runtime import config
    from maestro_schemas import http_limits, limits

    try:
        file = config.read(context.environ)
        limits.resolve(file.section("limits"), context.environ, {}, file.path)
        http_limits.resolve(context.environ, file.section("http"))
        http_limits.front(context.environ, file.section("http"))
    except MaestroError as error:
        return DoctorFinding("settings", "failed", error.message, error.hint)
    found = f"{file.path} sets {len(file.settings)}; `maestro config show` lists all"
    return DoctorFinding("settings", "ok", found if file.digest else f"no config file; it would be {file.path}")


def _directory(name: str, path: str) -> DoctorFinding:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return DoctorFinding(
            name, "warning", f"{path} does not exist yet", "The first command that needs it makes it: maestro up"
        )
    except OSError as error:
        return DoctorFinding(name, "failed", f"{path} can't be read: {error.strerror}", _NOT_YOURS)
    if status.st_uid != os.getuid():
        return DoctorFinding(
            name, "failed", f"{path} belongs to uid {status.st_uid}, and you are {os.getuid()}", _NOT_YOURS
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return DoctorFinding(name, "failed", f"{path} can't be written to", f"chmod u+rwx {path}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        return DoctorFinding(name, "warning", f"other users may read {path}", f"chmod 700 {path}")
    return DoctorFinding(name, "ok", f"{path}, yours alone")
