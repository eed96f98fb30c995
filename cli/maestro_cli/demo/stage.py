"""Demo stage: a temporary post office, and the processes that use it.

Rule: each actor's command is a real process with an environment of its own. At the end, all processes and the broker
have ended, also after an error.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_cli.processes.process_exit import BrokerExit
from maestro_clients.processes.broker_process import find

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from maestro_clients.processes.broker_process import Endpoints
    from maestro_schemas.documents import MessageDoc

COMMAND_S_MAX = 15.0
_EXIT_S = 3.0
_POLL_S = 0.02
# A Unix socket address has at most 107 bytes, and `run/<12 hex>/broker.sock` is added to the root.
_ROOT_CHARS_MAX = 60


class StepFailed(Exception):  # noqa: N818 - named as the demo's output is
    """A step of the demo failed; the text names the step and shows its output."""


class Actor(NamedTuple):
    """A session, with the values that its shell would export."""

    name: str
    session: str
    token: str


class CommandRun(NamedTuple):
    """One finished command."""

    # The exit code.
    code: int
    out: str
    err: str
    # The time of the whole process, from start to exit.
    took_ms: float

    def json(self) -> dict[str, Any]:
        """Parse the JSON object that it printed. Raises StepFailed for other output."""
        try:
            document = json.loads(self.out)
        except ValueError:
            raise StepFailed(f"expected one JSON object, and the command printed {self.out!r} {self.err!r}") from None
        if not isinstance(document, dict):
            raise StepFailed(f"expected a JSON object, and the command printed {self.out!r}")
        return document


class WatchProcess:
    """A process that runs `maestro inbox --watch --json`, with the time at which it printed each message."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._arrivals: list[tuple[float, MessageDoc]] = []
        self._changed = threading.Condition()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def arrival(self, message_id: str, timeout_s: float) -> tuple[float, MessageDoc]:
        """The time (time.monotonic) at which a message was printed, and the message. Raises StepFailed after the
        timeout."""

        def found() -> tuple[float, MessageDoc] | None:
            return next((arrival for arrival in self._arrivals if arrival[1]["id"] == message_id), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, timeout_s)
            arrival = found()
        if arrival is None:
            raise StepFailed(f"the watching worker did not print {message_id} within {timeout_s:g} s")
        return arrival

    def wait_for_all(self, ids: set[str], timeout_s: float) -> list[str]:
        """Wait until all of `ids` are printed, or for the timeout. Returns the ids printed so far, in order."""
        with self._changed:
            self._changed.wait_for(lambda: ids <= {message["id"] for _, message in self._arrivals}, timeout_s)
            return [message["id"] for _, message in self._arrivals]

    def _read(self) -> None:
        for line in self.process.stdout or ():
            arrived = time.monotonic()
            message = json.loads(line)
            with self._changed:
                self._arrivals.append((arrived, message))
                self._changed.notify_all()


class Stage:
    """A temporary directory with a post office in it; a context manager that removes it."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        base = tempfile.gettempdir()
        self.root = tempfile.mkdtemp(prefix="maestro-demo-", dir=base if len(base) < _ROOT_CHARS_MAX else "/tmp")  # noqa: S108
        self.data = os.path.join(self.root, "data")
        # The user's own settings and session are left out.
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}
        config = os.path.join(self.root, "config.toml")
        with open(config, "w", encoding="utf-8"):
            pass
        self.environ |= {
            "MAESTRO_DATA_DIR": self.data,
            "MAESTRO_RUNTIME_DIR": os.path.join(self.root, "run"),
            "MAESTRO_CONFIG": config,
        }
        self._processes: list[subprocess.Popen[str]] = []
        # An interrupted command may have started a broker that does not serve yet.
        self._is_interrupted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(_EXIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stop_broker()
        if not self._keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def broker(self) -> Endpoints:
        """The broker that serves now. Raises StepFailed if none does."""
        endpoints = find(self.data)
        if endpoints is None:
            raise StepFailed("no broker answers")
        return endpoints

    def maestro(self, *arguments: str, actor: Actor | None = None) -> CommandRun:
        """Run one `maestro` command to its end. Raises StepFailed after COMMAND_S_MAX."""
        started = time.monotonic()
        self._is_interrupted = True
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "maestro_cli", *arguments],
                env=self._environ_of(actor),
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_S_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StepFailed(f"`maestro {' '.join(arguments)}` did not end within {COMMAND_S_MAX:g} s") from None
        self._is_interrupted = False
        return CommandRun(done.returncode, done.stdout, done.stderr, (time.monotonic() - started) * 1000)

    def start(self, *arguments: str, actor: Actor) -> subprocess.Popen[str]:
        """Start a `maestro` command that runs in the background."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "maestro_cli", *arguments],
            env=self._environ_of(actor),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._processes.append(process)
        return process

    def watch(self, actor: Actor) -> WatchProcess:
        """Start a process that watches the actor's inbox."""
        return WatchProcess(self.start("inbox", "--watch", "--json", actor=actor))

    def _environ_of(self, actor: Actor | None) -> dict[str, str]:
        if actor is None:
            return self.environ
        return {**self.environ, "MAESTRO_SESSION_ID": actor.session, "MAESTRO_SESSION_TOKEN": actor.token}

    def _stop_broker(self) -> None:
        give_up = time.monotonic() + _EXIT_S
        while (endpoints := find(self.data)) is None:
            if not self._is_interrupted or time.monotonic() > give_up:
                return
            time.sleep(_POLL_S)
        with BrokerExit(self.data, endpoints) as end:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.kill(endpoints.pid, number)
                except ProcessLookupError:
                    return
                if end.wait(_EXIT_S):
                    return
