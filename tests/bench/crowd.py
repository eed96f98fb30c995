"""Crowd: many WebSocket clients in one process, and a bare server that sends the same frames to as many.

Rule: a client only cuts its frames and notes their LSNs, so that the server is what the measurement waits for. The
bare server is uvicorn with the gateway's settings: it knows no session, no right and no order, and sends each frame
that it gets to all.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import selectors
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Event as ProcessEvent

_WAIT_S = 120.0
_READ_BYTES = 1 << 18
_TEXT, _PING = 1, 9
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_LSN = b'"lsn":'
# The feeder's connection is this path; every other is a client.
_BARE = """
import json, sys, uvicorn
clients = []
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/feed":
        while (message := await receive())["type"] == "websocket.receive":
            for each in clients:
                await each({"type": "websocket.send", "text": message["text"]})
    else:
        await receive()
        await send({"type": "websocket.send", "text": '{"type":"subscribed"}'})
        clients.append(send)
        while (await receive())["type"] == "websocket.receive":
            pass
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
Server(uvicorn.Config(app, port=0, loop="asyncio", ws="websockets-sansio", lifespan="off", log_level="error",
                      ws_per_message_deflate=False)).run()
"""


class Counted(NamedTuple):
    """`whole`: clients that got every event once and in order. `got`: events of all. `done_s`: monotonic, when the
    last client had its last event. `cpu_s`: of the process of the clients. `frames`: those of the first client."""

    whole: int
    got: int
    done_s: float
    cpu_s: float
    frames: list[str]


class Client:
    """One connection, from its handshake on. Raises AssertionError where the server refuses it."""

    def __init__(self, url: str, subscription: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=_WAIT_S)
        self.lsns: list[int] = []
        self.frames: list[bytes] | None = None
        self._rest = b""
        self.socket.sendall(
            f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._received()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.socket.sendall(_masked(_TEXT, subscription.encode()))
        data = b""
        while not any(json.loads(payload)["type"] == "subscribed" for payload in self._cut(data)):
            data = self._received()

    def take(self, data: bytes) -> None:
        """Note the events in what came."""
        for payload in self._cut(data):
            begin = payload.rindex(_LSN) + len(_LSN)
            self.lsns.append(int(payload[begin : begin + 20].partition(b",")[0].rstrip(b"}")))
            if self.frames is not None:
                self.frames.append(payload)

    def _received(self) -> bytes:
        data = self.socket.recv(_READ_BYTES)
        assert data, "the server closed the connection"
        return data

    def _cut(self, data: bytes) -> Iterator[bytes]:
        """The texts of the frames that are whole; a ping is answered."""
        buffer = self._rest + data
        at, end = 0, len(buffer)
        while end - at >= 2:  # RFC 6455 section 5.2: two bytes, then perhaps a longer length
            size, begin = buffer[at + 1], at + 2
            if size >= _TWO_BYTES:
                longer = 2 if size == _TWO_BYTES else 8
                size, begin = int.from_bytes(buffer[begin : begin + longer]), begin + longer
            if begin + size > end:
                break
            kind = buffer[at] & 0x0F
            at = begin + size
            if kind == _TEXT:
                yield buffer[begin:at]
            elif kind == _PING:
                self.socket.sendall(_masked(10, buffer[begin:at]))
        self._rest = buffer[at:]


def _masked(kind: int, payload: bytes) -> bytes:
    assert len(payload) < _TWO_BYTES
    return bytes((0x80 | kind, 0x80 | len(payload), 0, 0, 0, 0)) + payload  # a mask of zeros changes nothing


class Crowd:
    """`clients` clients of one address, in a process of their own, connected when this returns."""

    def __init__(self, url: str, clients: int, events: int, session: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        ready = spawn.Event()
        self._receiving, sending = spawn.Pipe(duplex=False)
        self._process = spawn.Process(target=_count_all, args=(url, clients, events, session, ready, sending))
        self._process.start()
        if not ready.wait(_WAIT_S):
            self.__exit__()
            raise RuntimeError("the clients did not connect")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def counted(self) -> Counted:
        """Wait until each has all events, and what they got."""
        if not self._receiving.poll(_WAIT_S):
            raise RuntimeError("the clients did not finish")
        counted: Counted = self._receiving.recv()
        return counted


def _count_all(
    url: str,
    clients: int,
    events: int,
    session: str,
    ready: ProcessEvent,
    sending: multiprocessing.connection.Connection[Counted, object],
) -> None:
    subscription = json.dumps({"type": "subscribe", "sessionIds": [session]})
    opened = [Client(url, subscription) for _ in range(clients)]
    opened[0].frames = []
    selector = selectors.EpollSelector()
    for one in opened:
        selector.register(one.socket, selectors.EVENT_READ, one)
    cpu_s = time.process_time()
    ready.set()
    waited_for = clients
    until_s = time.monotonic() + _WAIT_S / 2
    while waited_for and time.monotonic() < until_s:
        for key, _ in selector.select(1.0):
            one = key.data
            before = len(one.lsns)
            data = one.socket.recv(_READ_BYTES)
            one.take(data)
            if before < events <= len(one.lsns) or not data:
                waited_for -= 1
                if not data:
                    selector.unregister(one.socket)
    done_s = time.monotonic()
    first = opened[0].lsns
    whole = sum(one.lsns == first and len(first) == events and first == sorted(set(first)) for one in opened)
    got = sum(len(one.lsns) for one in opened)
    texts = [frame.decode() for frame in opened[0].frames]
    sending.send(Counted(whole, got, done_s, time.process_time() - cpu_s, texts))


class BareServer:
    """The bare server, on a free port of loopback."""

    def __init__(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BARE], stdout=subprocess.PIPE, env=environ, text=True
        )
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.url = f"ws://127.0.0.1:{self._process.stdout.readline().strip()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.communicate()

    def feed(self, frames: list[str]) -> None:
        """Send each frame to all clients; returns when the server has taken the last."""
        with connect(f"{self.url}/feed", compression=None) as opened:
            for frame in frames:
                opened.send(frame)
