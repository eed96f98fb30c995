"""The blocking client's end of a local connection, at a peer that does not read for a while."""

from __future__ import annotations

import contextlib
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


class Reluctant:
    """A ROUTER that greets, and reads only when the test asks."""

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
        """The ids of `count` requests, or more if more arrived with the last."""
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
def reluctant(tmp_path: Path) -> Iterator[Reluctant]:
    made = Reluctant(str(tmp_path / "s"))
    try:
        yield made
    finally:
        made.close()


def test_what_is_unsent_is_not_copied_for_each_request_more(reluctant: Reluctant) -> None:
    """A thousand in flight of 10 kB, at a broker that stood still for a second, were five seconds of copying."""
    plug = open_at(reluctant.path)
    assert plug is not None
    reluctant.greet()
    while not plug._zmtp.ready:
        plug.receive(1.0)
    for number in range(500):
        plug.send((b"M1", b"%d" % number, b"send", BODY))
    tracemalloc.start()
    try:
        for number in range(500, 510):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            plug.send((b"M1", b"%d" % number, b"send", BODY))
            _, most = tracemalloc.get_traced_memory()
            # Now and then it grows by an eighth, and is moved.
            assert most - before < 2 << 20
    finally:
        tracemalloc.stop()
    assert reluctant.requests(510, lambda: plug.receive(0.0)) == [b"%d" % number for number in range(510)]
    assert not plug.holds_back
    plug.close()


def test_what_waits_to_be_sent_is_not_sent_twice(reluctant: Reluctant) -> None:
    line = SyncChannel(f"ipc://{reluctant.path}")
    began_s = time.monotonic()
    ids = [line.post("send", BODY, 60.0) for _ in range(300)]
    reluctant.greet()
    while time.monotonic() < began_s + RESEND_AFTER_S * 1.5:
        line.pump(None)
    assert reluctant.requests(300, lambda: line.pump(0.0)) == ids
    line.close()
