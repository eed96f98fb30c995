"""ZMTP without libzmq, compared with the bytes that libzmq sends and accepts."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import TYPE_CHECKING

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from maestro_wire import zmtp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GREETING = zmtp.DEALER_OPENING[:64]
_WORDS = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"
READY = bytes([4, len(_WORDS)]) + _WORDS
EDGES = [0, 1, 254, 255, 256, 257, 65_535, 65_536, 200_000]


class Wire:
    """A plain socket, connected to libzmq's ROUTER."""

    def __init__(self, path: str) -> None:
        self._context = zmq.Context()
        self.router = self._context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.LINGER, 0)
        self.router.setsockopt(zmq.HEARTBEAT_IVL, 20)
        self.router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5_000)
        self.router.setsockopt(zmq.RCVTIMEO, 10_000)
        self.router.bind(f"ipc://{path}")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.dealer = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 22)
        self.answered = 0

    def take_in(self, most: int = 65_536) -> None:
        data = self.socket.recv(most)
        assert data, "libzmq hung up"
        answer = self.dealer.receive(data)
        if answer:
            self.answered += 1
            self.socket.sendall(answer)

    def close(self) -> None:
        self.socket.close()
        self._context.destroy(linger=0)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    made = Wire(str(tmp_path / "s"))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("piece", [1, 7, 65_536])
def test_messages_of_every_size_both_ways(wire: Wire, piece: int) -> None:
    seed = 1_789
    chosen = random.Random(seed)
    # libzmq accepts the opening in pieces of any size.
    for place in range(0, len(zmtp.DEALER_OPENING), piece):
        wire.socket.sendall(zmtp.DEALER_OPENING[place : place + piece])
    while not wire.dealer.ready:
        wire.take_in(piece)
    sizes = [[size] for size in EDGES] + [
        [chosen.choice(EDGES[:6]) for _ in range(chosen.randint(1, 9))] for _ in range(30)
    ]
    for lengths in sizes if piece > 1 else sizes[:6] + sizes[-5:]:
        frames = [chosen.randbytes(length) for length in lengths]
        wire.socket.sendall(zmtp.message(frames))
        peer, *received = wire.router.recv_multipart()
        assert received == frames, f"seed {seed}"
        wire.router.send_multipart([peer, *frames])
        while not wire.dealer.messages:
            wire.take_in(max(piece, 50))
        assert wire.dealer.messages.pop() == frames, f"seed {seed}"


def test_it_answers_heartbeats(wire: Wire) -> None:
    """libzmq closes the connection of a peer that does not answer PING."""
    wire.socket.sendall(zmtp.DEALER_OPENING)
    while wire.answered < 3:
        wire.take_in()
    wire.socket.sendall(zmtp.message([b"still here"]))
    assert wire.router.recv_multipart()[1:] == [b"still here"]


def test_another_kind_of_socket_is_refused(tmp_path: Path) -> None:
    context = zmq.Context()
    try:
        publisher = context.socket(zmq.PUB)
        publisher.bind(f"ipc://{tmp_path}/p")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ours:
            ours.settimeout(10)
            ours.connect(f"{tmp_path}/p")
            ours.sendall(zmtp.DEALER_OPENING)
            dealer = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 22)
            with contextlib.suppress(zmtp.ProtocolError):
                while data := ours.recv(64):
                    dealer.receive(data)
            assert not dealer.ready
    finally:
        context.destroy(linger=0)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8), st.integers(1, 400))
def test_pieces_do_not_matter(frames: list[bytes], piece: int) -> None:
    stream = GREETING + READY + zmtp.message(frames) * 2
    dealer = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 22)
    for place in range(0, len(stream), piece):
        assert dealer.receive(stream[place : place + piece]) == b""
    assert dealer.messages == [frames, frames]


@given(st.binary(max_size=200), st.integers(0, 2))
def test_garbage_ends_in_broken_or_in_waiting(garbage: bytes, after: int) -> None:
    dealer = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 22)
    try:
        dealer.receive((b"", GREETING, GREETING + READY)[after] + garbage)
    except zmtp.ProtocolError:
        return
    assert dealer.ready == (after == 2) or b"READY" in garbage


ERROR = b"\x05ERROR\x03bad"


@pytest.mark.parametrize(
    "stream",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\xff" + bytes(9),
        GREETING[:10] + b"\x02" + GREETING[11:],
        GREETING[:12] + b"CURVE" + GREETING[17:],
        GREETING + b"\x04" + bytes([len(ERROR)]) + ERROR,
        GREETING + b"\x00\x01x",
        GREETING + READY.replace(b"ROUTER", b"DEALER"),
        GREETING + b"\x04\x06\x05READY",
        GREETING + b"\x04\x08\x05READY\x0bS",
        GREETING + b"\x04\x0c\x05READY\x00\x00\x00\x00\x00\x00",
        GREETING + READY + READY,
        GREETING + READY + b"\x04\x05\x04PING",
        GREETING + READY + b"\x08\x00",
        GREETING + READY + b"\x05\x00",
        GREETING + READY + b"\x02" + b"\xff" * 8,
        GREETING + READY + b"\x01\x00" * 65,
    ],
)
def test_what_breaks_it(stream: bytes) -> None:
    with pytest.raises(zmtp.ProtocolError):
        zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 22).receive(stream)


def test_ping_and_pong() -> None:
    dealer = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 22)
    dealer.receive(GREETING + READY)
    assert dealer.receive(b"\x04\x0a\x04PING\x00\x10abc") == b"\x04\x08\x04PONGabc"
    assert dealer.receive(b"\x04\x05\x04PONG") == b""
