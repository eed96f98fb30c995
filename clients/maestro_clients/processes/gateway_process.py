"""Gateway process: finding, starting and stopping the HTTP gateway of a data directory.

Rule: it runs while its lock is held, and the lock's file has its pid; `server-url` says where it listens.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import paths
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

START_LOG = "gateway-start.log"

_LOOK_EVERY_S = 0.02


class RunningGateway(NamedTuple):
    """A running gateway. `url`: None while it is starting or stopping."""

    pid: int
    url: str | None


def find(data: str) -> RunningGateway | None:
    """The gateway of the data directory; None where none runs."""
    try:
        fd = os.open(paths.gateway_lock_file(data), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Shared: who looks at the same moment must not be taken for a gateway.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).strip()
    else:
        return None
    finally:
        os.close(fd)
    try:
        with open(paths.server_url_file(data), encoding="utf-8") as file:
            url = file.read().strip() or None
    except OSError:
        url = None
    return RunningGateway(int(pid), url) if pid.isdigit() else None


def start(
    data: str,
    environ: Mapping[str, str],
    *,
    host: str,
    port: int,
    timeout_s: float = 10.0,
    tell: Callable[[str], None] | None = None,
) -> str:
    """Start one; where it listens. `tell` gets what a person has to know of it: that others can reach it.

    Raises MaestroError BAD_SETTING (the port is taken, no such address), DATA_DIR_LOCKED (one runs), AUTOSTART_FAILED
    or TIMEOUT.
    """
    command = [sys.executable, "-m", "maestro_gateway", "--data-dir", os.path.abspath(data)]
    command += ["--host", host, "--port", str(port)]
    # Imports `subprocess`, which those that only look need not pay.
    from .spawn import ChildProcess

    birth = ChildProcess("the gateway", command, data, START_LOG, "logs/gateway.log says what happened")
    word, _, rest = (report := birth.report(environ, time.monotonic() + timeout_s)).partition(" ")
    if word != "ready":
        raise birth.refusal(report)
    url, _, warning = rest.partition(" ")
    if warning and tell is not None:
        tell(warning)
    return url


def stop(data: str, *, timeout_s: float = 10.0) -> RunningGateway | None:
    """Stop it and wait for its end; what ran, None where none did. Raises MaestroError TIMEOUT."""
    place = find(data)
    if place is None:
        return None
    try:
        descriptor = os.pidfd_open(place.pid) if hasattr(os, "pidfd_open") else None
        os.kill(place.pid, signal.SIGTERM)
    except ProcessLookupError:
        return place
    try:
        if descriptor is not None and select.select([descriptor], [], [], timeout_s)[0]:
            return place
    finally:
        if descriptor is not None:
            os.close(descriptor)
    give_up_s = time.monotonic() + (timeout_s if descriptor is None else 0.0)
    while (found := find(data)) is not None and found.pid == place.pid:
        if time.monotonic() >= give_up_s:
            raise MaestroError(
                "TIMEOUT",
                f"the gateway (pid {place.pid}) was told to stop and has not ended within {timeout_s:g} s",
                f"{data}/logs/gateway.log says what it is doing; `kill {place.pid}` asks again.",
            )
        time.sleep(_LOOK_EVERY_S)
    return place
