"""House: two checkouts of the project, measured in turns.

Rule: both sides are driven only from outside, by their `maestro` command, by HTTP and by one neutral client that
speaks the wire with pyzmq and msgpack, so that the client's code doesn't differ. A burst is also measured with each
side's own client library, in a process of that side's interpreter. Each side has a broker, a gateway and a data
directory of its own, and every measurement alternates between the sides, so that other load on the machine hits both.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import zmq

from bench.references import percentile
from support import scratch_dirs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TEXT = "x" * 512
RECEIVERS = 64
BATCH_MESSAGES = 64
_SETTINGS = {
    "MAESTRO_RATE_LIMIT": "0",
    "MAESTRO_PENDING_MAX": "1000000",  # no receiver reads what the bursts send
    "MAESTRO_HTTP": "1",
    "MAESTRO_HTTP_PORT": "0",
}
# Each command is compared with `python -c pass`, but for the hook, which is a shell script.
_BARE = {"sh -c :": "sh -c :", "hook without mail": "sh -c :", "hook without mail, of an agent": "sh -c :"}
_AFTER_TOOL = json.dumps({"session_id": "none", "hook_event_name": "PostToolUse", "cwd": "/"}).encode()
_ANSWER_S = 60.0
_FILED_S = 300.0

# Runs under the interpreter of a side: the modules are called differently in old and new checkouts.
_OWN_CLIENT = """\
import sys, time
try:
    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller
except ImportError:
    from maestro_clients.blocking import Client
    from maestro_clients.callers import Caller
router, sender, count, in_flight, batch, receivers, prefix = sys.argv[1:]
count, in_flight, batch, receivers = map(int, (count, in_flight, batch, receivers))
messages = ({"id": f"{prefix}{n}", "to": f"load_{n % receivers}", "message": "x" * 512} for n in range(count))
with Client(router, Caller(sender), timeout_s=60.0) as client:
    client.hello()
    if in_flight == 1:
        for n in range(count):
            began = time.perf_counter()
            client.send(f"load_{n % receivers}", "x" * 512)
            print((time.perf_counter() - began) * 1000)
    else:
        began = time.perf_counter()
        accepted = sum(r["status"] == 201 for r in client.pipeline(messages, in_flight=in_flight, batch=batch))
        assert accepted == count, accepted
        print(count / (time.perf_counter() - began))
"""


class Wire:
    """The neutral client: a DEALER socket that sends the four frames of M1."""

    def __init__(self, router: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.connect(router)

    def post(self, command: bytes, body: dict[str, Any]) -> None:
        """Send a request and don't wait for its reply."""
        self._socket.send_multipart([b"M1", b"1", command, msgpack.packb(body)])

    def reply(self) -> dict[str, Any]:
        """The next reply. Raises RuntimeError for an error, or when there is none within a minute."""
        if not self._socket.poll(int(_ANSWER_S * 1000)):
            raise RuntimeError("the broker does not answer")
        _, _, status, body = self._socket.recv_multipart()
        found: dict[str, Any] = msgpack.unpackb(body)
        if status >= b"400":
            raise RuntimeError(f"the broker refused: {found}")
        return found

    def ask(self, command: bytes, body: dict[str, Any]) -> dict[str, Any]:
        """One request and its reply."""
        self.post(command, body)
        return self.reply()

    def close(self) -> None:
        self._socket.close()


class Side:
    """One checkout with its own virtual environment (`.venv`), broker, gateway and data directory."""

    def __init__(
        self, label: str, checkout: str, base: str | None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.label = label
        self.python = os.path.join(os.path.abspath(checkout), ".venv", "bin", "python")
        self.maestro = os.path.join(os.path.dirname(self.python), "maestro")
        if not os.path.exists(self.maestro):
            raise SystemExit(f"{checkout} has no .venv/bin/maestro: run `just setup` there")
        self.scratch = scratch_dirs.make("mh-", base)
        scratch_dirs.spread(self.scratch)
        self.runtime = scratch_dirs.make("mhr-")
        self.home = os.path.join(self.scratch, "home")
        os.mkdir(self.home)
        data = os.path.join(self.scratch, "data")
        ignored = ("MAESTRO_", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "CLAUDE", "XDG_")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ignored)},
            **_SETTINGS,
            **(settings or {}),
            "HOME": self.home,
            "MAESTRO_DATA_DIR": data,
            "MAESTRO_RUNTIME_DIR": self.runtime,
            "MAESTRO_CONFIG": os.path.join(self.scratch, "config.toml"),  # there is none
        }
        started = json.loads(self._run("up", "--http-port", "0", "--json"))
        self.http = http.client.HTTPConnection(started["http"].removeprefix("http://").rstrip("/"), timeout=_ANSWER_S)
        with open(os.path.join(data, "endpoints"), encoding="utf-8") as file:
            self.endpoints = dict(line.rstrip("\n").split("=", 1) for line in file)
        self.wire = Wire(self.endpoints["router"])
        self._numbers = itertools.count()
        for session in ("boss", "worker", "idle", *(f"load_{number}" for number in range(RECEIVERS))):
            role = "orchestrator" if session == "boss" else "worker"
            self.wire.ask(b"session.start", {"id": session, "role": role})
        # Of its state a broker that watches states sends notices.
        self.wire.ask(b"session.start", {"id": "agent", "role": "worker", "agent": "claude-code"})
        self.hook = self._installed_hook()

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.maestro, *arguments],
            env=self.environ,
            cwd=self.scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.label}: maestro {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _installed_hook(self) -> str:
        """The shell line that Claude Code runs after a tool call."""
        self._run("hooks", "install", "claude-code")
        with open(os.path.join(self.home, ".claude", "settings.json"), encoding="utf-8") as file:
            line: str = json.load(file)["hooks"]["PostToolUse"][0]["hooks"][0]["command"]
        return line

    def next_id(self) -> str:
        """An id that no message of this side has."""
        return f"{self.label}_{next(self._numbers)}"

    def outgoing(self, to: str) -> dict[str, Any]:
        """A message with a new id."""
        return {"id": self.next_id(), "to": to, "message": TEXT}

    def send(self, to: str = "worker") -> str:
        """Send one message as the orchestrator; its id."""
        message = self.outgoing(to)
        result = self.wire.ask(b"send", {"messages": [message], "as": {"session": "boss"}})["results"][0]
        if result["status"] != 201:
            raise RuntimeError(f"{self.label}: {result}")
        accepted: str = result["id"]
        return accepted

    def cpu_us(self) -> tuple[float, float]:
        """The CPU time of the broker's main thread, and of its other threads: nearly all of that is filing."""
        pid = self.endpoints["pid"]
        times = {}
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                times[thread] = int(file.read().split()[0]) / 1000
        loop_us = times.pop(pid)
        return loop_us, sum(times.values())

    def mail_bytes(self) -> int:
        """What the mail with its links takes on the disk, in blocks."""
        found = 0
        for folder in ("by-receiver", "by-sender", "to"):
            for directory, _, names in os.walk(os.path.join(self.environ["MAESTRO_DATA_DIR"], "messages", folder)):
                found += os.lstat(directory).st_blocks
                found += sum(os.lstat(os.path.join(directory, name)).st_blocks for name in names)
        return found * 512

    def wait_until_filed(self) -> None:
        """Wait until every message is a file, so that the next measurement starts from the same state."""
        give_up_s = time.monotonic() + _FILED_S
        while self.wire.ask(b"stats", {})["stats"]["filingBacklog"]:
            if time.monotonic() > give_up_s:
                raise RuntimeError(f"{self.label}: the backlog is not filed after {_FILED_S:g} s")
            time.sleep(0.02)

    def process_ms(self, command: list[str], session: str | None = None, stdin: bytes = b"") -> float:
        """How long a process takes from its start to its end."""
        environ = self.environ if session is None else {**self.environ, "MAESTRO_SESSION_ID": session}
        began = time.perf_counter()
        done = subprocess.run(
            command, env=environ, cwd=self.scratch, input=stdin, stdout=subprocess.DEVNULL, check=False
        )
        took_ms = (time.perf_counter() - began) * 1000
        if done.returncode:
            raise RuntimeError(f"{self.label}: {command} ended with {done.returncode}")
        return took_ms

    def http_ms(self, method: str, path: str, body: dict[str, Any], session: str) -> tuple[float, dict[str, Any]]:
        """One request on the kept-alive connection: its time and the answer."""
        headers = {"Content-Type": "application/json", "X-Session-ID": session}
        raw = json.dumps(body)
        began = time.perf_counter()
        self.http.request(method, path, raw, headers)
        answer = self.http.getresponse()
        text = answer.read()
        took_ms = (time.perf_counter() - began) * 1000
        if answer.status >= 300:
            raise RuntimeError(f"{self.label}: {method} {path}: {answer.status} {text!r}")
        found: dict[str, Any] = json.loads(text)
        return took_ms, found

    def stop(self) -> None:
        """Stop the gateway and the broker, and remove the files."""
        self.http.close()
        self.wire.close()
        try:
            self._run("down")
        finally:
            scratch_dirs.remove(self.scratch)
            scratch_dirs.remove(self.runtime)


class Row(NamedTuple):
    """One measurement of both sides, as values by the side's label."""

    name: str
    values: dict[str, list[float]]
    # A rate is better when it is larger, a time when it is smaller.
    is_rate: bool
    # The same of a process that does nothing.
    bare: dict[str, list[float]] | None = None


class Sizes(NamedTuple):
    """How much is measured."""

    sends: int
    burst: int
    bursts: int
    processes: int
    requests: int


WHOLE = Sizes(sends=2_000, burst=20_000, bursts=5, processes=40, requests=1_000)
SHORT = Sizes(sends=20, burst=200, bursts=1, processes=2, requests=10)


def house(against: str, ours: str, base: str | None = None, sizes: Sizes = WHOLE) -> list[Row]:
    """Measure the checkout `ours` beside the checkout `against` and print the table."""
    sides: list[Side] = []
    rows: list[Row] = []
    try:
        sides = [Side("before", against, base)]
        sides.append(Side("after", ours, base))
        print("times: p50 / p99 (minimum); rates: median (best); then after divided by before, of both", flush=True)
        print(f"{'':<42}{'before':>30}{'after':>30}{'p50':>8}{'best':>8}", flush=True)
        for row in _rows(sides, sizes):
            rows.append(row)
            print(text(row), flush=True)
    finally:
        for side in sides:
            side.stop()
    return rows


def _rows(sides: list[Side], sizes: Sizes) -> Iterator[Row]:
    # Ten at a time, since after each change of side the first send meets cold caches.
    yield _in_turns("send, one client, idle: ms", sides, sizes.sends // 10, _sends(10))
    yield _in_turns(
        "  by its own library: ms",
        sides,
        sizes.bursts,
        lambda side: _own(side, sizes.sends // 4, in_flight=1, batch=1),
    )
    for name, in_flight, batch in (
        ("burst, 64 singles in flight: /s", 64, 1),
        ("burst, 256 in flight, batched by 64: /s", 256, BATCH_MESSAGES),
    ):
        count = sizes.burst * (3 if batch > 1 else 1)
        yield _in_turns(name, sides, sizes.bursts, _burst(count, in_flight, batch), is_rate=True)
        yield _in_turns(
            "  by its own library: /s", sides, sizes.bursts, _own_burst(count, in_flight, batch), is_rate=True
        )
    yield from _burst_costs(sides, sizes)
    yield from _processes(sides, sizes.processes)
    yield _in_turns("a hook and a send: CPU of the loop, us", sides, sizes.bursts, _hook_costs(sizes.processes))
    yield _in_turns("REST POST, kept alive: ms", sides, sizes.requests // 10, _posts(10))
    yield _in_turns("REST PATCH (read), kept alive: ms", sides, sizes.requests // 10, _patches(10))


def _in_turns(
    name: str, sides: list[Side], turns: int, measure: Callable[[Side], list[float]], *, is_rate: bool = False
) -> Row:
    """`turns` measurements of each side; the side that begins alternates. The first of each is not counted."""
    values: dict[str, list[float]] = {side.label: [] for side in sides}
    for turn in range(turns + 1):
        for side in sides if turn % 2 else reversed(sides):
            measured = measure(side)
            if turn:
                values[side.label] += measured
    return Row(name, values, is_rate)


def _sends(count: int) -> Callable[[Side], list[float]]:
    def measure(side: Side) -> list[float]:
        times = []
        for _ in range(count):
            began = time.perf_counter()
            side.send()
            times.append((time.perf_counter() - began) * 1000)
        return times

    return measure


def _burst_costs(sides: list[Side], sizes: Sizes) -> Iterator[Row]:
    """What a message of a burst costs the broker: CPU of the loop and of the filing, and blocks on the disk."""
    rows = [
        Row(f"{name} a message", {side.label: [] for side in sides}, is_rate=False)
        for name in ("64 singles: CPU of the loop, us", "  CPU of the filing, us", "  bytes on the disk")
    ]
    burst = _burst(sizes.burst, 64, 1)
    for turn in range(sizes.bursts + 1):
        for side in sides if turn % 2 else reversed(sides):
            loop_us, filing_us = side.cpu_us()
            before_bytes = side.mail_bytes()
            burst(side)
            now_us = side.cpu_us()
            costs = (now_us[0] - loop_us, now_us[1] - filing_us, side.mail_bytes() - before_bytes)
            for row, cost in zip(rows, costs, strict=True):
                row.values[side.label] += [cost / sizes.burst] if turn else []
    yield from rows


def _burst(count: int, in_flight: int, batch: int) -> Callable[[Side], list[float]]:
    """Messages per second of the neutral client."""

    def measure(side: Side) -> list[float]:
        messages = [side.outgoing(f"load_{number % RECEIVERS}") for number in range(count)]
        requests = [
            {"messages": messages[at : at + batch], "as": {"session": "boss"}} for at in range(0, count, batch)
        ]
        ahead = in_flight // batch
        accepted = 0
        began = time.perf_counter()
        for number in range(len(requests) + ahead):
            if number >= ahead:
                accepted += sum(result["status"] == 201 for result in side.wire.reply()["results"])
            if number < len(requests):
                side.wire.post(b"send", requests[number])
        took_s = time.perf_counter() - began
        if accepted != count:
            raise RuntimeError(f"{side.label}: {accepted} of {count} accepted")
        side.wait_until_filed()
        return [count / took_s]

    return measure


def _own_burst(count: int, in_flight: int, batch: int) -> Callable[[Side], list[float]]:
    return lambda side: _own(side, count, in_flight=in_flight, batch=batch)


def _own(side: Side, count: int, *, in_flight: int, batch: int) -> list[float]:
    """The side's own client library in a process of its own: times in ms for one in flight, else a rate."""
    given = [side.endpoints["router"], "boss", count, in_flight, batch, RECEIVERS, f"own_{side.next_id()}_"]
    done = subprocess.run(
        [side.python, "-c", _OWN_CLIENT, *map(str, given)],
        env=side.environ,
        cwd=side.scratch,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    side.wait_until_filed()
    return [float(line) for line in done.stdout.splitlines()]


def _processes(sides: list[Side], turns: int) -> Iterator[Row]:
    """Whole processes. All commands are run in each turn, so that a slow minute hits all of them."""
    commands: dict[str, Callable[[Side], float]] = {
        "python -c pass": lambda side: side.process_ms([side.python, "-c", "pass"]),
        "inbox --quiet": lambda side: side.process_ms([side.maestro, "inbox", "--quiet"], "idle"),
        "send": lambda side: side.process_ms(
            [side.maestro, "send", "--to", "worker", "--message", "Review PR in task_456"], "boss"
        ),
        "message reply": lambda side: side.process_ms(
            [side.maestro, "message", "reply", side.send(), "--message", "Done."], "worker"
        ),
        "session list": lambda side: side.process_ms([side.maestro, "session", "list"], "worker"),
        "message read": lambda side: side.process_ms([side.maestro, "message", "read", side.send()], "worker"),
        "status": lambda side: side.process_ms([side.maestro, "status"], "worker"),
        "sh -c :": lambda side: side.process_ms(["/bin/sh", "-c", ":"], stdin=_AFTER_TOOL),
        "hook without mail": lambda side: side.process_ms(["/bin/sh", "-c", side.hook], "idle", _AFTER_TOOL),
        "hook without mail, of an agent": lambda side: side.process_ms(
            ["/bin/sh", "-c", side.hook], "agent", _AFTER_TOOL
        ),
    }
    values: dict[str, dict[str, list[float]]] = {name: {side.label: [] for side in sides} for name in commands}
    for turn in range(turns + 1):
        for name, run in commands.items():
            for side in sides if turn % 2 else reversed(sides):
                took_ms = run(side)
                if turn:  # the first writes the bytecode
                    values[name][side.label].append(took_ms)
    for name, taken in values.items():
        bare = _BARE.get(name, "python -c pass")
        yield Row(f"process: {name}: ms", taken, is_rate=False, bare=None if name == bare else values[bare])


def _hook_costs(count: int) -> Callable[[Side], list[float]]:
    """What the broker's main thread does for a hook without mail, of whose sign it hears, and for a send."""

    def measure(side: Side) -> list[float]:
        before_us, _ = side.cpu_us()
        for _ in range(count):
            side.process_ms(["/bin/sh", "-c", side.hook], "agent", _AFTER_TOOL)
            side.send()
        return [(side.cpu_us()[0] - before_us) / count]

    return measure


def _posts(count: int) -> Callable[[Side], list[float]]:
    return lambda side: [
        side.http_ms("POST", "/api/sessions/worker/messages", {"message": TEXT}, "boss")[0] for _ in range(count)
    ]


def _patches(count: int) -> Callable[[Side], list[float]]:
    def measure(side: Side) -> list[float]:
        ids = [side.send() for _ in range(count)]
        return [side.http_ms("PATCH", f"/api/messages/{one}", {"status": "read"}, "worker")[0] for one in ids]

    return measure


def text(row: Row) -> str:
    cells, middles, bests, over = [], [], [], []
    for label, values in row.values.items():
        ordered = sorted(values)
        p50, p99 = percentile(ordered, 0.5), percentile(ordered, 0.99)
        best = ordered[-1] if row.is_rate else ordered[0]
        cells.append(f"{p50:,.0f} (best {best:,.0f})" if row.is_rate else f"{p50:.3f} / {p99:.3f} ({best:.3f})")
        middles.append(p50)
        bests.append(best)
        if row.bare is not None:
            bare = sorted(row.bare[label])
            over.append(f"{p50 - percentile(bare, 0.5):.1f} ({best - bare[0]:.1f})")
    note = f"; over bare: {' -> '.join(over)} ms" if over else ""
    return (
        f"{row.name:<42}{cells[0]:>30}{cells[1]:>30}{middles[1] / middles[0]:>8.2f}{bests[1] / bests[0]:>8.2f}"
        f"  n={len(values)}{note}"
    )


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """Every measured value, for another look at them."""
    return [{"name": row.name, "is_rate": row.is_rate, "values": row.values} for row in rows]
