"""The blocking client's end of a local connection, with a peer that does not read for a while."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from maestro_clients.channel.core import RESEND_AFTER_S
from maestro_clients.channel.sync_channel import SyncChannel
from maestro_clients.transports.unix import open_at
from maestro_wire import zmtp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY = bytes(10_000)


class SlowRouter:
    """A ROUTER that completes the handshake, and reads only on demand."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen()
        self._peer: socket.socket | None = None
        self._link = zmtp.ZmtpConnection(zmtp.ROUTERS_PEERS, 1 << 20)

    def greet(self) -> None:
        self._peer, _ = self._listener.accept()
        self._peer.sendall(zmtp.ROUTER_OPENING)
        self._peer.setblocking(False)

    def requests(self, count: int, meanwhile: Callable[[], object]) -> list[bytes]:
        """The ids of at least `count` requests; more if more arrived with the last read."""
        assert self._peer is not None
        while len(self._link.messages) < count:
            with contextlib.suppress(BlockingIOError):
                self._link.receive(self._peer.recv(1 << 18))
            meanwhile()
        return [frames[1] for frames in self._link.messages]

    def close(self) -> None:
        self._listener.close()
        if self._peer is not None:
            self._peer.close()


@pytest.fixture
def slow_router(tmp_path: Path) -> Iterator[SlowRouter]:
    made = SlowRouter(str(tmp_path / "s"))
    try:
        yield made
    finally:
        made.close()


def test_unsent_data_is_not_copied_for_each_new_request(slow_router: SlowRouter) -> None:
    """Such copies took 5 s for 1,000 requests of 10 kB to a broker that stood still for 1 s."""
    transport = open_at(slow_router.path)
    assert transport is not None
    slow_router.greet()
    while not transport._zmtp.ready:
        transport.receive(1.0)
    for number in range(500):
        transport.send((b"M1", b"%d" % number, b"send", BODY))
    tracemalloc.start()
    try:
        for number in range(500, 510):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            transport.send((b"M1", b"%d" % number, b"send", BODY))
            _, most = tracemalloc.get_traced_memory()
            # The bytearray grows by an eighth from time to time, and is then moved.
            assert most - before < 2 << 20
    finally:
        tracemalloc.stop()
    assert slow_router.requests(510, lambda: transport.receive(0.0)) == [b"%d" % number for number in range(510)]
    assert not transport.holds_back
    transport.close()


def test_unsent_requests_are_not_repeated(slow_router: SlowRouter) -> None:
    channel = SyncChannel(f"ipc://{slow_router.path}")
    began_s = time.monotonic()
    ids = [channel.post("send", BODY, 60.0) for _ in range(300)]
    slow_router.greet()
    while time.monotonic() < began_s + RESEND_AFTER_S * 1.5:
        channel.pump(None)
    assert slow_router.requests(300, lambda: channel.pump(0.0)) == ids
    channel.close()


def test_a_spin_in_vain_is_part_of_the_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wait of 10 ms that spins for 8 sleeps for the rest, and one that spins for all of it does not sleep."""
    router = SlowRouter(str(tmp_path / "r"))
    transport = open_at(router.path)
    assert transport is not None
    slept_ms: list[int] = []

    class Poller:
        def poll(self, wait_ms: int) -> list[object]:
            if wait_ms:
                slept_ms.append(wait_ms)
            return []

    clock = itertools.count(0.0, 0.001)
    monkeypatch.setattr(transport, "_poller", Poller())
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with contextlib.closing(router), contextlib.closing(transport.socket):
        assert transport.receive(0.010, 0.008) == []
        assert slept_ms == [3], "rounded up"
        assert transport.receive(0.008, 0.010) == []
        assert slept_ms == [3]
