"""Process checks: the broker, the HTTP gateway, the outbox, and the session of this shell.

Rule: nothing is started, changed or sent.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from maestro_clients.texts.fence import named
from maestro_runtime import paths
from maestro_runtime.paths import BROKER_VARIABLE
from maestro_runtime.traces import end_note, lock_file
from maestro_schemas import __version__
from maestro_schemas.errors import START_A_SESSION, MaestroError

from .findings import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_cli.context import CommandContext
    from maestro_clients.processes.broker_process import Endpoints

_ROUND_TRIPS = 50
# A longer round trip means that the machine or the broker is very busy.
_ROUND_TRIP_SLOW_MS = 20.0
_TIMEOUT_S = 5.0
_NAMED_MAX = 5


def broker(context: CommandContext) -> Iterator[DoctorFinding]:
    """Whether the broker answers, its version, its round trip time and its warnings."""
    running = context.running()
    silent = lock_file.holder(context.data) if running is None else None
    if silent is not None:
        what = f"pid {silent.pid} holds the lock, and nothing listens at its socket"
        repair = f"Wait if it starts ({context.data}/logs/broker.log); else: maestro down, which ends it by its pid"
        yield DoctorFinding("broker", "warning" if silent.is_stopping else "failed", what, repair)
        return
    if running is None and (ended := end_note.read(paths.runtime_dir(context.data, context.environ))) is not None:
        yield DoctorFinding("broker", "warning", f"none runs; the last one had to end: {ended}", "maestro up")
        return
    if running is None:
        # Without autostart, commands fail until the user starts a broker.
        repair = "" if context.autostart else "Start it: maestro up"
        yield DoctorFinding("broker", "ok" if context.autostart else "warning", "none runs", repair)
        return
    from maestro_clients.client import Client
    from maestro_clients.protocol import older_brokers

    try:
        with Client(running.router, context.as_operator().caller, timeout_s=_TIMEOUT_S) as client:
            limits = client.hello()["limits"]
            times_ms = []
            for _ in range(_ROUND_TRIPS):
                began = time.perf_counter()
                client.hello()
                times_ms.append((time.perf_counter() - began) * 1000)
            stats = client.stats()
    except MaestroError as error:
        yield _silent(context, running, error)
        return
    if context.is_remote:
        yield DoctorFinding("broker", "ok", f"{context.environ[BROKER_VARIABLE]}, another machine's")
    elif older_brokers.is_older(limits):
        yield DoctorFinding("broker", "warning", f"{older_brokers.OLDER} (pid {running.pid})", older_brokers.RESTART)
    elif running.version != __version__:
        what = f"version {running.version} runs (pid {running.pid}), and this command has version {__version__}"
        yield DoctorFinding("broker", "warning", what, "maestro down; the next command starts the installed one.")
    else:
        yield DoctorFinding("broker", "ok", f"pid {running.pid}, version {running.version}")
    median_ms = statistics.median(times_ms)
    is_slow = median_ms > _ROUND_TRIP_SLOW_MS
    what = f"{median_ms:.2f} ms at the median, {max(times_ms):.2f} ms at worst"
    repair = "`maestro status` shows what it is busy with." if is_slow else ""
    yield DoctorFinding("round trip", "warning" if is_slow else "ok", what, repair)
    for warning in stats.get("warnings", []):
        yield DoctorFinding("broker's warning", "warning", str(warning), f"{context.data}/logs/broker.log has more.")


def _silent(context: CommandContext, running: Endpoints, error: MaestroError) -> DoctorFinding:
    """The finding for a broker that does not answer; its process is known only on this machine, and not while a
    service manager listens in its place."""
    if context.is_remote:
        what = f"{context.environ[BROKER_VARIABLE]} (MAESTRO_BROKER) does not answer: {error.message}"
        return DoctorFinding("broker", "failed", what, error.hint or "On that machine: maestro doctor")
    log = f"{context.data}/logs/broker.log shows what it does"
    if not running.pid:
        repair = f"{log}; `maestro service status` shows the service that starts it."
        return DoctorFinding("broker", "failed", f"the service does not answer: {error.message}", repair)
    repair = f"{log}; `kill {running.pid}`, and the next command starts one."
    return DoctorFinding("broker", "failed", f"pid {running.pid} does not answer: {error.message}", repair)


def gateway(context: CommandContext) -> DoctorFinding:
    """Whether the HTTP gateway answers, if one runs."""
    from maestro_clients.processes import gateway_process

    running = gateway_process.find(context.data)
    if running is None:
        return DoctorFinding("HTTP gateway", "ok", "none runs; `maestro up` starts it")
    if running.url is None:
        return DoctorFinding(
            "HTTP gateway", "warning", f"pid {running.pid} is starting or stopping", "Try again in a moment."
        )
    import http.client

    began = time.perf_counter()
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        repair = f"`kill {running.pid}`, then `maestro up`; {context.data}/logs/gateway.log has more."
        return DoctorFinding("HTTP gateway", "failed", f"{running.url} does not answer: {error}", repair)
    finally:
        connection.close()
    took_ms = (time.perf_counter() - began) * 1000
    if status != http.client.OK:
        return DoctorFinding(
            "HTTP gateway", "warning", f"{running.url} answers {status}: it can't reach the broker", "maestro up"
        )
    return DoctorFinding("HTTP gateway", "ok", f"{running.url}, pid {running.pid}, answers in {took_ms:.1f} ms")


def outbox(context: CommandContext) -> DoctorFinding:
    """The messages that wait in the local outbox."""
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


def sessions(context: CommandContext) -> DoctorFinding:
    """The sessions whose process has ended, which keep their names and get mail all the same."""
    running = context.running()
    if running is None:
        return DoctorFinding("sessions", "ok", "no broker runs to ask")
    from maestro_clients.client import Client

    with Client(running.router, context.as_operator().caller, timeout_s=_TIMEOUT_S) as client:
        found = client.presence()
    gone = [line.get("name") or line["session"] for line in found if line["state"] == "gone"]
    if not gone:
        return DoctorFinding("sessions", "ok", f"{len(found):,} active")
    more = f", and {len(gone) - _NAMED_MAX:,} more" if len(gone) > _NAMED_MAX else ""
    what = f"the process of {len(gone):,} has ended: {', '.join(map(named, gone[:_NAMED_MAX]))}{more}"
    return DoctorFinding("sessions", "warning", what, "maestro session end --gone")


def shell_session(context: CommandContext) -> DoctorFinding:
    """The session that this shell speaks for."""
    session = context.caller.session
    if not session:
        return DoctorFinding("this shell", "ok", "speaks for no session: it is the operator's")
    running = context.running()
    if running is None:
        return DoctorFinding("this shell", "ok", f"speaks for {session}; no broker runs to ask")
    from maestro_clients.client import Client

    try:
        with Client(running.router, context.caller, timeout_s=_TIMEOUT_S) as client:
            found = client.session()
    except MaestroError as error:
        return DoctorFinding("this shell", "failed", error.message, error.hint)
    if "completedAt" in found:
        what = f"speaks for {session}, which has ended ({found['status']})"
        return DoctorFinding("this shell", "warning", what, START_A_SESSION)
    return DoctorFinding("this shell", "ok", f"speaks for {found.get('name') or session} ({found['role']})")
