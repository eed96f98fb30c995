"""CLI shell: a shell with a data directory of its own, for tests of the command line.

Rule: commands are real processes; the test ends the broker that they start, by its pid.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_cli.processes.process_exit import BrokerExit
from maestro_clients.client import Client
from maestro_clients.processes import gateway_process
from maestro_clients.processes.broker_process import ensure, find
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id, new_session_id, new_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COMMAND_S_MAX = 60.0


class Ran(NamedTuple):
    """One finished command."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output; anything beside it fails."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def error(self) -> dict[str, Any]:
        """The error of a `--json` command."""
        error = self.json()["error"]
        assert isinstance(error, dict)
        return error


class Shell:
    """An environment in which `maestro` is run."""

    def __init__(self, root: str, environ: dict[str, str], started: list[subprocess.Popen[bytes]]) -> None:
        self.root = root
        self.environ = environ
        self._started = started
        self.data = environ["MAESTRO_DATA_DIR"]

    @property
    def session_id(self) -> str:
        return self.environ["MAESTRO_SESSION_ID"]

    def run(self, *arguments: str | bytes, stdin: bytes = b"", environ: dict[str, str] | None = None) -> Ran:
        """Run `maestro ARGUMENTS`, with additional environment variables."""
        done = subprocess.run(
            [sys.executable, "-m", "maestro_cli", *arguments],
            input=stdin,
            env={**self.environ, **(environ or {})},
            cwd=self.root,
            capture_output=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start_command(self, *arguments: str) -> list[str]:
        """The words that run `maestro ARGUMENTS`, for another shell to run."""
        return [sys.executable, "-m", "maestro_cli", *arguments]

    def done(self, *arguments: str, stdin: bytes = b"") -> Ran:
        """The same, for a command that must end with exit code 0."""
        ran = self.run(*arguments, stdin=stdin)
        assert ran.code == 0, ran
        return ran

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a `maestro` command and don't wait; it is killed at the end of the test."""
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            self.start_command(*arguments), env=self.environ, cwd=self.root, **{**streams, **options}
        )
        self._started.append(process)
        return process

    def like(self, **environ: str) -> Shell:
        """Another shell on the same data directory, with other environment variables."""
        return Shell(self.root, {**self.environ, **environ}, self._started)

    def anonymous(self) -> Shell:
        """Another shell on the same data directory, without a session."""
        mine = {name: value for name, value in self.environ.items() if not name.startswith("MAESTRO_SESSION_")}
        return Shell(self.root, mine, self._started)

    def session(self, name: str = "", *, role: str = "worker", project: str = "shop") -> Shell:
        """Another shell on the same data directory, with a session of its own.

        The library starts it, in a hundredth of the time of a process.
        """
        session, token = new_session_id(), new_token()
        with self.anonymous().client() as client:
            client.start_session(session, token=token, name=name or None, role=role, project_id=project)
        return self.anonymous().like(MAESTRO_SESSION_ID=session, MAESTRO_SESSION_TOKEN=token)

    def client(self) -> Client:
        """A connection that speaks for the session of this shell."""
        endpoints = ensure(self.data, self.environ, autostart=True)
        return Client(endpoints.router, Caller.from_environ(self.environ))

    def send(self, to: Shell, text: str, **more: Any) -> str:
        """Send through the library; the id of the accepted message. `more` as for `Client.send`."""
        with self.client() as client:
            return client.send(to.session_id, text, **more)["id"]

    def send_to_all(self, to: Sequence[Shell | str], text: str, **more: Any) -> dict[str, Any]:
        """Send one message to several sessions, or to addresses with `@`; the result. `more`: fields of the wire."""
        addresses = [each if isinstance(each, str) else each.session_id for each in to]
        outgoing: Any = {"id": new_message_id(), "to": addresses, "message": text, **more}
        with self.client() as client:
            [result] = client.send_many([outgoing])
        found: dict[str, Any] = dict(result)
        assert "error" not in found, found
        return found

    def inbox(self, *more: str) -> list[dict[str, Any]]:
        """What `inbox --json` shows now."""
        messages = self.done("inbox", "--json", *more).json()["messages"]
        assert isinstance(messages, list)
        return messages

    def state(self, message_id: str) -> str:
        """The status of a message."""
        with self.client() as client:
            return client.message(message_id)["status"]

    def broker_pid(self) -> int:
        """The pid of the broker that serves now."""
        endpoints = find(self.data)
        assert endpoints is not None
        return endpoints.pid

    def kill_broker(self) -> None:
        """Kill the broker and wait until it is gone: a dying one still accepts connections for a moment."""
        found = find(self.data)
        assert found is not None
        with BrokerExit(self.data, found) as end:
            os.kill(found.pid, signal.SIGKILL)
            assert end.wait(COMMAND_S_MAX)


class Lines:
    """The lines of a stream as they arrive; a test can wait for one."""

    def __init__(self, process: subprocess.Popen[bytes], stream: str = "stdout") -> None:
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._stream = getattr(process, stream)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, wanted: Callable[[str], bool], timeout_s: float = 20.0) -> str:
        """The first line that is wanted; fails when the stream ends or the time is over without one."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or any(map(wanted, self._lines)), timeout_s)
            found = next(filter(wanted, self._lines), None)
        assert found is not None, f"not among {self._lines}"
        return found

    def all(self) -> list[str]:
        """The lines so far."""
        with self._changed:
            return list(self._lines)

    def _read(self) -> None:
        # ValueError: the shell has closed the stream after the process ended.
        with contextlib.suppress(ValueError):
            for line in self._stream:
                with self._changed:
                    self._lines.append(line.decode().rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def said_id(said: str) -> str:
    """The short id in what a plain send has printed."""
    found = re.match(r"Sent [^\n]*? \((\w+)\)[.,]", said)
    assert found is not None, said
    return found[1]


@contextlib.contextmanager
def open_shell(**environ: str) -> Iterator[Shell]:
    """The operator's shell on a new data directory; no broker runs yet."""
    # Not pytest's tmp_path: its length leaves no room for a socket's path.
    root = tempfile.mkdtemp(prefix="mst-", dir="/tmp")
    # An agent that runs the tests must not make each of these shells an agent's.
    agents = (
        "CLAUDE",
        "CODEX_",
        "GEMINI_",
        "CURSOR_AGENT",
        "OPENCODE",
        "AI_AGENT",
        "ANTIGRAVITY_AGENT",
        "AUGMENT_AGENT",
    )
    signs = ("MAESTRO_", *agents)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(signs)}
    own = {
        "MAESTRO_DATA_DIR": os.path.join(root, "data"),
        "MAESTRO_RUNTIME_DIR": os.path.join(root, "run"),
        "MAESTRO_CONFIG": os.path.join(root, "config.toml"),
        # All data directories share its default port; tests of the gateway override this.
        "MAESTRO_HTTP": "0",
        "COLUMNS": "80",
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield Shell(root, {**clean, **own, **environ}, started)
    finally:
        for process in started:
            # Kill what still runs, let the readers of its streams reach their end, and close them.
            process.kill()
            process.wait()
            _close(process)
        gateway_process.stop(os.path.join(root, "data"))
        stop_broker(os.path.join(root, "data"))
        shutil.rmtree(root, ignore_errors=True)


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            # This waits for a thread that is reading it, since that thread holds the reader's lock.
            with contextlib.suppress(ValueError):
                stream.read()
            stream.close()


def stop_broker(data: str) -> None:
    """End the broker of a test, if it runs."""
    endpoints = find(data)
    if endpoints is None:
        return
    with BrokerExit(data, endpoints) as end, contextlib.suppress(ProcessLookupError):
        os.kill(endpoints.pid, signal.SIGTERM)
        if not end.wait(10):
            os.kill(endpoints.pid, signal.SIGKILL)
            end.wait(10)
