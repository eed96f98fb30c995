"""Broker process: finding the broker of a data directory, and starting it once.

Rule: alive means that somebody listens on its socket. Of any number of clients that find nobody, the holder of
`start.lock` starts one broker, and the others wait for its socket; what the broker says about why it can't start
reaches every starter typed.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from maestro_clients.transports.liveness import listens
from maestro_runtime import paths
from maestro_runtime.paths import BROKER_VARIABLE
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

START_LOCK = "start.lock"
START_LOG = "broker-start.log"

_LOOK_EVERY_S = 0.02
_OFF = frozenset({"0", "false", "no", "off"})


class Endpoints(NamedTuple):
    """`router`, `notices`: ZeroMQ addresses. `epoch`: changes with every start of the broker."""

    router: str
    notices: str
    pid: int
    epoch: str
    version: str


def may_autostart(environ: Mapping[str, str]) -> bool:
    """Whether a missing broker may be started: yes, unless MAESTRO_AUTOSTART says no, or it is on another machine."""
    if environ.get(BROKER_VARIABLE):
        return False
    return environ.get("MAESTRO_AUTOSTART", "1").strip().lower() not in _OFF


def find(data: str, environ: Mapping[str, str] | None = None) -> Endpoints | None:
    """The broker that serves the data directory now; None if nobody listens. Starts nothing. Where `environ` names
    one on another machine, that one, heard or not; raises MaestroError BAD_SETTING where it names none."""
    if environ is not None and environ.get(BROKER_VARIABLE):
        from maestro_clients.transports.curve import endpoints

        return endpoints(environ)
    named = _read_endpoints(data)
    # Read again once somebody was there: it may be the next broker at its predecessor's place, and the first reading
    # the predecessor's. A broker removes that file before it listens.
    while named is not None and listens(named.router):
        again = _read_endpoints(data)
        if again == named:
            return named
        named = again
    return None


def _read_endpoints(data: str) -> Endpoints | None:
    try:
        with open(paths.endpoints_file(data), encoding="utf-8", errors="replace") as file:
            values = paths.parse_endpoints(file.read())
    except OSError:
        return None
    pid = values.get("pid", "")
    if not (values.get("router") and values.get("notices") and pid.isdecimal()):
        return None
    return Endpoints(
        values["router"], values["notices"], int(pid), values.get("epoch", ""), values.get("version", "")
    )


def ensure(
    data: str,
    environ: Mapping[str, str],
    *,
    autostart: bool,
    timeout_s: float = 10.0,
    settings: Mapping[str, str] | None = None,
    tcp: str | None = None,
) -> Endpoints:
    """The broker of the data directory, started if need be (with `settings`, NAME to VALUE, and `tcp`,
    HOST:PORT for other machines, if it is we who start).

    Of one on another machine (MAESTRO_BROKER): its address, after it was sent what waits in the outbox here.

    Raises MaestroError BROKER_UNREACHABLE where nobody is there and autostart is off; DATA_DIR_UNUSABLE; what the
    broker itself said (PATH_TOO_LONG, FORMAT_UNSUPPORTED, BAD_SETTING, ...); AUTOSTART_FAILED where it ended
    without a word; DATA_DIR_LOCKED or TIMEOUT where a broker runs, or starts, and does not serve within timeout_s.
    """
    found = find(data, environ)
    if found is not None:
        if environ.get(BROKER_VARIABLE):
            from maestro_clients.outbox.remote_drain import drain

            drain(data, found.router, timeout_s)
        return found
    if not autostart:
        raise MaestroError(
            "BROKER_UNREACHABLE",
            f"no broker serves {data}, and starting one is turned off",
            "Start it with `maestro up`, or unset MAESTRO_AUTOSTART.",
        )
    deadline_s = time.monotonic() + timeout_s
    lock_fd = _open_lock(data)
    try:
        while not _try_lock(lock_fd):
            # Somebody is starting it. If that fails, the lock comes free, and it is our turn.
            found = find(data)
            if found is not None:
                return found
            _wait_a_little(deadline_s, _late(f"another process starts the broker of {data}; it does not serve yet"))
        found = find(data)
        return found if found is not None else _start(data, environ, settings or {}, tcp, deadline_s)
    finally:
        os.close(lock_fd)


def _open_lock(data: str) -> int:
    try:
        os.makedirs(data, mode=0o700, exist_ok=True)
        return os.open(os.path.join(data, START_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MaestroError(
            "DATA_DIR_UNUSABLE",
            f"the data directory {data} can't be used: {error}",
            "Make it yours and writable, or set MAESTRO_DATA_DIR to another one.",
        ) from None


def _try_lock(fd: int) -> bool:
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _late(what: str) -> MaestroError:
    return MaestroError(
        "TIMEOUT",
        what,
        "Its log, logs/broker.log in the data directory, says what it is doing; a long recovery takes time. "
        "Try again in a moment.",
    )


def _wait_a_little(deadline_s: float, late: MaestroError) -> None:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise late
    time.sleep(min(left_s, _LOOK_EVERY_S))


def _start(
    data: str, environ: Mapping[str, str], settings: Mapping[str, str], tcp: str | None, deadline_s: float
) -> Endpoints:
    from . import spawn

    command = [sys.executable, "-m", "maestro_broker", "--data-dir", os.path.abspath(data)]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    if tcp is not None:
        command += ["--tcp", tcp]
    birth = spawn.ChildProcess("the broker", command, data, START_LOG, "`maestro up --foreground` shows what happens")
    report = birth.report(environ, deadline_s)
    if report == "ready":
        late = _late(f"the broker of {data} says that it serves, and its socket can't be found")
    else:
        late = birth.refusal(report)
        # Locked: another broker is just stopping, or starting without our lock; then its socket will come.
        if late.code != "DATA_DIR_LOCKED":
            raise late
    while (found := find(data)) is None:
        _wait_a_little(deadline_s, late)
    return found
