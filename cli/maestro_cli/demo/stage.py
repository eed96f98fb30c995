"""Demo stage: a scratch post office and the processes that act on it.

Rule: everybody on it is a real process with an environment of its own, and whatever happens, all of them and the
broker are gone at the end.
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
_LAST_WORDS_S = 3.0
_LOOK_EVERY_S = 0.02
# Room for `run/<12 hex>/broker.sock` below it in a Unix socket address of 107 bytes.
_ROOT_CHARS_MAX = 60


class StepFailed(Exception):  # noqa: N818 - it says what did not happen, as the narration does
    """A step of the demo did not happen; the text says which and how it looked."""


class Actor(NamedTuple):
    """A session and what its shell would have exported."""

    name: str
    session: str
    token: str


class CommandRun(NamedTuple):
    """One finished command. `took_ms`: the whole process, from start to exit."""

    code: int
    out: str
    err: str
    took_ms: float

    def json(self) -> dict[str, Any]:
        """The one JSON object that it printed. Raises StepFailed for anything else."""
        try:
            document = json.loads(self.out)
        except ValueError:
            raise StepFailed(f"expected one JSON object, and it printed {self.out!r} {self.err!r}") from None
        if not isinstance(document, dict):
            raise StepFailed(f"expected a JSON object, and it printed {self.out!r}")
        return document


class Watching:
    """A process that runs `maestro inbox --watch --json`, and when each message came out of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._arrivals: list[tuple[float, MessageDoc]] = []
        self._changed = threading.Condition()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def arrival(self, message_id: str, timeout_s: float) -> tuple[float, MessageDoc]:
        """When (time.monotonic) a message was printed, and the message. Raises StepFailed when it was not."""

        def found() -> tuple[float, MessageDoc] | None:
            return next((arrival for arrival in self._arrivals if arrival[1]["id"] == message_id), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, timeout_s)
            arrival = found()
        if arrival is None:
            raise StepFailed(f"the watching worker did not print {message_id} within {timeout_s:g} s")
        return arrival

    def wait_for_all(self, ids: set[str], timeout_s: float) -> list[str]:
        """The ids printed so far, in order, once all of `ids` are among them or the time is over."""
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
    """A scratch directory with a post office in it; a context manager that clears it away."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        base = tempfile.gettempdir()
        self.root = tempfile.mkdtemp(prefix="maestro-demo-", dir=base if len(base) < _ROOT_CHARS_MAX else "/tmp")  # noqa: S108
        self.data = os.path.join(self.root, "data")
        # A person's own settings and session have no part in it.
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
        # A command that was interrupted may have begun to start a broker, which will be there in a moment.
        self._cut_short = False

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
                process.wait(_LAST_WORDS_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stop_broker()
        if not self._keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def broker(self) -> Endpoints:
        """The broker that serves now. Raises StepFailed when there is none."""
        endpoints = find(self.data)
        if endpoints is None:
            raise StepFailed("no broker answers")
        return endpoints

    def maestro(self, *arguments: str, actor: Actor | None = None) -> CommandRun:
        """Run one `maestro` command to its end. Raises StepFailed when it takes too long."""
        started = time.monotonic()
        self._cut_short = True
        try:
            done = subprocess.run(
                [sys.executable, "-m", "maestro_cli", *arguments],
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
        self._cut_short = False
        return CommandRun(done.returncode, done.stdout, done.stderr, (time.monotonic() - started) * 1000)

    def start(self, *arguments: str, actor: Actor) -> subprocess.Popen[str]:
        """Start a `maestro` command that goes on while others act."""
        process = subprocess.Popen(
            [sys.executable, "-m", "maestro_cli", *arguments],
            env=self._environ_of(actor),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._processes.append(process)
        return process

    def watch(self, actor: Actor) -> Watching:
        """A process that watches the actor's inbox."""
        return Watching(self.start("inbox", "--watch", "--json", actor=actor))

    def _environ_of(self, actor: Actor | None) -> dict[str, str]:
        if actor is None:
            return self.environ
        return {**self.environ, "MAESTRO_SESSION_ID": actor.session, "MAESTRO_SESSION_TOKEN": actor.token}

    def _stop_broker(self) -> None:
        give_up = time.monotonic() + _LAST_WORDS_S
        while (endpoints := find(self.data)) is None:
            if not self._cut_short or time.monotonic() > give_up:
                return
            time.sleep(_LOOK_EVERY_S)
        with BrokerExit(self.data, endpoints) as end:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.kill(endpoints.pid, number)
                except ProcessLookupError:
                    return
                if end.wait(_LAST_WORDS_S):
                    return
