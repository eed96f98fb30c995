"""Broker process: finding the broker of a data directory, and starting it once.

Rule: a broker is alive if its socket accepts a connection. Of the clients that find none, the holder of `start.lock`
starts one broker, and the others wait for its socket. The broker's reason why it can't start reaches every starter as
a typed error.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from maestro_clients.protocol.callers import Caller
from maestro_clients.transports.addresses import listens
from maestro_runtime import ownership, paths, places
from maestro_runtime.paths import BROKER_VARIABLE
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from maestro_clients.client import Client

    from .start_deadline import StartDeadline

AUTOSTART_VARIABLE = "MAESTRO_AUTOSTART"
START_LOCK = "start.lock"
START_LOG = "broker-start.log"

_ENDPOINTS_BYTES_MAX = 1 << 16
_POLL_S = 0.02
# A connected client repeats a request for this long while the broker is busy or away.
_RETRY_WITHIN_S = 3.0


class Endpoints(NamedTuple):
    """`router`, `notices`: ZeroMQ addresses. `epoch`: changes with every start of the broker."""

    router: str
    notices: str
    pid: int
    epoch: str
    version: str


def may_autostart(environ: Mapping[str, str]) -> bool:
    """Whether a missing broker may be started: yes, unless MAESTRO_AUTOSTART says no, or it is on another machine.

    Raises MaestroError BAD_SETTING.
    """
    if environ.get(BROKER_VARIABLE):
        return False
    if not environ.get(AUTOSTART_VARIABLE):
        return True
    from maestro_schemas.limits import switch

    return switch(AUTOSTART_VARIABLE, environ, default=True)


def read_endpoints(data: str, environ: Mapping[str, str] | None = None) -> Endpoints | None:
    """The addresses that the data directory names, or MAESTRO_BROKER in `environ`; whether a broker listens there is
    not tested. Raises MaestroError BAD_SETTING for a MAESTRO_BROKER that is no address, NOT_PRIVATE for a data
    directory of another user."""
    if environ is not None and environ.get(BROKER_VARIABLE):
        return _remote_endpoints(environ)
    ownership.check_data_dir(data)
    try:
        text = places.read(paths.endpoints_file(data), _ENDPOINTS_BYTES_MAX)
    except OSError:
        return None
    values = paths.parse_endpoints(text.decode("utf-8", "replace"))
    pid = values.get("pid", "")
    if not (values.get("router") and values.get("notices") and pid.isdecimal()):
        return None
    return Endpoints(
        values["router"], values["notices"], int(pid), values.get("epoch", ""), values.get("version", "")
    )


def _remote_endpoints(environ: Mapping[str, str]) -> Endpoints:
    text = environ[BROKER_VARIABLE]
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if not text.startswith("tcp://") or not host or not port.isdecimal() or not 0 < int(port) < 65_535:
        raise MaestroError(
            "BAD_SETTING",
            f"MAESTRO_BROKER is tcp://HOST:PORT, not {text[:80]!r}",
            "For example tcp://office.example:5570; unset it for the broker of this machine.",
        )
    key = os.path.abspath(paths.key_file(environ))
    return Endpoints(f"tcp://{host}:{port}#{key}", f"tcp://{host}:{int(port) + 1}#{key}", 0, "", "")


def find(data: str, environ: Mapping[str, str] | None = None) -> Endpoints | None:
    """The broker that serves the data directory now; None if none listens. Starts nothing.

    Where `environ` names a broker on another machine, the result is that one, reachable or not. Raises as
    `read_endpoints`.
    """
    if environ is not None and environ.get(BROKER_VARIABLE):
        return read_endpoints(data, environ)
    return _find(data, lambda named: listens(named.router))


def _find(data: str, answers: Callable[[Endpoints], bool]) -> Endpoints | None:
    named = read_endpoints(data)
    # Read the file again after the connect: the next broker may listen at the same place, and the first reading may
    # be the old broker's. A broker removes the file before it listens.
    while named is not None and answers(named):
        again = read_endpoints(data)
        if again == named:
            return named
        named = again
    return None


def connect(
    data: str,
    environ: Mapping[str, str],
    caller: Caller | None = None,
    *,
    autostart: bool,
    timeout_s: float = 10.0,
    call_timeout_s: float = 10.0,
    spin_us: int = 0,
) -> Client:
    """A connected client of the broker, which is started if need be; `client.address` is the broker's.

    The client's own connection tests whether the broker is alive, so that there is one connection. `timeout_s`: for
    the start. `call_timeout_s`, `spin_us`: the client's, for each call. `caller`: default the environment's session.
    Raises as `ensure`, and as `Client`.
    """
    opening = _Opening(environ, caller, call_timeout_s, spin_us)
    client: Client | None = None
    try:
        _ensure(data, environ, opening.answers, autostart=autostart, timeout_s=timeout_s, settings={}, tcp=None)
        if environ.get(BROKER_VARIABLE):
            from maestro_clients.outbox.remote_drain import drain

            drain(data, opening.opened().address, timeout_s, client=opening.opened())
        client = opening.opened()
    finally:
        if client is None:
            opening.close()
    return client


def connect_if_running(
    data: str, environ: Mapping[str, str], caller: Caller | None = None, *, call_timeout_s: float = 10.0
) -> Client | None:
    """As `connect`, and starts nothing: None where no broker listens."""
    opening = _Opening(environ, caller, call_timeout_s)
    if environ.get(BROKER_VARIABLE):
        opening.answers(_remote_endpoints(environ))
    elif _find(data, opening.answers) is None:
        opening.close()
        return None
    return opening.opened()


class _Opening:
    """Tests whether a broker is alive by opening a client to it, and keeps the last client that opened."""

    def __init__(self, environ: Mapping[str, str], caller: Caller | None, timeout_s: float, spin_us: int = 0) -> None:
        self._caller = Caller.from_environ(environ) if caller is None else caller
        self._timeout_s = timeout_s
        self._spin_us = spin_us
        self._client: Client | None = None

    def answers(self, named: Endpoints) -> bool:
        from maestro_clients.client import Client

        self.close()
        self._client = Client(
            named.router,
            self._caller,
            timeout_s=self._timeout_s,
            retry_within_s=_RETRY_WITHIN_S,
            spin_us=self._spin_us,
        )
        return self._client.open()

    def opened(self) -> Client:
        assert self._client is not None  # noqa: S101 - called after `answers` was true
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def ensure(
    data: str,
    environ: Mapping[str, str],
    *,
    autostart: bool,
    timeout_s: float = 10.0,
    settings: Mapping[str, str] | None = None,
    tcp: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Endpoints:
    """The broker of the data directory, started if need be. `settings` (NAME to VALUE) and `tcp` (HOST:PORT for other
    machines) apply if this call starts it. `tell` gets what a long update of the data says; without it the call does
    not wait for one.

    For a broker on another machine (MAESTRO_BROKER): its address, after the local outbox was sent to it.

    Raises MaestroError BROKER_UNREACHABLE where no broker listens and autostart is off; DATA_DIR_UNUSABLE; the
    broker's own error (PATH_TOO_LONG, FORMAT_UNSUPPORTED, BAD_SETTING, ...); AUTOSTART_FAILED where it ended without
    an error; DATA_DIR_LOCKED or TIMEOUT where a broker runs, or starts, and does not serve within timeout_s.
    """
    if environ.get(BROKER_VARIABLE):
        from maestro_clients.outbox.remote_drain import drain

        remote = _remote_endpoints(environ)
        drain(data, remote.router, timeout_s)
        return remote
    return _ensure(
        data,
        environ,
        lambda named: listens(named.router),
        autostart=autostart,
        timeout_s=timeout_s,
        settings=settings or {},
        tcp=tcp,
        tell=tell,
    )


def _ensure(
    data: str,
    environ: Mapping[str, str],
    answers: Callable[[Endpoints], bool],
    *,
    autostart: bool,
    timeout_s: float,
    settings: Mapping[str, str],
    tcp: str | None,
    tell: Callable[[str], None] | None = None,
) -> Endpoints:
    if environ.get(BROKER_VARIABLE):
        remote = _remote_endpoints(environ)
        answers(remote)  # libzmq connects when it can
        return remote
    ownership.check_data_dir(data)
    found, stranger = _find_own(data, answers)
    if found is not None:
        return found
    if not autostart:
        raise stranger or MaestroError(
            "BROKER_UNREACHABLE",
            f"no broker serves {data}, and starting one is turned off",
            "Start it with `maestro up`, or unset MAESTRO_AUTOSTART.",
        )
    # Imported here because a call that finds a broker does not need it.
    from .start_deadline import StartDeadline

    deadline = StartDeadline(data, timeout_s, tell)
    lock_fd = _open_lock(data)
    try:
        while not _try_lock(lock_fd):
            # Another process is starting it. If that fails, the lock is released, and this process may start one.
            found, _ = _find_own(data, answers)
            if found is not None:
                return found
            if not _is_more_time(deadline):
                raise deadline.late(f"another process starts the broker of {data}, and it does not serve yet")
        found, _ = _find_own(data, answers)
        if found is None:
            found = _start(data, environ, answers, settings, tcp, deadline)
        return found
    finally:
        os.close(lock_fd)


def _find_own(data: str, answers: Callable[[Endpoints], bool]) -> tuple[Endpoints | None, MaestroError | None]:
    """As `_find`, for a caller that starts a broker where none of this user listens: NOT_PRIVATE is returned. The
    broker has a socket elsewhere, or says itself why it can't."""
    try:
        return _find(data, answers), None
    except MaestroError as error:
        if error.code != "NOT_PRIVATE":
            raise
        return None, error


def _open_lock(data: str) -> int:
    try:
        if not os.path.lexists(data):
            from maestro_runtime.traces import footprints

            footprints.note(data)
        places.make_directory(data)
        return places.open_file(os.path.join(data, START_LOCK), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise places.refusal(
            "DATA_DIR_UNUSABLE",
            f"the data directory {places.shown(data)} can't be used",
            error,
            "Or set MAESTRO_DATA_DIR to another one.",
        ) from None


def _try_lock(fd: int) -> bool:
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_more_time(deadline: StartDeadline) -> bool:
    """Wait a little; false if there is no more time."""
    left_s = deadline.left_s()
    time.sleep(max(0.0, min(left_s, _POLL_S)))
    return left_s > 0


def _start(
    data: str,
    environ: Mapping[str, str],
    answers: Callable[[Endpoints], bool],
    settings: Mapping[str, str],
    tcp: str | None,
    deadline: StartDeadline,
) -> Endpoints:
    from . import spawn

    command = [sys.executable, "-P", "-m", "maestro_broker", "--data-dir", os.path.abspath(data)]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    if tcp is not None:
        command += ["--tcp", tcp]
    child = spawn.ChildProcess("the broker", command, data, START_LOG, "`maestro up --foreground` shows what happens")
    report = child.report(environ, deadline)
    refusal = None
    if report != "ready":
        refusal = child.refusal(report)
        # DATA_DIR_LOCKED: another broker is stopping, or starting without this lock. Then a socket will come.
        if refusal.code != "DATA_DIR_LOCKED":
            raise refusal
    while (found := _find_own(data, answers)[0]) is None:
        if not _is_more_time(deadline):
            what = f"the broker of {data} says that it serves, and its socket can't be found"
            raise refusal or deadline.late(what)
    return found
