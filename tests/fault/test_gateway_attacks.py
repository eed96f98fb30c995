"""Attacks on the gateway: their cost for clients that send by IPC, and whether the gateway still answers afterwards.

Rule: the figures without and with the attack come from the same run and are printed together. The test asserts
behaviour, and a ratio that a busy machine does not exceed; it never asserts seconds.
"""

from __future__ import annotations

import collections
import contextlib
import select
import statistics
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support import wire_http
from support.gateways import Gateway
from support.wire_http import connect, head, read

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from support.post_office import PostOffice

SENDS = 1_000
# The ratio of the medians. The attackers are threads of the measuring process, and use a part of its two processors.
RATIO_MAX = 25.0
POST = head("/api/sessions", b"Content-Type: application/json", b"Content-Length: 1000000000", method="POST")
CHUNKED = head("/api/sessions", b"Content-Type: application/json", b"Transfer-Encoding: chunked", method="POST")


class Latency(NamedTuple):
    """The latency of sends by IPC, in milliseconds."""

    median_ms: float
    worst_ms: float

    def __str__(self) -> str:
        return f"median {self.median_ms:.2f} ms, worst {self.worst_ms:.1f} ms"


def measure(office: PostOffice) -> Latency:
    """Send messages one after the other. The broker answers each when it is on disk."""
    took_ms = []
    with office.client("ann") as client:
        for number in range(SENDS):
            began_s = time.perf_counter()
            client.send("bob", f"message {number}")
            took_ms.append((time.perf_counter() - began_s) * 1_000)
    return Latency(statistics.median(took_ms), max(took_ms))


@contextlib.contextmanager
def repeated(attack: Callable[[], int]) -> Iterator[list[int]]:
    """Repeat `attack` in a thread until the block ends. Yields the results of its rounds."""
    is_over, has_begun = threading.Event(), threading.Event()
    rounds: list[int] = []

    def run() -> None:
        while not is_over.is_set():
            rounds.append(attack())
            has_begun.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert has_begun.wait(60), "the attack did not begin"
        yield rounds
    finally:
        is_over.set()
        thread.join(60)
        assert not thread.is_alive()


def bodies(gateway: Gateway) -> Iterator[Callable[[], int]]:
    """Bodies of a gigabyte, with Content-Length and chunked, sent until the gateway stops reading."""
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"

    def attack() -> int:
        for top in (POST, CHUNKED):
            with connect(gateway) as wire:
                wire.sendall(top)
                try:
                    for _ in range(16_000):
                        wire.sendall(chunk)
                except ConnectionError:
                    pass
                else:
                    raise AssertionError("the gateway has read a gigabyte")
                assert read(wire).status == 413
        return 2

    yield attack


def slow_heads(gateway: Gateway) -> Iterator[Callable[[], int]]:
    """200 connections that send their request heads one byte at a time, and are reopened when they are closed."""
    wires: dict[socket.socket, Iterator[int]] = {connect(gateway): iter(()) for _ in range(200)}
    drip = head("/health/live", b"X: " + b"x" * 1_000)

    def attack() -> int:
        for wire in list(wires):
            byte = next(wires[wire], None)
            try:
                wire.sendall(drip[:1] if byte is None else bytes((byte,)))
                if byte is None:
                    wires[wire] = iter(tuple(drip[1:]))
            except ConnectionError:
                wire.close()
                del wires[wire]
                wires[connect(gateway)] = iter(())
        return len(wires)

    yield attack
    for wire in wires:
        wire.close()


def idle(gateway: Gateway) -> Iterator[Callable[[], int]]:
    """1,000 connections that send nothing."""
    wires = [connect(gateway) for _ in range(1_000)]
    poller = select.poll()  # not select(), which can't take a descriptor above 1,023
    for wire in wires:
        poller.register(wire, select.POLLIN)

    def attack() -> int:
        assert poller.poll(50) == [], "the gateway closed one too early"
        return len(wires)

    yield attack
    for wire in wires:
        wire.close()


def connects(gateway: Gateway) -> Iterator[Callable[[], int]]:
    """1,000 idle connections that are reopened one after the other, as fast as possible."""
    wires = collections.deque(connect(gateway) for _ in range(1_000))

    def attack() -> int:
        wires.popleft().close()
        wires.append(connect(gateway))
        return 1

    yield attack
    for wire in wires:
        wire.close()


def bad_requests(gateway: Gateway) -> Iterator[Callable[[], int]]:
    """Invalid requests, as fast as possible."""
    kinds = (
        b"\0garbage\r\n\r\n",
        head(host=b"Host: b.example\r\n"),
        head("/%00"),
        head("/x", b"X: " + b"x" * 40_000),
    )

    def attack() -> int:
        for raw in kinds:
            with connect(gateway) as wire:
                wire.sendall(raw)
                assert 400 <= read(wire).status < 500
        return len(kinds)

    yield attack


@pytest.mark.parametrize("kind", [bodies, slow_heads, idle, connects, bad_requests])
def test_an_attack_on_the_gateway(
    open_office: PostOffice,
    capsys: pytest.CaptureFixture[str],
    kind: Callable[[Gateway], Iterator[Callable[[], int]]],
) -> None:
    """Sends by IPC continue, the gateway's memory does not grow, and it answers during and after the attack."""
    with Gateway(open_office) as gateway:
        assert gateway.ask("GET", "/health").status == 200
        quiet = measure(open_office)
        before = resident_bytes(gateway.pid)
        with contextlib.contextmanager(kind)(gateway) as attack, repeated(attack) as rounds:
            attacked = measure(open_office)
            asked_s = time.perf_counter()
            assert gateway.ask("GET", "/health", timeout_s=wire_http.WAIT_S).status == 200
            answer_ms = (time.perf_counter() - asked_s) * 1_000
        grown = resident_bytes(gateway.pid) - before
        assert gateway.ask("GET", "/health").status == 200
    with capsys.disabled():
        print(
            f"\n{kind.__name__}: by IPC quiet {quiet}; attacked {attacked}; "
            f"GET /health under attack {answer_ms:.0f} ms; {len(rounds)} rounds of {rounds[0]}; "
            f"memory {grown / (1 << 20):+.1f} MiB"
        )
    assert attacked.median_ms < quiet.median_ms * RATIO_MAX
    assert grown < 128 << 20


def resident_bytes(pid: int) -> int:
    """The resident memory of a process (proc(5))."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4_096
