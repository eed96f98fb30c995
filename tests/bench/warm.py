"""Warm: what a single send takes of the broker's main loop, and of the client, when nothing waits for the disk.

Rule: the real loop in one process over its real socket. All requests of a turn arrive before it, it is measured by
the thread's CPU time, and then the spool writer files them before the next turn. fdatasync does nothing, since its
CPU is the kernel's and the disk's. The minimum of several rounds counts: whatever else the machine does only adds.
The client is measured the same way, in a process of its own, before a real broker. `--count` counts calls and lines
instead, which are equal on every machine.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench import core_counts
from bench.findings import Table
from maestro_broker.server.lifecycle import Broker
from maestro_broker.server.options import BrokerOptions
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.limits import Limits
from maestro_wire import zmtp
from support import scratch_dirs

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.run import Bench
    from maestro_schemas.documents import OutgoingDoc

LOOP_BAR_US = 10.5
CLIENT_BAR_US = 9.0
DEPTHS = (1, 16, 64, 256)
# The bars are of this many in flight.
_BAR_DEPTH = 64
_TEXT = "x" * 512
_RECEIVERS = 64
_ROUNDS = 9
_LOOP_MESSAGES = 2_048
_CLIENT_MESSAGES = 1_000
_COUNTED = 640
_COUNTS = 5
_READ_BYTES = 1 << 20
_MEMORY = "/dev/shm"
_FREE_BYTES = 1 << 30
_FREE_FILES = 400_000
# System calls of the client, as Python's functions are named.
_SYSTEM_CALLS = frozenset({"send", "sendmsg", "sendall", "recv", "recv_into", "recvmsg", "poll", "select"})

_encode = msgspec.msgpack.Encoder().encode


class WarmLoop:
    """A broker whose turns this process makes itself, and one connection to it."""

    def __init__(self, directory: str, rate_limit: int, depth: int) -> None:
        os.fdatasync = _no_sync  # type: ignore[assignment]
        # With a limit: enough for each to send at most one message a turn.
        senders = max(depth, _RECEIVERS) if rate_limit else 1
        limits = Limits(rate_limit=rate_limit, pending_max=10_000_000)
        runtime = os.path.join(directory, "r")
        os.mkdir(runtime, 0o700)
        self._broker = Broker(BrokerOptions(os.path.join(directory, "d"), runtime, limits, {}))
        self._broker.prepare()
        self._broker.start()
        self._broker._writer.hold_back()
        self._peer = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, _READ_BYTES)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _READ_BYTES)
        self._socket.connect(self._broker._local.addresses[0].removeprefix("ipc://"))
        self._socket.setblocking(False)
        self._socket.send(zmtp.DEALER_OPENING)
        while not self._peer.ready:
            self._broker._loop.turn()
            self._take()
        self._requests = self._posts = 0
        self._rate_limit = rate_limit
        self._senders = senders
        names = [f"a{number}" for number in range(senders)] + [f"s{number}" for number in range(_RECEIVERS)]
        for name in names:
            body = {"as": {}, "id": name, "role": "orchestrator"}
            self._put(self._request(b"session.start", body))
            self.answers(1, self._broker._loop.turn)
        self._sent = 0
        self.file()

    def post(self, count: int) -> None:
        """Send requests of one message each; the broker has not looked at them yet. Before a sender reaches its
        limit, the broker forgets what all have sent, as it does after a minute."""
        if self._rate_limit and self._posts % (self._rate_limit - 1) == 0:
            self._broker._state._windows.clear()
            self._broker._state._pairs.clear()
        self._posts += 1
        requests = []
        for number in range(self._sent, self._sent + count):
            message = {"id": new_message_id(), "to": f"s{number % _RECEIVERS}", "message": _TEXT}
            speaker = {"session": f"a{number % self._senders}"}
            requests.append(self._request(b"send", {"as": speaker, "messages": [message]}))
        self._sent += count
        self._put(b"".join(requests))

    def answers(self, count: int, turn: Callable[[], object]) -> float:
        """Make turns until `count` requests are answered; the CPU seconds of the turns."""
        spent_s, got = 0.0, 0
        while (got := got + self._take()) < count:
            began_s = time.thread_time()
            turn()
            spent_s += time.thread_time() - began_s
        return spent_s

    def turn(self) -> None:
        """One turn of the main loop."""
        self._broker._loop.turn()

    def file(self) -> None:
        """Let the spool writer file all; the next turn hears of it."""
        writer, queue = self._broker._writer, self._broker._loop._queue
        writer.go_on()
        while sum(map(len, tuple(writer.filed))) < len(queue.unfiled):
            time.sleep(0.0005)
        writer.hold_back()

    def _request(self, command: bytes, body: dict[str, Any]) -> bytes:
        self._requests += 1
        return zmtp.message((PROTOCOL_HEADER, b"%x" % self._requests, command, _encode(body)))

    def _put(self, data: bytes) -> None:
        sent = self._socket.send(data)
        assert sent == len(data), "the socket's buffer is too small for the requests of a turn"

    def _take(self) -> int:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return 0
        answer = self._peer.receive(data)
        if answer:
            self._socket.send(answer)
        replies, self._peer.messages = self._peer.messages, []
        for reply in replies:
            assert reply[2] == b"200", reply
            results = msgspec.msgpack.decode(reply[3]).get("results", ())
            assert all(result["status"] == 201 for result in results), reply
        return len(replies)


def _no_sync(_fd: int) -> None:
    return


def loop_us(directory: str, depth: int, rate_limit: int) -> float:
    """CPU of the main loop a message, with `depth` requests a turn."""
    turns = max(2, _LOOP_MESSAGES // depth) if depth > 1 else _LOOP_MESSAGES // 4
    loop = WarmLoop(directory, rate_limit, depth)
    rounds = []
    for _ in range(_ROUNDS + 1):
        spent_s = 0.0
        for _ in range(turns):
            loop.post(depth)
            spent_s += loop.answers(depth, loop.turn)
            loop.file()
        rounds.append(spent_s / (turns * depth) * 1e6)
    return min(rounds[1:])  # the first is not warm


def loop_counts(directory: str, depth: int, rate_limit: int) -> dict[str, float]:
    """Calls and lines of the main loop a message, the fewest of several turns: once a second one does more."""
    loop = WarmLoop(directory, rate_limit, depth)
    found = {}
    for what, count in (("calls", core_counts.calls), ("lines", core_counts.lines)):
        counts = []
        for turn in range(_COUNTS + 1):
            loop.post(depth)
            if turn:  # the first does what is done once
                counts.append(count(loop.turn))
            loop.answers(depth, loop.turn)
            loop.file()
        found[f"turn {what}"] = min(counts) / depth
    return found


def client_us(address: str, depth: int) -> float:
    """CPU of a client a message, for a list of single sends with `depth` in flight."""
    with _client(address) as client:
        rounds = []
        for _ in range(_ROUNDS):
            outgoing = _outgoing(_CLIENT_MESSAGES)
            began_s = time.thread_time()
            accepted = sum(result["status"] == 201 for result in client.pipeline(outgoing, in_flight=depth))
            rounds.append((time.thread_time() - began_s) / len(outgoing) * 1e6)
            assert accepted == len(outgoing)
    return min(rounds)


def client_counts(address: str, depth: int) -> dict[str, float]:
    """Calls, lines and system calls of a client a message, the fewest of several lists: the broker may answer in more
    pieces than it needs."""
    with _client(address) as client:

        def send() -> None:
            for result in client.pipeline(outgoing, in_flight=depth):
                assert result["status"] == 201

        outgoing = _outgoing(_COUNTED)
        send()  # what is done once
        counters = {"calls": core_counts.calls, "lines": core_counts.lines, "system calls": system_calls}
        found = {}
        for what, count in counters.items():
            counts = []
            for _ in range(_COUNTS):
                outgoing = _outgoing(_COUNTED)
                counts.append(count(send))
            found[f"client {what}"] = min(counts) / _COUNTED
    return found


def system_calls(work: Callable[[], object]) -> int:
    """Those that wait for a socket, send or receive."""
    found = 0

    def hook(_frame: object, what: str, value: Any) -> None:
        nonlocal found
        found += what == "c_call" and value.__name__ in _SYSTEM_CALLS

    sys.setprofile(hook)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def _client(address: str) -> Client:
    with Client(address) as operator:
        operator.start_session("warm_a", role="orchestrator")
        for number in range(_RECEIVERS):
            operator.start_session(f"warm_{number}")
    return Client(address, Caller("warm_a"), timeout_s=60.0)


def _outgoing(count: int) -> list[OutgoingDoc]:
    return [
        {"id": new_message_id(), "to": f"warm_{number % _RECEIVERS}", "message": _TEXT} for number in range(count)
    ]


def asked(*arguments: str) -> Any:
    """What this script prints, in a process of its own: without hooks of coverage, and with a broker of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "MAESTRO_"))}
    directory = scratch_dirs.make("mbw-", _in_memory())
    try:
        command = [sys.executable, os.path.abspath(__file__), "--directory", directory, *arguments]
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    finally:
        scratch_dirs.remove(directory)
    return json.loads(done.stdout)


def _in_memory() -> str | None:
    """A directory without a disk, where there is one with room."""
    if not os.path.isdir(_MEMORY):
        return None
    found = os.statvfs(_MEMORY)
    has_room = found.f_bavail * found.f_frsize > _FREE_BYTES and found.f_favail > _FREE_FILES
    return _MEMORY if has_room else None


def warm(bench: Bench, depths: tuple[int, ...] = DEPTHS, turns: int = 1) -> None:
    """The part of the bench: the loop without and with the default limits, and the client."""
    default = Limits().rate_limit
    found: dict[tuple[str, int], float] = {}
    office = type(bench)(_in_memory(), bench.seconds, bench.burst, bench.messages)
    try:
        for _ in range(turns):
            for depth in depths:
                kinds = {
                    "loop": ["--depth", str(depth)],
                    "loop_limited": ["--depth", str(depth), "--rate-limit", str(default)],
                    "client": ["--depth", str(depth), "--client", office.endpoints.router],
                }
                for name, arguments in kinds.items():
                    us = float(asked(*arguments))
                    found[name, depth] = min(us, found.get((name, depth), us))
    finally:
        office.stop()
        office.remove()
    bench.figures |= {f"warm_{name}_{depth}_us": us for (name, depth), us in found.items()}
    rows: list[list[Any]] = [
        [depth, *(found[name, depth] for name in ("loop", "loop_limited", "client"))] for depth in depths
    ]
    for depth, loop, limited, client in rows:
        bars = f"; bars {LOOP_BAR_US:g} and {CLIENT_BAR_US:g}" if depth == _BAR_DEPTH else ""
        bench.row(
            f"warm CPU a message, {depth} in flight",
            f"loop {loop:.1f}, client {client:.1f} us",
            f"with the default limits the loop takes {limited:.1f}{bars}",
        )
    bench.findings.add(
        Table(
            "warm",
            "CPU of a single send when nothing waits for the disk, us a message",
            ["in flight", "the main loop", "with the default rate limit and loop guard", "the client"],
            rows,
            f"Minima of {_ROUNDS * turns} rounds. fdatasync does nothing here. The client sends a list.",
        )
    )


def main() -> None:
    """One measurement, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", required=True)
    parser.add_argument("--depth", type=int, default=_BAR_DEPTH)
    parser.add_argument("--rate-limit", type=int, default=0)
    parser.add_argument("--client", metavar="ADDRESS")
    parser.add_argument("--count", action="store_true")
    arguments = parser.parse_args()
    depth = arguments.depth
    if arguments.client:
        measure: Callable[[str, int], Any] = client_counts if arguments.count else client_us
        result = measure(arguments.client, depth)
    else:
        result = (loop_counts if arguments.count else loop_us)(arguments.directory, depth, arguments.rate_limit)
    json.dump(result, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # the files of the broker are the parent's to remove


if __name__ == "__main__":
    main()
