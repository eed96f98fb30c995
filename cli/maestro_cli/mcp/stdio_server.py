"""Stdio server: an MCP server for the agent that has started this process.

Rule: one line is one JSON-RPC object, and standard output holds nothing else. The main thread reads; each call of a
tool has a thread of its own, so that one that waits for mail delays no other. The server ends when its input or its
output is closed. It imports no ZeroMQ: an agent starts it with each session.
"""

from __future__ import annotations

import _thread
import os
import select
import time

from maestro_cli import exit_codes
from maestro_clients.mcp import json_rpc

from .running_call import RunningCall

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from maestro_clients.mcp.json_rpc import ToolCall

    from .agent_identity import AgentIdentity

_CHUNK_BYTES = 65_536
# More calls at once are refused: a client that never waits for an answer must not fill this process with threads.
_CALLS_MAX = 32
# After the end of the input, calls that are at the broker have this long for their answers.
_LAST_ANSWERS_S = 2.0
_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Output:
    """Standard output, for all threads. A line is written whole."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = _thread.allocate_lock()

    def write(self, answer: dict[str, Any]) -> None:
        """Write one answer. Raises OSError where the client has closed its end."""
        left = memoryview(json_rpc.encoded(answer) + b"\n")
        with self._lock:
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    # The client has made our end non-blocking, and is slow.
                    _wait_for(self._descriptor, select.POLLOUT)


class StdioServer:
    """The server between two descriptors. `serve` returns an exit code."""

    def __init__(self, data: str, source: int = 0, sink: int = 1) -> None:
        self._data = data
        self._identity: AgentIdentity | None = None
        self._source = source
        self._sink = sink
        self._output = Output(sink)
        self._client = "unknown"
        # Those without an answer, by the request's id; and those whose threads run.
        self._running: dict[str | float, RunningCall] = {}
        self._threads: list[RunningCall] = []

    def serve(self) -> int:
        """Answer until the input ends, or the client is gone."""
        for raw in self._lines():
            incoming = json_rpc.read(raw) if raw is not None else json_rpc.Incoming(json_rpc.too_long())
            self._client = incoming.client or self._client
            if incoming.cancels is not None and incoming.cancels in self._running:
                self._running[incoming.cancels].cancel()
            if incoming.call is not None:
                self._start(incoming.call)
            if incoming.answer is not None:
                try:
                    self._output.write(incoming.answer)
                except OSError:
                    return exit_codes.PIPE_CLOSED
        return self._ended()

    def _lines(self) -> Iterator[bytes | None]:
        """The lines of the input; None for one that is too long, whose rest is passed over."""
        parts: list[bytes] = []
        size = 0
        while chunk := self._chunk():
            *whole, rest = chunk.split(b"\n")
            for piece in whole:
                if size + len(piece) > json_rpc.BYTES_MAX:
                    yield None
                elif line := b"".join([*parts, piece]).strip():
                    yield line
                parts, size = [], 0
            size += len(rest)
            parts = [*parts, rest] if size <= json_rpc.BYTES_MAX else []
        # What has no line end was cut off.

    def _chunk(self) -> bytes:
        """The next bytes; none at the end of the input, or when the client has closed the output."""
        poller = select.poll()
        poller.register(self._source, select.POLLIN)
        if self._sink != self._source:
            poller.register(self._sink, 0)
        while True:
            for descriptor, events in poller.poll():
                if descriptor == self._source:
                    try:
                        return os.read(self._source, _CHUNK_BYTES)
                    except BlockingIOError:
                        continue
                    except OSError:
                        return b""
                if events & _GONE:
                    return b""

    def _start(self, call: ToolCall) -> None:
        refusal = None
        if call.request_id in self._running:
            refusal = "a request with this id is not answered yet"
        elif len(self._running) >= _CALLS_MAX:
            refusal = f"{_CALLS_MAX} calls are not answered yet, which is the limit"
        if refusal is not None:
            self._answer(json_rpc.error(call.request_id, json_rpc.INVALID_REQUEST, refusal))
            return
        running = self._running[call.request_id] = RunningCall()
        self._threads = [each for each in self._threads if not each.is_finished] + [running]
        try:
            _thread.start_new_thread(self._carry_out, (call, running))
        except RuntimeError:  # this user has as many threads as the system allows
            del self._running[call.request_id]
            self._threads.remove(running)
            why = "this machine has no thread left for the call: try again later"
            self._answer(json_rpc.error(call.request_id, json_rpc.INTERNAL_ERROR, why))

    def _carry_out(self, call: ToolCall, running: RunningCall) -> None:
        # At the first call: the client waits for the server's start.
        from .agent_identity import AgentIdentity
        from .tool_run import ToolRun

        if self._identity is None:
            self._identity = AgentIdentity(self._data, os.environ)

        def show(content: dict[str, Any]) -> None:
            if running.is_cancelled:
                raise BrokenPipeError
            self._output.write(json_rpc.result(call.request_id, content))

        try:
            result = ToolRun(self._identity, self._client, running, show).outcome(call)
            # Before the answer: afterwards the client may use the id again.
            self._running.pop(call.request_id, None)
            if result is not None and not running.is_cancelled:
                self._answer(json_rpc.result(call.request_id, result.content()))
        finally:
            running.finish()

    def _answer(self, answer: dict[str, Any]) -> None:
        try:
            self._output.write(answer)
        except OSError:
            return  # the main thread notices it too

    def _ended(self) -> int:
        """End the waits for mail, and give calls that are at the broker a moment."""
        deadline_s = time.monotonic() + _LAST_ANSWERS_S
        left = list(self._threads)
        for running in left:
            running.stop_waiting()
        for running in left:
            running.await_finish(deadline_s - time.monotonic())
        return exit_codes.DONE


def _wait_for(descriptor: int, event: int) -> None:
    poller = select.poll()
    poller.register(descriptor, event)
    poller.poll()
