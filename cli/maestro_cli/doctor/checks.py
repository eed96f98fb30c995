"""Doctor: is this post office well, and what is to be done where it is not.

Rule: every finding is `ok`, `warning` or `failed`, in one line, with the repair where there is one. Looking changes
nothing: no broker is started, no mail is shown; what is written for a measurement is removed.
"""

from __future__ import annotations

import os
import stat
import statistics
import sys
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from maestro_runtime import mounts, paths
from maestro_schemas import __version__
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_cli.context import CommandContext

State = Literal["ok", "warning", "failed"]

_SYNCS = 20
_ROUND_TRIPS = 50
# Beyond these something is wrong with the machine, or it is very busy: a commit is 0.1 to 10 ms on any disk of today.
_SYNC_SLOW_MS = 20.0
_ROUND_TRIP_SLOW_MS = 20.0
_FREE_BYTES_LOW = 256 << 20
_PACKAGES = ("pyzmq", "msgpack", "msgspec", "cyclopts", "tenacity")


class DoctorFinding(NamedTuple):
    """`name`: what was looked at. `repair`: the next step, empty where none is needed."""

    name: str
    state: State
    what: str
    repair: str = ""


def findings(context: CommandContext) -> Iterator[DoctorFinding]:
    """Everything, in the order in which one thing stands on another."""
    yield _versions()
    yield _directory("data directory", context.data)
    yield from _file_system(context.data)
    yield _disk(context.data)
    yield _runtime(context)
    yield _config(context)
    yield from _broker(context)
    yield _gateway(context)
    yield _outbox(context)
    yield _caller(context)


def worst(found: list[DoctorFinding]) -> State:
    """The state of the whole."""
    states = {finding.state for finding in found}
    return "failed" if "failed" in states else "warning" if "warning" in states else "ok"


def _versions() -> DoctorFinding:
    from importlib import metadata

    found = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    python = ".".join(map(str, sys.version_info[:3]))
    return DoctorFinding("versions", "ok", f"maestro {__version__}, Python {python}, {found}")


def _directory(name: str, path: str) -> DoctorFinding:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return DoctorFinding(
            name, "warning", f"{path} is not there yet", "The first command that needs it makes it: maestro up"
        )
    except OSError as error:
        return DoctorFinding(name, "failed", f"{path} can't be looked at: {error.strerror}", _MOVE)
    if status.st_uid != os.getuid():
        return DoctorFinding(
            name, "failed", f"{path} belongs to uid {status.st_uid}, and you are {os.getuid()}", _MOVE
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return DoctorFinding(name, "failed", f"{path} can't be written to", f"chmod u+rwx {path}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        return DoctorFinding(name, "warning", f"others may look into {path}", f"chmod 700 {path}")
    return DoctorFinding(name, "ok", f"{path}, yours alone")


_MOVE = "Make it yours, or set MAESTRO_DATA_DIR to a directory that is."


def _file_system(data: str) -> Iterator[DoctorFinding]:
    if not os.path.isdir(data):
        return
    kind = mounts.file_system(data)
    why = mounts.doubt(kind)
    if why is not None:
        repair = "Put the data directory on a local disk: MAESTRO_DATA_DIR."
        yield DoctorFinding("file system", "warning", f"{kind}: {why}", repair)
    else:
        yield DoctorFinding("file system", "ok", kind)
    room = os.statvfs(data)
    free = room.f_bavail * room.f_frsize
    from maestro_cli.output.render import size

    if free < _FREE_BYTES_LOW:
        yield DoctorFinding(
            "free space", "warning", f"{size(free)} free", "Make room: at the end new mail is refused."
        )
    else:
        yield DoctorFinding("free space", "ok", f"{size(free)} free")


def _disk(data: str) -> DoctorFinding:
    if not os.path.isdir(data):
        return DoctorFinding("sync of the disk", "warning", "not measured: there is no data directory")
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
        return DoctorFinding("sync of the disk", "failed", f"{data} can't be written to: {error.strerror}", _MOVE)
    median_ms = statistics.median(times_ms)
    what = f"{median_ms:.2f} ms at the median, {max(times_ms):.2f} ms at worst"
    if median_ms > _SYNC_SLOW_MS:
        return DoctorFinding(
            "sync of the disk", "warning", what, "Each send waits for one: use a faster disk for the data."
        )
    return DoctorFinding("sync of the disk", "ok", what)


def _runtime(context: CommandContext) -> DoctorFinding:
    try:
        path = paths.runtime_dir(context.data, context.environ)
    except MaestroError as error:
        return DoctorFinding("socket directory", "failed", error.message, error.hint)
    if not os.path.isdir(path):
        return DoctorFinding("socket directory", "ok", f"{path}, made when the broker starts")
    return _directory("socket directory", path)


def _config(context: CommandContext) -> DoctorFinding:
    from maestro_runtime import config
    from maestro_schemas import http_limits, limits

    try:
        file = config.read(context.environ)
        limits.resolve(file.section("limits"), context.environ, {}, file.path)
        http_limits.resolve(context.environ, file.section("http"))
        http_limits.front(context.environ, file.section("http"))
    except MaestroError as error:
        return DoctorFinding("settings", "failed", error.message, error.hint)
    if not file.digest:
        return DoctorFinding("settings", "ok", f"no config file; it would be {file.path}")
    return DoctorFinding("settings", "ok", f"{file.path} sets {len(file.settings)}; `maestro config show` lists all")


def _broker(context: CommandContext) -> Iterator[DoctorFinding]:
    running = context.running()
    if running is None:
        how = "The next command that needs it starts it" if context.autostart else "Start it: maestro up"
        state: State = "ok" if context.autostart else "warning"
        yield DoctorFinding("broker", state, "none runs", "" if context.autostart else how)
        return
    from maestro_clients.client import Client

    try:
        with Client(running.router, context.as_operator().caller, timeout_s=5.0) as client:
            client.hello()
            times_ms = []
            for _ in range(_ROUND_TRIPS):
                began = time.perf_counter()
                client.hello()
                times_ms.append((time.perf_counter() - began) * 1000)
            stats = client.stats()
    except MaestroError as error:
        log = f"{context.data}/logs/broker.log"
        repair = f"{log} says what it does; `kill {running.pid}`, and the next command starts one."
        yield DoctorFinding("broker", "failed", f"pid {running.pid} does not answer: {error.message}", repair)
        return
    if running.version != __version__:
        what = f"version {running.version} runs (pid {running.pid}), and this command is {__version__}"
        yield DoctorFinding("broker", "warning", what, "maestro down; the next command starts the installed one.")
    else:
        yield DoctorFinding("broker", "ok", f"pid {running.pid}, version {running.version}")
    median_ms = statistics.median(times_ms)
    slow = median_ms > _ROUND_TRIP_SLOW_MS
    what = f"{median_ms:.2f} ms at the median, {max(times_ms):.2f} ms at worst"
    repair = "`maestro status` shows what it is busy with." if slow else ""
    yield DoctorFinding("round trip", "warning" if slow else "ok", what, repair)
    for warning in stats.get("warnings", []):
        yield DoctorFinding("broker's warning", "warning", str(warning), f"{context.data}/logs/broker.log has more.")


def _gateway(context: CommandContext) -> DoctorFinding:
    from maestro_clients.processes import gateway_process

    place = gateway_process.find(context.data)
    if place is None:
        return DoctorFinding("HTTP gateway", "ok", "none runs; `maestro up` starts it")
    if place.url is None:
        return DoctorFinding(
            "HTTP gateway", "warning", f"pid {place.pid} is starting or stopping", "Look again in a moment."
        )
    import http.client

    began = time.perf_counter()
    connection = http.client.HTTPConnection(place.url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        repair = f"`kill {place.pid}`, then `maestro up`; {context.data}/logs/gateway.log says more."
        return DoctorFinding("HTTP gateway", "failed", f"{place.url} does not answer: {error}", repair)
    finally:
        connection.close()
    took_ms = (time.perf_counter() - began) * 1000
    if status != http.client.OK:
        return DoctorFinding(
            "HTTP gateway", "warning", f"{place.url} answers {status}: it finds no broker", "maestro up"
        )
    return DoctorFinding("HTTP gateway", "ok", f"{place.url}, pid {place.pid}, answers in {took_ms:.1f} ms")


def _outbox(context: CommandContext) -> DoctorFinding:
    from maestro_clients.outbox import outbox_files

    listed = outbox_files.entries(context.data)
    waiting = sum(entry.failure is None for _, entry in listed)
    failed = len(listed) - waiting
    if failed:
        what = f"{failed} messages were refused for good, {waiting} wait"
        return DoctorFinding("outbox", "warning", what, "maestro outbox lists them with the reasons.")
    if waiting:
        return DoctorFinding(
            "outbox", "warning", f"{waiting} messages wait to be sent", "maestro up, or: maestro outbox --replay"
        )
    return DoctorFinding("outbox", "ok", "empty")


def _caller(context: CommandContext) -> DoctorFinding:
    session = context.caller.session
    if not session:
        return DoctorFinding("this shell", "ok", "speaks for nobody: it is a person's")
    running = context.running()
    if running is None:
        return DoctorFinding("this shell", "ok", f"speaks for {session}; no broker runs to ask")
    from maestro_clients.client import Client

    try:
        with Client(running.router, context.caller, timeout_s=5.0) as client:
            found = client.session()
    except MaestroError as error:
        return DoctorFinding("this shell", "failed", error.message, error.hint)
    if "completedAt" in found:
        return DoctorFinding("this shell", "warning", f"speaks for {session}, which has ended ({found['status']})",
                       'eval "$(maestro session start --export)"')  # fmt: skip
    return DoctorFinding("this shell", "ok", f"speaks for {found.get('name') or session} ({found['role']})")
