"""A million filed messages: what a start, a first reading, and a thousand watchers cost then.

Rule: made through the real broker, as unread mail; each figure stands beside the same one of an empty
post office, or beside its bar. Not part of a bare `just bench`: it makes two million files.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

import zmq

from bench.references import percentile
from maestro_clients.client import Client
from maestro_clients.processes import broker_process
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.codec import encoder
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.events import TOPIC_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from bench.run import Bench
    from maestro_clients.processes.broker_process import Endpoints

MAILBOXES = 1_000
BATCH = 256
# A checkpoint comes after 50,000 records, or 10 s: nearly the longest tail of the journal that there can be.
TAIL = 45_000
# A report of some lines, as agents write them.
TYPICAL = "The tests of task_456 pass; two remarks on the parser are in the review, the second one matters. " * 3
_BUSY = frozenset({429, 503})


def million(bench: Bench) -> None:
    """Fill, restart, and look."""
    empty_s = _start_to_first_send(bench)
    made, took_s = fill(bench, bench.messages, MAILBOXES)
    lag_s = until_filed(bench)
    bench.row(
        f"{made:,} messages to {MAILBOXES:,} mailboxes",
        f"{made / took_s:,.0f} /s",
        f"filed {lag_s:.0f} s later; resident {_resident_mib(bench):.0f} MiB",
    )
    for how in ("stopped", "killed"):
        with Heads(bench) as heads:
            if how == "killed":
                fill(bench, min(TAIL, bench.messages), MAILBOXES)  # for the journal to give back
            _end(bench, how)
            first_s = _start_to_first_send(bench)
            heads_s = heads.wait_for_all(60.0)
        bench.figures |= {f"million_first_send_{how}_s": first_s, f"million_heads_{how}_s": heads_s}
        bench.row(
            f"start after it was {how}, to the first send",
            f"{first_s:.2f} s",
            f"{first_s / empty_s:.1f} x the empty directory's; bar 1; resident {_resident_mib(bench):.0f} MiB",
        )
        bench.row(f"  {MAILBOXES:,} watchers have their heads after", f"{heads_s:.2f} s", "bar 5")
    until_filed(bench)
    first_ms = sorted(_inbox_ms(bench, number) for number in range(1, 21))
    again_ms = sorted(_inbox_ms(bench, number) for number in range(1, 21))
    bench.figures |= {"million_inbox_p50_ms": first_ms[10], "million_inbox_worst_ms": first_ms[-1]}
    bench.row(
        "first inbox of a mailbox, p50 / worst of 20",
        f"{first_ms[10]:.0f} / {first_ms[-1]:.0f} ms",
        f"again, from memory: {again_ms[10]:.1f} ms; bar 100",
    )
    bench.row("  then resident", f"{_resident_mib(bench):.0f} MiB", "bar 300")
    quiet = _sends_ms(bench, 500)
    stop = threading.Event()
    reading = threading.Thread(target=_read_on, args=(bench, stop))
    reading.start()
    busy = _sends_ms(bench, 500)
    stop.set()
    reading.join()
    bench.figures |= {"million_send_p99_ms": percentile(busy, 0.99)}
    bench.row(
        "send beside readings of whole mailboxes, p50 / p99",
        f"{percentile(busy, 0.5):.2f} / {percentile(busy, 0.99):.2f} ms",
        f"without: {percentile(quiet, 0.5):.2f} / {percentile(quiet, 0.99):.2f} ms; bar p99 20",
    )
    all_s = _all_inboxes_s(bench)
    bench.row(f"all {MAILBOXES:,} inboxes asked for at once, answered", f"{all_s:.1f} s", "10 messages of each")
    resident, most = _resident_mib(bench), _resident_mib(bench, "VmHWM:")
    bench.figures |= {
        "million_all_inboxes_s": all_s,
        "million_resident_mib": resident,
        "million_resident_max_mib": most,
    }
    bench.row("resident memory after all this, and the most", f"{resident:.0f} / {most:.0f} MiB", "bar 300")


def disk_use(bench: Bench) -> None:
    """What a typical message takes on the disk, all its files counted."""
    made, _ = fill(bench, bench.messages, 100)
    until_filed(bench)
    bench.stop()
    text_bytes = len(TYPICAL.encode())
    whole = (0, 0)
    for part in ("messages/by-receiver", "messages/by-sender", "timeline", "messages/journal"):
        content, allocated = tree_bytes(os.path.join(bench.data, part))
        if part != "messages/journal":  # preallocated, and of one size however much mail there is
            whole = (whole[0] + content, whole[1] + allocated)
        bench.row(f"disk: {part}", f"{content / made:,.0f} bytes each", f"{allocated / made:,.0f} allocated")
    beyond = whole[0] / made - text_bytes
    bench.figures |= {"disk_content_bytes": whole[0] / made, "disk_allocated_bytes": whole[1] / made}
    bench.row(
        f"disk: each of {made:,} messages, text {text_bytes} bytes",
        f"{whole[0] / made:,.0f} bytes",
        f"{beyond:,.0f} beyond the text, bar about 1,024; {whole[1] / made:,.0f} allocated in blocks",
    )


class Served(Protocol):
    """A post office with a broker that runs."""

    @property
    def endpoints(self) -> Endpoints: ...
    def client(self, session: str | None = None) -> Client: ...


def fill(bench: Served, count: int, mailboxes: int) -> tuple[int, float]:
    """Send `count` typical messages in batches to the mailboxes in turn; how many were accepted, and seconds."""
    with bench.client() as operator:
        operator.start_session("filler", role="orchestrator")
        for number in range(mailboxes):
            operator.start_session(_name(number))
    accepted = 0
    began = time.monotonic()
    with Client(bench.endpoints.router, Caller("filler"), timeout_s=60.0) as client:
        client.hello()
        waiting: list[Any] = []
        fresh: Iterator[Any] = (
            {"id": new_message_id(), "to": _name(number % mailboxes), "message": TYPICAL} for number in range(count)
        )
        while True:
            while len(waiting) < BATCH and (new := next(fresh, None)) is not None:
                waiting.append(new)
            if not waiting:
                return accepted, time.monotonic() - began
            results = client.send_many(waiting)
            again = [one for one, result in zip(waiting, results, strict=True) if result["status"] in _BUSY]
            accepted += sum(result["status"] == 201 for result in results)
            if again:
                time.sleep(0.25)
            waiting = again


def until_filed(bench: Served, timeout_s: float = 1_200.0) -> float:
    """Seconds until every message is a file."""
    began = time.monotonic()
    with bench.client() as client:
        while client.stats()["filingBacklog"] and time.monotonic() - began < timeout_s:
            time.sleep(0.1)
    return time.monotonic() - began


def tree_bytes(root: str) -> tuple[int, int]:
    """Bytes of content and bytes allocated of all files and folders below; a short link's target is in its inode."""
    content = allocated = 0
    for directory, _, names in os.walk(root):
        allocated += os.lstat(directory).st_blocks * 512
        for name in names:
            status = os.lstat(os.path.join(directory, name))
            content += status.st_size
            allocated += status.st_blocks * 512
    return content, allocated


class Heads:
    """A subscription for each mailbox, which a restart of the broker breaks and libzmq makes again."""

    def __init__(self, bench: Bench) -> None:
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 2 * MAILBOXES)
        self._poller = zmq.Poller()
        self._waiting: set[zmq.Socket[bytes]] = set()
        for number in range(MAILBOXES):
            socket = self._context.socket(zmq.SUB)
            socket.setsockopt(zmq.RECONNECT_IVL, 20)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(bench.endpoints.notices)
            socket.subscribe(f"{_name(number)}{TOPIC_SEPARATOR}")
            self._poller.register(socket, zmq.POLLIN)
            self._waiting.add(socket)
        self._sockets = list(self._waiting)
        self.wait_for_all(60.0)
        self._waiting = set(self._sockets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for socket in self._sockets:
            socket.close()
        self._context.term()

    def wait_for_all(self, timeout_s: float) -> float:
        """Seconds until each has heard its head; infinite if some never did."""
        began = time.monotonic()
        while self._waiting:
            if time.monotonic() - began > timeout_s:
                return float("inf")
            for socket, _ in self._poller.poll(100):
                socket.recv_multipart()
                self._waiting.discard(socket)
        return time.monotonic() - began


def _name(number: int) -> str:
    return f"many_{number}"


def _end(bench: Bench, how: str) -> None:
    """Stop the broker, or kill it; and wait until it is gone."""
    pid = bench.endpoints.pid
    end = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGTERM)
    poller = zmq.Poller()
    poller.register(end, zmq.POLLIN)
    poller.poll(60_000)
    os.close(end)


def _start_to_first_send(bench: Bench) -> float:
    """Seconds from the start of a broker's process, unless one runs, to its first `accepted`."""
    if broker_process.find(bench.data) is not None:
        with bench.client() as operator:
            operator.start_session("first_a", role="orchestrator")
            operator.start_session("first_b")
        _end(bench, "stopped")
    began = time.monotonic()
    bench.endpoints = broker_process.ensure(bench.data, bench.environ, autostart=True)
    with bench.client("first_a") as client:
        client.send("first_b", TYPICAL)
    return time.monotonic() - began


def _inbox_ms(bench: Bench, number: int) -> float:
    with bench.client() as operator:
        operator.hello()
        began = time.perf_counter()
        page = operator.inbox(session=_name(number), limit=50)
        assert page["count"] > 0
        return (time.perf_counter() - began) * 1000


def _sends_ms(bench: Bench, count: int) -> list[float]:
    times = []
    with bench.client("first_a") as client:
        client.hello()
        for _ in range(count):
            began = time.perf_counter()
            client.send("first_b", TYPICAL)
            times.append((time.perf_counter() - began) * 1000)
    return sorted(times)


def _all_inboxes_s(bench: Bench) -> float:
    """Seconds until every mailbox was answered for, when all are asked for at once."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.LINGER, 0)
    dealer.connect(bench.endpoints.router)
    began = time.monotonic()
    for number in range(MAILBOXES):
        body = encoder()({"as": {}, "session": _name(number), "limit": 10})
        dealer.send_multipart((PROTOCOL_HEADER, str(number).encode(), b"inbox", body))
    for _ in range(MAILBOXES):
        assert dealer.poll(60_000), "an inbox was not answered"
        assert dealer.recv_multipart()[2] == b"200"
    took_s = time.monotonic() - began
    dealer.close()
    context.term()
    return took_s


def _read_on(bench: Bench, stop: threading.Event) -> None:
    with bench.client() as operator:
        for number in range(21, MAILBOXES):
            if stop.is_set():
                return
            operator.inbox(session=_name(number), limit=1_000)


def _resident_mib(bench: Bench, field: str = "VmRSS:") -> float:
    with open(f"/proc/{bench.endpoints.pid}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) / 1024
