"""What a hook call costs the broker: one connection, and no request that a reply could have saved."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks import shell_script
from maestro_wire import zmtp
from support.agent_forms import said
from support.cli_shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAME_BYTES_MAX = 1 << 24


class Relay:
    """A Unix socket in front of the broker's, which counts connections and records the names of the requests."""

    def __init__(self, path: str, broker_path: str) -> None:
        self._broker_path = broker_path
        self.connections = 0
        self.requests: list[str] = []
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        """Stop listening, and wait until each connection has ended."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._sockets):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            broker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._sockets += [client, broker]
            broker.connect(self._broker_path)
            # A peer that reads what the client sends, as the broker's ROUTER does.
            link = zmtp.ZmtpConnection(zmtp.ROUTERS_PEERS, _FRAME_BYTES_MAX)
            for source, target, reader in ((client, broker, link), (broker, client, None)):
                thread = threading.Thread(target=self._copy, args=(source, target, reader))
                self._threads.append(thread)
                thread.start()

    def _copy(self, source: socket.socket, target: socket.socket, reader: zmtp.ZmtpConnection | None) -> None:
        while data := source.recv(1 << 16):
            if reader is not None:
                reader.receive(data)
                self.requests += [frames[2].decode() for frames in reader.messages]
                reader.messages.clear()
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(shell: Shell) -> Iterator[Relay]:
    """Send all clients of the shell's broker through a relay."""
    endpoints = os.path.join(shell.data, "endpoints")
    with open(endpoints, encoding="utf-8") as file:
        before = file.read()
    [router] = [line.removeprefix("router=ipc://") for line in before.splitlines() if line.startswith("router=")]
    name = os.path.basename(router)
    path = os.path.join(os.path.dirname(router), "relay".ljust(len(name), "-")[: len(name)])
    relay = Relay(path, router)
    try:
        _redirect(endpoints, before.replace(f"ipc://{router}\n", f"ipc://{path}\n"))
        yield relay
        with open(endpoints, encoding="utf-8") as file:
            assert path in file.read(), "the address was the relay's all the time"
    finally:
        _redirect(endpoints, before)
        relay.close()
        os.unlink(path)


def _redirect(endpoints: str, after: str) -> None:
    """Change the broker's address file in place, with the same size and times.

    The broker looks at those once a second, and writes a file again that is not as it was written. Between two calls
    here it may do that, so the change is made until it stands.
    """
    while True:
        with open(endpoints, "r+", encoding="utf-8") as file:
            known = os.fstat(file.fileno())
            assert len(after.encode()) == known.st_size
            os.pwrite(file.fileno(), after.encode(), 0)
            os.utime(file.fileno(), ns=(known.st_atime_ns, known.st_mtime_ns))
            now = os.stat(endpoints)
            if (now.st_ino, now.st_mtime_ns) == (known.st_ino, known.st_mtime_ns):
                return


def cost_of(shell: Shell, event: str, **more: object) -> tuple[int, list[str]]:
    """Call a hook of Claude Code. Returns the connections that it opened, and the requests that it sent."""
    line = shell_script.command(shell_script.script_path(shell.data), "claude-code", event)
    hook_input = json.dumps(said("claude-code", event, **more)).encode()
    with relayed(shell) as relay:
        ran = subprocess.run(
            ["/bin/sh", "-c", line], env=shell.environ, input=hook_input, capture_output=True, check=False
        )
    assert (ran.returncode, ran.stderr) == (0, b"")
    return relay.connections, relay.requests


@pytest.fixture
def person(person: Shell) -> Shell:
    shell_script.write(person.data, sys.executable)
    return person


def test_a_start_with_a_new_session(person: Shell) -> None:
    person.done("up", "--no-http")
    cost = cost_of(person, "SessionStart", session_id="agent-1")
    # The session that a hook makes has a new id, so the broker is asked for it once. The introduction says who else
    # is here.
    assert cost == (1, ["session.get", "session.start", "presence", "inbox"])
    again = cost_of(person, "SessionStart", session_id="agent-1", source="resume")
    assert again == (1, ["session.get", "session.touch", "presence", "inbox"])
    assert cost_of(person, "SessionEnd", session_id="agent-1") == (1, ["session.end"])


def test_a_start_with_the_session_of_the_shell(person: Shell) -> None:
    bob = person.session()
    assert cost_of(bob, "SessionStart", session_id="agent-2") == (1, ["session.touch", "presence", "inbox"])
    assert cost_of(bob, "SessionEnd", session_id="agent-2") == (0, []), "the session continues, and is not working"


def test_a_prompt_with_mail_of_many_senders(person: Shell) -> None:
    bob = person.session()
    for _ in range(6):
        person.session(role="orchestrator").send(bob, "hello")
    prompt = cost_of(bob, "UserPromptSubmit")
    # The names of the senders come with the mail. The script has noted already that the agent works.
    assert prompt == (1, ["inbox", "confirm"])
    person.session(role="orchestrator").send(bob, "once more")
    assert cost_of(bob, "PostToolUse") == (1, ["inbox", "confirm"])
    assert cost_of(bob, "Stop") == (0, [])


def test_without_mail_the_broker_is_not_asked(person: Shell) -> None:
    bob = person.session()
    for event in ("UserPromptSubmit", "PostToolUse", "Stop"):
        assert cost_of(bob, event) == (0, [])
