"""Post office: a scratch data directory and, on demand, a real broker process that serves it.

Rule: a process that a test started is ended by its pid and waited for. None is searched by name or outlives a test.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from maestro_clients.client import Client
from maestro_clients.processes.broker_process import Endpoints, find
from maestro_clients.protocol.callers import Caller
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import canonical_id, mark_of

from . import scratch_dirs

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_schemas.documents import MessageDoc, SessionDoc

START_S = 20.0
STOP_S = 20.0


def own_id(sender: str, key: str) -> str:
    """The id of the message that a session sends under a key."""
    return canonical_id(key, mark_of(sender))


class PostOffice:
    """`data`, `runtime`: directories of its own. `environ`: what its processes get; `launcher`: a command that
    starts the broker (strace, prlimit). A test may change both before `start`; no broker runs until then.
    `ended`: the exit status of the last broker that `await_ready` or `wait_end` saw end."""

    def __init__(self, root: str, data: str | None = None) -> None:
        self.root = root
        self.data = data or os.path.join(root, "data")
        self.runtime = os.path.join(root, "run")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}
        self.environ = {
            **inherited,
            "MAESTRO_DATA_DIR": self.data,
            "MAESTRO_RUNTIME_DIR": self.runtime,
            "MAESTRO_CONFIG": os.path.join(root, "config.toml"),
            "MAESTRO_RATE_LIMIT": "0",
            "MAESTRO_HTTP": "0",
        }
        self.launcher: list[str] = []
        self.ended: int | None = None
        self._ready_fd = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []

    # --- the broker ----------------------------------------------------------------------------------------

    def start(self, **settings: str | int) -> Endpoints:
        """Start a broker and wait until it serves. Raises the MaestroError that it ends with (INTERNAL where it
        ended without a word)."""
        self.begin(**settings)
        return self.await_ready()

    def begin(self, **settings: str | int) -> None:
        """Start a broker and don't wait; `await_ready`, `wait_end` or `kill` comes next."""
        os.makedirs(self.root, exist_ok=True)
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        command = [*self.launcher, sys.executable, "-m", "maestro_broker"]
        command += ["--data-dir", self.data, "--ready-fd", str(write_fd)]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        with open(os.path.join(self.root, "broker.out"), "ab") as out:
            self._process = subprocess.Popen(
                command,
                env=self.environ,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(write_fd,),
            )
        os.close(write_fd)
        self._ready_fd = read_fd

    def await_ready(self) -> Endpoints:
        """Wait until the broker that `begin` started serves. Raises as `start` does, and sets `ended`."""
        assert self._process is not None
        try:
            report = _read_line(self._ready_fd, START_S)
        finally:
            self._forget_report()
        if report != "ready":
            self.wait_end()
            raise MaestroError.from_body(json.loads(report.removeprefix("error ") or "null"))
        found = find(self.data)
        if found is None:
            self.wait_end()
            raise MaestroError("BROKER_UNREACHABLE", "the broker was ready, and was killed before it was found")
        return found

    def wait_end(self) -> int:
        """Wait until the broker has ended by itself; its exit status (negative: the signal that killed it)."""
        assert self._process is not None
        self._forget_report()
        self.ended = self._process.wait(STOP_S)
        self._process = None
        return self.ended

    def stop(self) -> None:
        """Stop the broker in order, also one that a client started; do nothing if none runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, like a crash: buffered data is lost."""
        self._end(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the broker that this started, and don't wait."""
        assert self._process is not None
        self._process.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP: the broker stays and does nothing until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Of the broker that runs."""
        found = find(self.data)
        assert found is not None, "no broker runs"
        return found.pid

    def router(self) -> str:
        """The address of the broker, whether it runs or not."""
        return f"ipc://{os.path.join(paths.runtime_dir(self.data, self.environ), paths.ROUTER_SOCKET)}"

    def _forget_report(self) -> None:
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1

    def _end(self, number: signal.Signals) -> None:
        self._forget_report()
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_S)
                raise
            finally:
                self._process = None
        # A broker that a client started is no child of this process; a pidfd shows its end.
        found = find(self.data)
        if found is not None:
            end_process(found.pid, number)

    # --- its clients ---------------------------------------------------------------------------------------

    def client(
        self,
        session: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 10.0,
        patient: bool = False,
        spin_us: int = 0,
    ) -> Client:
        """A client of a session, or of the operator; `close` closes it."""
        client = Client(self.router(), Caller(session, token), timeout_s=timeout_s, patient=patient, spin_us=spin_us)
        self._clients.append(client)
        return client

    def session(
        self, session: str, *, token: str | None = None, role: str = "worker", project: str | None = None
    ) -> SessionDoc:
        """Start a session as the operator."""
        with Client(self.router()) as operator:
            return operator.start_session(session, token=token, role=role, project_id=project)

    def sessions(self, *names: str) -> None:
        """Start several, without tokens, in one project."""
        for name in names:
            self.session(name)

    def status_of(self, message_id: str) -> str:
        """The status of a message, as the operator sees it."""
        return self.look(message_id)["status"]

    def look(self, message_id: str) -> MessageDoc:
        """A message, as the operator sees it."""
        with Client(self.router()) as operator:
            return operator.message(message_id)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End every process and remove every file."""
        for client in self._clients:
            client.close()
        try:
            if self._process is not None:
                self._process.send_signal(signal.SIGCONT)
            self.stop()
        finally:
            scratch_dirs.remove(self.root)


def scratch(data: str | None = None) -> PostOffice:
    """A new one, under a path short enough for sockets (pytest's tmp_path is not); `close` it.

    `data`: a data directory elsewhere; its owner removes it.
    """
    return PostOffice(scratch_dirs.make("mm-", "/tmp"), data)


def end_process(pid: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Signal a process that a test had started, and wait until it is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(fd, number)
        if not _is_readable(fd, STOP_S):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            raise AssertionError(f"process {pid} did not end within {STOP_S:g} s of {number.name}")
    except ProcessLookupError:
        return
    finally:
        os.close(fd)


def eventually(holds: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Wait until `holds()`; fails after timeout_s. For conditions without an event (a file, a counter)."""
    give_up_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up_s, f"not within {timeout_s:g} s: {what}"
        select.select([], [], [], 0.01)


def _read_line(fd: int, timeout_s: float) -> str:
    give_up_s = time.monotonic() + timeout_s
    heard = b""
    while not heard.endswith(b"\n"):
        left_s = give_up_s - time.monotonic()
        assert _is_readable(fd, max(0.0, left_s)), f"the broker is not ready: {heard!r}"
        some = os.read(fd, 4_096)
        if not some:
            break
        heard += some
    return heard.decode().strip()


def _is_readable(fd: int, wait_s: float) -> bool:
    """By `poll`: `select` takes no descriptor above 1,023, and a process that runs many tests may have one."""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(wait_s * 1000))
