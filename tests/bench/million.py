"""A million filed messages: what a delivery costs on the way to them, and what a start, a first reading, a thousand
watchers and a whole sweep cost then.

Rule: made through the real broker, as unread mail; each figure stands beside the same one of an empty or a small
post office, or beside its bar. Not part of a bare `just bench`: it makes two million files.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import zmq

from bench.filling import TYPICAL, fill, mailbox, until_filed
from bench.findings import Table
from bench.references import percentile
from bench.scale import Office, Sender, control_of, end, report, small_office
from bench.sweep import swept
from maestro_clients.processes import broker_process
from maestro_clients.protocol.codec import encoder
from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.events import TOPIC_SEPARATOR

if TYPE_CHECKING:
    from typing import Self

    from bench.run import Bench
    from bench.scale import Point

PART = "million"
STORED = (1, 1_000, 10_000, 100_000, 1_000_000)
MAILBOXES = 1_000
# A checkpoint comes after 30,000 records, or 10 s: nearly the longest tail of the journal that there can be.
TAIL = 28_000
RESIDENT_MAX_MB = 300
# Of the measured sends. Each gets mail first.
_RECEIVERS = 10
# What a sweep over all of it removes.
_OLD_SHARE = 50


def _mailboxes(bench: Bench) -> int:
    return max(100, min(MAILBOXES, bench.messages // 100))


def million(bench: Bench) -> None:
    """Fill, restart, look, and sweep."""
    empty_s = _start_to_first_send(bench)
    _filled(bench)
    curve = next(place for place, row in enumerate(bench.rows) if row[0].endswith("mailboxes"))
    for how in ("stopped", "killed"):
        with Heads(bench) as heads:
            if how == "killed":
                fill(bench, min(TAIL, bench.messages), _mailboxes(bench))  # for the journal to give back
            _end(bench, how)
            first_s = _start_to_first_send(bench)
            heads_s = heads.wait_for_all(60.0)
        bench.figures |= {f"million_first_send_{how}_s": first_s, f"million_heads_{how}_s": heads_s}
        bench.row(
            f"start after it was {how}, to the first send",
            f"{first_s:.2f} s",
            f"{first_s / empty_s:.1f} x the empty directory's; bar 1; resident {_resident_mib(bench):.0f} MiB",
        )
        bench.row(f"  {_mailboxes(bench):,} watchers have their heads after", f"{heads_s:.2f} s", "bar 5")
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
    asked = f"all {_mailboxes(bench):,} inboxes asked for at once, answered"
    bench.row(asked, f"{all_s:.1f} s", "10 messages of each")
    resident, most = _resident_mib(bench), _resident_mib(bench, "VmHWM:")
    bench.figures |= {
        "million_all_inboxes_s": all_s,
        "million_resident_mib": resident,
        "million_resident_max_mib": most,
    }
    bench.row("resident memory after all this, and the most", f"{resident:.0f} / {most:.0f} MiB", "bar 300")
    found = swept(bench, max(bench.messages // _OLD_SHARE, 100))
    bench.figures |= {"million_sweep_s": found.seconds, "million_sweep_added_worst_ms": found.added_ms}
    is_whole = found.is_whole and found.looked_at >= bench.messages
    bench.figures |= {"million_sweep_looked_at": found.looked_at, "million_sweep_whole": float(is_whole)}
    bench.findings.add(Table(PART, "As it was printed", ["", "", ""], [list(row) for row in bench.rows[curve:]]))


def _filled(bench: Bench) -> None:
    """All the mail, in steps; at each, what a delivery costs by the sender that has sent it all."""
    large, small = Office(bench.data, bench.endpoints), small_office(bench)
    points: list[Point] = []
    stored, accept_s = 0, 0.0
    sizes = [size for size in STORED if size < bench.messages]
    try:
        with small.client("one_a") as client:
            control = control_of(bench, small, client)
            for size in (*sizes, bench.messages):
                made, took_s = fill(bench, size - stored, _mailboxes(bench))
                stored, accept_s = stored + made, accept_s + took_s
                lag_s = until_filed(bench)
                with large.client("filler") as filler:
                    sender = Sender(large, [("filler", filler)], [mailbox(number) for number in range(_RECEIVERS)])
                    sender.send(TYPICAL, _RECEIVERS)
                    points.append(control.point(size, sender))
    finally:
        end(small)
    most = _resident_mib(bench, "VmHWM:") * 1024 * 1024 / 1e6
    report(bench, PART, "stored messages", points)
    bench.figures |= {"million_accepted_per_s": stored / accept_s, "million_accepting_resident_max_mb": most}
    filed = f"the last of them filed {lag_s:.0f} s later"
    bench.row(f"{stored:,} messages to {_mailboxes(bench):,} mailboxes", f"{stored / accept_s:,.0f} /s", filed)
    bench.row("  resident meanwhile, at the most", f"{most:.0f} MB", f"bar {RESIDENT_MAX_MB}")


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
        self._context.set(zmq.MAX_SOCKETS, 2 * _mailboxes(bench))
        self._poller = zmq.Poller()
        self._waiting: set[zmq.Socket[bytes]] = set()
        for number in range(_mailboxes(bench)):
            socket = self._context.socket(zmq.SUB)
            socket.setsockopt(zmq.RECONNECT_IVL, 20)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(bench.endpoints.notices)
            socket.subscribe(f"{mailbox(number)}{TOPIC_SEPARATOR}")
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
        page = operator.inbox(session=mailbox(number), limit=50)
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
    for number in range(_mailboxes(bench)):
        body = encoder()({"as": {}, "session": mailbox(number), "limit": 10})
        dealer.send_multipart((PROTOCOL_HEADER, str(number).encode(), b"inbox", body))
    for _ in range(_mailboxes(bench)):
        assert dealer.poll(60_000), "an inbox was not answered"
        assert dealer.recv_multipart()[2] == b"200"
    took_s = time.monotonic() - began
    dealer.close()
    context.term()
    return took_s


def _read_on(bench: Bench, stop: threading.Event) -> None:
    with bench.client() as operator:
        for number in range(21, _mailboxes(bench)):
            if stop.is_set():
                return
            operator.inbox(session=mailbox(number), limit=1_000)


def _resident_mib(bench: Bench, field: str = "VmRSS:") -> float:
    with open(f"/proc/{bench.endpoints.pid}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) / 1024
