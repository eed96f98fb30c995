"""Gateway process: finding, starting and stopping the HTTP gateway of a data directory.

Rule: a gateway runs while its lock is held. The lock's file has its pid, and `server-url` its address.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from maestro_runtime import ownership, paths, places
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

START_LOG = "gateway-start.log"

_POLL_S = 0.02
_URL_BYTES_MAX = 4_096


class RunningGateway:
    """A running gateway."""

    def __init__(self, pid: int, url: str | None) -> None:
        self.pid = pid
        # None while it starts or stops.
        self.url = url


def find(data: str) -> RunningGateway | None:
    """The gateway of the data directory; None where none runs. Raises MaestroError NOT_PRIVATE."""
    ownership.check_data_dir(data)
    try:
        fd = places.open_file(paths.gateway_lock_file(data), os.O_RDWR)
    except OSError:
        return None
    try:
        # A shared lock: two processes that look at the same moment must not take each other for a gateway.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).strip()
    else:
        return None
    finally:
        os.close(fd)
    try:
        url = places.read(paths.server_url_file(data), _URL_BYTES_MAX).decode("ascii").strip() or None
    except (OSError, ValueError):
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
    """Start one; its URL. `tell` gets a warning for a person: that other machines can reach it.

    Raises MaestroError BAD_SETTING (the port is taken, no such address), DATA_DIR_LOCKED (one runs), AUTOSTART_FAILED
    or TIMEOUT.
    """
    command = [sys.executable, "-P", "-m", "maestro_gateway", "--data-dir", os.path.abspath(data)]
    command += ["--host", host, "--port", str(port)]
    # It imports `subprocess`, which callers of `find` do not need.
    from .spawn import ChildProcess
    from .start_deadline import StartDeadline

    child = ChildProcess("the gateway", command, data, START_LOG, "logs/gateway.log says what happened")
    word, _, rest = (report := child.report(environ, StartDeadline(data, timeout_s))).partition(" ")
    if word != "ready":
        raise child.refusal(report)
    url, _, warning = rest.partition(" ")
    if warning and tell is not None:
        tell(warning)
    return url


def stop(data: str, *, timeout_s: float = 10.0) -> RunningGateway | None:
    """Stop it and wait for its end; the gateway that ran, None where none did. Raises MaestroError TIMEOUT."""
    # `find` needs neither, and imports of them cost `maestro status` 4 ms.
    import select
    import signal

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
                f"the gateway (pid {place.pid}) was asked to stop and has not ended within {timeout_s:g} s",
                f"{data}/logs/gateway.log says what it is doing; `kill {place.pid}` asks again.",
            )
        time.sleep(_POLL_S)
    return place
