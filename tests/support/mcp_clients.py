"""MCP clients: a client of `maestro mcp` over its standard input and output.

Rule: every wait for an answer is bounded. The server is a real process, a child of the test or of an agent's process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from support.agent_processes import word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.agent_processes import Agent
    from support.cli_shell import Shell

ANSWER_S_MAX = 60.0


class McpClient:
    """A client between two descriptors: `sink` is the server's input."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self.sink = sink
        self._buffer = b""
        self._answers: list[dict[str, Any]] = []
        self._number = 0

    def write(self, raw: bytes) -> None:
        """Write bytes as they are."""
        os.write(self.sink, raw)

    def notify(self, method: str, **parameters: Any) -> None:
        """Send a notification."""
        self.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": parameters}).encode() + b"\n")

    def begin(self, method: str, **parameters: Any) -> int:
        """Send a request; its id."""
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": parameters}
        self.write(json.dumps(request).encode() + b"\n")
        return self._number

    def begin_call(self, tool: str, **arguments: Any) -> int:
        """Call a tool and don't wait; the id of the request."""
        return self.begin("tools/call", name=tool, arguments=arguments)

    def answer(self, request_id: object) -> dict[str, Any]:
        """The answer to a request, once it is there."""
        deadline_s = time.monotonic() + ANSWER_S_MAX
        while True:
            for found in self._answers:
                if found["id"] == request_id:
                    self._answers.remove(found)
                    return found
            self._receive(deadline_s - time.monotonic())

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a new request."""
        return self.answer(self.begin(method, **parameters))

    def result(self, request_id: int) -> tuple[str, bool]:
        """The text of a tool's result, and whether it is an error."""
        result = self.answer(request_id)["result"]
        [content] = result["content"]
        assert content["type"] == "text"
        return content["text"], result.get("isError", False)

    def call(self, tool: str, **arguments: Any) -> str:
        """The text of the result of a call, which must not fail."""
        text, failed = self.result(self.begin_call(tool, **arguments))
        assert not failed, text
        return text

    def refused(self, tool: str, **arguments: Any) -> str:
        """The text of the error of a call."""
        text, failed = self.result(self.begin_call(tool, **arguments))
        assert failed, text
        return text

    def introduce(self, name: str = "tests") -> dict[str, Any]:
        """The handshake; its result."""
        result: dict[str, Any] = self.ask(
            "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": name, "version": "1"}
        )["result"]
        self.notify("notifications/initialized")
        return result

    def close(self) -> None:
        """End the server's input."""
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1

    def _receive(self, left_s: float) -> None:
        assert left_s > 0, f"no answer within {ANSWER_S_MAX:g} s; others: {self._answers}"
        assert select.select([self._source], [], [], left_s)[0], "no answer in time"
        data = os.read(self._source, 65_536)
        assert data, f"the server has ended; what it left: {self._buffer!r}"
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self._answers += [json.loads(line) for line in lines]


def command() -> list[str]:
    """The words that start the server."""
    return [sys.executable, "-P", "-m", "maestro_cli", "mcp"]


@contextlib.contextmanager
def serving(shell: Shell, name: str = "tests", **environ: str) -> Iterator[tuple[McpClient, subprocess.Popen[bytes]]]:
    """A server in a shell, for as long as the block runs, and its process."""
    process = subprocess.Popen(
        command(),
        env={**shell.environ, **environ},
        cwd=shell.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    client = McpClient(process.stdout.fileno(), os.dup(process.stdin.fileno()))
    process.stdin.close()
    try:
        client.introduce(name)
        yield client, process
    finally:
        client.close()
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def serving_below(agent: Agent, name: str = "tests", *, keeps: bool = True) -> Iterator[McpClient]:
    """A server that an agent's process has started, for as long as the block runs. `keeps` False: the agent passes
    no variable on but PATH and HOME, as Codex does."""
    shell = agent.shell
    paths = [os.path.join(shell.root, f"{end}-{os.urandom(4).hex()}") for end in ("in", "out")]
    for path in paths:
        os.mkfifo(path, 0o600)
    kept = {name: shell.environ[name] for name in ("MAESTRO_DATA_DIR", "MAESTRO_RUNTIME_DIR", "MAESTRO_CONFIG")}
    kept |= {"PATH": os.environ["PATH"], "HOME": shell.root}
    prefix = "" if keeps else f"env -i {' '.join(f'{key}={word(value)}' for key, value in kept.items())} "
    line = f"{prefix}{' '.join(map(word, command()))} < {paths[0]} > {paths[1]} &\n"
    assert agent.process.stdin is not None
    agent.process.stdin.write(line.encode())
    agent.process.stdin.flush()
    # In the order in which the shell opens them.
    sink = os.open(paths[0], os.O_WRONLY)
    source = os.open(paths[1], os.O_RDONLY)
    client = McpClient(source, sink)
    try:
        client.introduce(name)
        yield client
    finally:
        client.close()
        os.close(source)
