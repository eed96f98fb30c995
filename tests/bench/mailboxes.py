"""Mailboxes: this post office, hcom and agent-mail-cli, each by its own public commands.

Rule: each is used as its own manual shows it, in the fastest form that was found; it gets an environment of its own,
whose home and files are in the scratch directory, and a PATH with nothing on it (hcom looks for a newer version of
itself with `curl`).
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bench import wheel_install
from bench.peers import path_of
from maestro_cli.processes.process_exit import BrokerExit
from maestro_clients.processes import broker_process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.run import Bench

RECEIVERS = ("sent", "read", "pushed", "killed", "traced")
# The interpreter where our wheel is installed, that of the development environment, and none.
PYTHON, DEVELOPMENT, BINARY = "python3 -c pass", "python3 -c pass, with .pth files", "true"
_PATIENCE_S = 30.0
# By the package's name, its command.
PACKAGES = {"hcom": "hcom", "agent-mail-cli": "agent-mail"}


class Command(NamedTuple):
    """A process to start."""

    words: list[str]
    environ: dict[str, str]

    def run(self) -> str:
        """Its output. Raises RuntimeError with its errors when it fails."""
        done = subprocess.run(self.words, env=self.environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.words} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def start(self) -> subprocess.Popen[bytes]:
        """With pipes at its output and its errors."""
        return subprocess.Popen(self.words, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Mailbox(Protocol):
    """A messenger. `floor`: what its commands can't be faster than. `watches_on`: one watch shows any number of
    messages; the others end with the first and are started again."""

    name: str
    floor: str
    watches_on: bool

    def send(self, receiver: str, text: str) -> Command:
        """Send one message; what it prints is "sent"."""

    def read(self, receiver: str) -> Command:
        """Show what is new, and keep in mind that it was shown."""

    def watch(self, receiver: str) -> Command:
        """Wait for mail, and print its text or subject."""

    def wait_until_watching(self, receiver: str, watch: subprocess.Popen[bytes]) -> None:
        """Return once that process waits."""

    def server(self) -> int | None:
        """The process, besides the sender's, that writes to the disk."""

    def kill_server(self) -> None:
        """End it with SIGKILL, and start another."""

    def kept_in(self) -> str:
        """Where messages are, asked of the files."""


class Maestro:
    """The bench's own broker, and a `maestro` for it. `prefix`: of its sessions' names."""

    watches_on = True

    def __init__(self, bench: Bench, name: str, floor: str, command: str, prefix: str = "") -> None:
        self.name = name
        self.floor = floor
        self._bench = bench
        self._command = command
        self._prefix = prefix
        # As an installed interpreter, which keeps its bytecode.
        left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
        self._environ = {name: value for name, value in bench.environ.items() if name not in left_out}
        with bench.client() as operator:
            for session in ("sender", *RECEIVERS):
                operator.start_session(prefix + session, role="orchestrator")

    def _as(self, session: str, *words: str) -> Command:
        return Command([self._command, *words], {**self._environ, "MAESTRO_SESSION_ID": self._prefix + session})

    def send(self, receiver: str, text: str) -> Command:
        """As Mailbox."""
        return self._as("sender", "session", "send", "--to", self._prefix + receiver, "--message", text)

    def read(self, receiver: str) -> Command:
        """As Mailbox."""
        return self._as(receiver, "inbox", "--quiet")

    def watch(self, receiver: str) -> Command:
        """As Mailbox."""
        return self._as(receiver, "inbox", "--watch")

    def wait_until_watching(self, receiver: str, watch: subprocess.Popen[bytes]) -> None:
        """As Mailbox: it reports nothing when it is ready, so a first message shows it."""
        assert watch.stdout is not None
        self.send(receiver, "first").run()
        seen = b""
        while b"first" not in seen:
            more = os.read(watch.stdout.fileno(), 65_536)
            if not more:
                raise RuntimeError("the watch ended")
            seen += more

    def server(self) -> int | None:
        """As Mailbox."""
        return self._bench.endpoints.pid

    def kill_server(self) -> None:
        """As Mailbox."""
        with BrokerExit(self._bench.data, self._bench.endpoints) as end:
            os.kill(self._bench.endpoints.pid, signal.SIGKILL)
            end.wait(_PATIENCE_S)  # its socket is there until it is gone
        self._bench.endpoints = broker_process.ensure(self._bench.data, self._bench.environ, autostart=True)

    def kept_in(self) -> str:
        """As Mailbox."""
        return "the broker's journal, then JSON files"


class Hcom:
    """One binary, one SQLite file. `listen` is woken over loopback; `events --follow` looks four times a second."""

    name = "hcom"
    floor = BINARY
    watches_on = False

    def __init__(self, directory: str) -> None:
        self._command = path_of("hcom") or "hcom"
        self._folder = os.path.join(directory, "hcom")
        self._environ = _environ(directory, HCOM_DIR=self._folder)
        # It gives the names itself; its answer begins with "[hcom:NAME]".
        self._names: dict[str, str] = {}
        for receiver in RECEIVERS:
            said = self._of("start").run()
            found = re.match(r"\[hcom:(\w+)\]", said)
            if found is None:
                raise RuntimeError(f"hcom start said {said[:80]!r}")
            self._names[receiver] = found[1]

    def _of(self, *words: str) -> Command:
        return Command([self._command, *words], self._environ)

    def send(self, receiver: str, text: str) -> Command:
        """As Mailbox."""
        return self._of("send", f"@{self._names[receiver]}", "--from", "tester", "--intent", "request", "--", text)

    def read(self, receiver: str) -> Command:
        """As Mailbox; with nothing new it waits for a tenth of a second."""
        return self._of("listen", "1", "--name", self._names[receiver], "--json")

    def watch(self, receiver: str) -> Command:
        """As Mailbox."""
        return self._of("listen", "600", "--name", self._names[receiver])

    def wait_until_watching(self, receiver: str, watch: subprocess.Popen[bytes]) -> None:
        """As Mailbox."""
        assert watch.stderr is not None
        line = watch.stderr.readline()
        if b"Listening" not in line:
            raise RuntimeError(f"hcom listen said {line!r}")

    def server(self) -> int | None:
        """As Mailbox."""
        return None

    def kill_server(self) -> None:
        """As Mailbox."""

    def kept_in(self) -> str:
        """As Mailbox."""
        return _sqlite(os.path.join(self._folder, "hcom.db"))


class AgentMail:
    """A Python program, one SQLite file, in the development environment. `watch` looks once a second."""

    name = "agent-mail-cli"
    floor = DEVELOPMENT
    watches_on = False

    def __init__(self, directory: str) -> None:
        self._command = path_of("agent-mail") or "agent-mail"
        self._file = os.path.join(directory, "agent-mail", "mail.db")
        self._environ = _environ(directory, AGENT_MAIL_DB=self._file)

    def _of(self, *words: str) -> Command:
        return Command([self._command, *words], self._environ)

    def send(self, receiver: str, text: str) -> Command:
        """As Mailbox. The subject has the text too, for that is all that `watch` shows."""
        sender, to = ("--from", "bench:sender"), ("--to", f"bench:{receiver}")
        return self._of("send", *sender, *to, "--subject", text, "--body", "hello")

    def read(self, receiver: str) -> Command:
        """As Mailbox."""
        return self._of("read", f"bench:{receiver}")

    def watch(self, receiver: str) -> Command:
        """As Mailbox."""
        return self._of("watch", f"bench:{receiver}")

    def wait_until_watching(self, receiver: str, watch: subprocess.Popen[bytes]) -> None:
        """As Mailbox."""
        while watch.poll() is None:
            states = json.loads(self._of("status", "--agent", f"bench:{receiver}").run())
            if any(state["watching"] for state in states):
                return
            time.sleep(0.02)
        raise RuntimeError("agent-mail watch ended")

    def server(self) -> int | None:
        """As Mailbox."""
        return None

    def kill_server(self) -> None:
        """As Mailbox."""

    def kept_in(self) -> str:
        """As Mailbox."""
        return _sqlite(self._file)


def mailboxes(bench: Bench) -> list[Mailbox]:
    """Ours, as a wheel installs it, and those that are installed."""
    lacking = missing()
    command = os.path.join(wheel_install.folder_of_commands(bench.scratch), "maestro")
    found: list[Mailbox] = [Maestro(bench, "Maestro", PYTHON, command)]
    if "hcom" not in lacking:
        found.append(Hcom(bench.scratch))
    if "agent-mail-cli" not in lacking:
        found.append(AgentMail(bench.scratch))
    return found


def editable(bench: Bench) -> Mailbox:
    """Ours, as the development environment has it."""
    return Maestro(bench, "Maestro, editable install", DEVELOPMENT, path_of("maestro") or "maestro", "editable_")


def missing() -> Sequence[str]:
    """The packages whose command is not installed."""
    return [package for package, command in PACKAGES.items() if path_of(command) is None]


def _environ(directory: str, **more: str) -> dict[str, str]:
    home = os.path.join(directory, "home")
    nothing = os.path.join(directory, "nothing")
    os.makedirs(home, exist_ok=True)
    os.makedirs(nothing, exist_ok=True)
    folders = {f"XDG_{kind}_HOME": os.path.join(home, kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    return {"HOME": home, "PATH": nothing, "TMPDIR": home, "LANG": "C.UTF-8", **folders, **more}


def _sqlite(path: str) -> str:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return f"SQLite, journal_mode {connection.execute('PRAGMA journal_mode').fetchone()[0]}"
    finally:
        connection.close()
