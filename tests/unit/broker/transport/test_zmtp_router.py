"""ZMTP router: tested with libzmq's DEALER, and with peers that misbehave."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import zmq

from maestro_broker.transport import zmtp_router
from maestro_broker.transport.readiness import READ, WRITE
from maestro_broker.transport.zmtp_router import ZmtpPeer, ZmtpRouter
from maestro_wire import zmtp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FRAME_BYTES_MAX = 4 << 20
REQUEST = (b"M1", b"1", b"send", b"body")


class RouterScene:
    """A router, and the peers that connect to it."""

    def __init__(self, path: str, peers_max: int = 100) -> None:
        self.path = path
        self.router = ZmtpRouter(FRAME_BYTES_MAX, peers_max)
        self.router.listen(path)
        self.context = zmq.Context()
        self.opened: list[socket.socket | zmq.Socket[bytes]] = []

    def dealer(self) -> zmq.Socket[bytes]:
        made = self.context.socket(zmq.DEALER)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.RCVTIMEO, 10_000)
        made.connect(f"ipc://{self.path}")
        self.opened.append(made)
        return made

    def raw(self, said: bytes = b"") -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.connect(self.path)
        made.settimeout(10.0)
        made.sendall(said)
        self.opened.append(made)
        return made

    def arrivals(self, count: int) -> list[tuple[ZmtpPeer, list[bytes]]]:
        found: list[tuple[ZmtpPeer, list[bytes]]] = []
        self.until(lambda: len(found) >= count, found)
        return found

    def until(self, holds: Callable[[], bool], found: list[tuple[ZmtpPeer, list[bytes]]] | None = None) -> None:
        give_up_s = time.monotonic() + 10.0
        while not holds():
            assert time.monotonic() < give_up_s
            came = self.received()
            if found is not None:
                found += came

    def received(self, most: int = 512) -> list[tuple[ZmtpPeer, list[bytes]]]:
        """What has arrived: the peer and the frames of each request."""
        self.router.wait(0.0)
        return [(arrival.peer, arrival.frames) for arrival in self.router.receive(most)]

    def close(self) -> None:
        for connection in self.opened:
            connection.close()
        self.router.close(0.1)
        self.context.term()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[RouterScene]:
    made = RouterScene(str(tmp_path / "s"))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_536, 1_000_000])
def test_a_dealer_of_libzmq_is_answered(scene: RouterScene, size: int) -> None:
    dealer = scene.dealer()
    body = os.urandom(size)
    for number in range(3):
        dealer.send_multipart([b"M1", b"%d" % number, b"send", body])
    for number, (peer, frames) in enumerate(scene.arrivals(3)):
        assert frames == [b"M1", b"%d" % number, b"send", body]
        assert peer.uid == os.getuid()
        scene.router.reply(peer, zmtp.message((b"M1", frames[1], b"200", body)))
    scene.router.flush()
    for number in range(3):
        # Data that the socket did not take at once is sent as the peer reads.
        while not dealer.poll(1):
            scene.received(512)
        assert dealer.recv_multipart() == [b"M1", b"%d" % number, b"200", body]
    assert (scene.router.opened, scene.router.closed, scene.router.unsent) == (1, 0, 0)


def test_many_dealers_each_get_their_own(scene: RouterScene) -> None:
    dealers = [scene.dealer() for _ in range(20)]
    for number, dealer in enumerate(dealers):
        dealer.send_multipart([b"M1", b"%d" % number, b"send", b""])
    for peer, frames in scene.arrivals(20):
        scene.router.reply(peer, zmtp.message((b"M1", frames[1], b"200", b"")))
    scene.router.flush()
    for number, dealer in enumerate(dealers):
        assert dealer.recv_multipart()[1] == b"%d" % number


def test_no_more_than_asked_for(scene: RouterScene) -> None:
    for _ in range(10):
        scene.raw(zmtp.DEALER_OPENING + zmtp.message(REQUEST) * 2)
    scene.until(lambda: scene.router.opened == 10)
    came = 0
    while came < 20:
        now = len(scene.received(3))
        assert now == min(3, 20 - came)
        came += now
    assert not scene.router.has_left
    assert scene.received(3) == []


def test_a_batch_that_is_cut_short_is_continued_later(scene: RouterScene) -> None:
    """In the order of arrival, also from a peer that has ended its sending; not from one that has closed."""
    asking = scene.raw(zmtp.DEALER_OPENING + b"".join(zmtp.message((b"M1", b"%d" % i)) for i in range(5)))
    scene.until(lambda: scene.router.opened == 1)
    taken = []
    for _ in range(4):
        scene.router.wait(0.0)
        taken.append(next(iter(scene.router.receive(512))))
        assert scene.router.has_left
    assert [arrival.frames[1] for arrival in taken] == [b"0", b"1", b"2", b"3"]
    asking.close()
    scene.router.reply(taken[0].peer, zmtp.message((b"M1", b"0", b"200", b"")))
    scene.router.flush()
    assert scene.received(512) == []
    assert not scene.router.has_left


def test_a_peer_that_always_asks_does_not_keep_others_waiting(scene: RouterScene) -> None:
    greedy, modest = (scene.raw(zmtp.DEALER_OPENING) for _ in range(2))
    scene.until(lambda: scene.router.opened == 2)
    scene.received(512)
    more = rest = zmtp.message((b"M1", b"greedy")) * 1_000
    greedy.setblocking(False)

    def turn() -> set[bytes]:
        # As much as its socket takes; a cut reply is continued.
        nonlocal rest
        with contextlib.suppress(BlockingIOError):
            while True:
                rest = rest[greedy.send(rest) :] or more
        return {frames[1] for _, frames in scene.received(100)}

    for _ in range(3):
        assert turn() == {b"greedy"}
    modest.sendall(zmtp.message((b"M1", b"modest")))
    assert b"modest" in turn() | turn()


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        zmtp.DEALER_OPENING.replace(b"DEALER", b"PUBLSH"),
        zmtp.DEALER_OPENING + b"\x02" + (FRAME_BYTES_MAX + 1).to_bytes(8, "big"),
        zmtp.DEALER_OPENING + b"\x01\x00" * 100,
    ],
)
def test_a_peer_that_does_not_speak_zmtp_is_disconnected(scene: RouterScene, said: bytes) -> None:
    odd = scene.raw(said)
    scene.until(lambda: scene.router.closed == 1)
    while odd.recv(4_096):  # the greeting; then the end
        pass


def test_a_connection_without_a_handshake_is_closed(scene: RouterScene, monkeypatch: pytest.MonkeyPatch) -> None:
    mute, shaken = scene.raw(), scene.raw(zmtp.DEALER_OPENING)
    scene.until(lambda: scene.router.opened == 2)
    scene.received(512)
    scene.router.look_after()
    assert scene.router.closed == 0
    monkeypatch.setattr(zmtp_router, "_HANDSHAKE_S", 0.0)
    scene.router.look_after()
    assert scene.router.closed == 1
    while mute.recv(4_096):
        pass
    shaken.sendall(zmtp.message(REQUEST))
    assert [frames for _, frames in scene.arrivals(1)] == [list(REQUEST)]


def test_a_peer_that_does_not_read_is_not_read_from(scene: RouterScene) -> None:
    """Once it reads, it gets its replies up to a limit; replies above it are counted as dropped."""
    deaf = scene.raw(zmtp.DEALER_OPENING + zmtp.message(REQUEST))
    [(peer, _)] = scene.arrivals(1)
    body = bytes(1 << 20)
    for _ in range(80):
        scene.router.reply(peer, zmtp.message((b"M1", b"1", b"200", body)))
        scene.router.flush()
    kept = 80 - scene.router.unsent
    assert 64 <= kept < 80
    deaf.sendall(zmtp.message(REQUEST))
    assert scene.received(512) == []
    link = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 30)
    answers = 0
    found: list[tuple[ZmtpPeer, list[bytes]]] = []
    while answers < kept:
        found += scene.received()
        deaf.settimeout(0.01)
        try:
            link.receive(deaf.recv(1 << 20))
        except TimeoutError:
            continue
        answers += len(link.messages)
        link.messages.clear()
    scene.until(lambda: bool(found), found)
    assert [frames for _, frames in found] == [list(REQUEST)]


def test_unsent_data_is_not_copied_at_each_send(scene: RouterScene) -> None:
    """For 32 MiB there were 64 copies of up to 32 MiB, while all other peers waited."""
    slow = scene.raw(zmtp.DEALER_OPENING + zmtp.message(REQUEST))
    [(peer, _)] = scene.arrivals(1)
    for _ in range(32):
        scene.router.reply(peer, zmtp.message((b"M1", b"1", b"200", bytes(1 << 20))))
    scene.router.flush()
    slow.setblocking(False)
    tracemalloc.start()
    try:
        unsent = len(peer.unsent)
        while unsent > 24 << 20:
            with contextlib.suppress(BlockingIOError):
                slow.recv(1 << 18)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            scene.received(512)
            _, most = tracemalloc.get_traced_memory()
            assert most - before < 4 << 20
            unsent = len(peer.unsent)
    finally:
        tracemalloc.stop()


def test_a_peer_without_requests_is_forgotten(scene: RouterScene) -> None:
    """Clients connect in this way to see whether a broker listens, also if they send no request."""
    for number in range(1, 4):
        scene.raw().close()
        scene.until(lambda closed=number: scene.router.closed == closed)  # type: ignore[misc]
    kept = scene.raw(zmtp.DEALER_OPENING + b"\x04\x08\x04PING\0\0!")
    link = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, FRAME_BYTES_MAX)
    scene.until(lambda: scene.router.opened == 4)
    scene.received(512)
    link.receive(kept.recv(4_096))
    assert link.ready
    assert scene.router._dirty == []


def test_a_closed_peer_gets_no_reply(scene: RouterScene) -> None:
    for ends_after_reply in (False, True):
        peer_socket = scene.raw(zmtp.DEALER_OPENING + zmtp.message(REQUEST))
        [(peer, _)] = scene.arrivals(1)
        closed = scene.router.closed
        if ends_after_reply:
            scene.router.reply(peer, zmtp.message((b"M1", b"1", b"200", b"")))
        peer_socket.close()
        if ends_after_reply:
            scene.router.flush()  # finds it out by sending
        scene.until(lambda before=closed: scene.router.closed > before)  # type: ignore[misc]
        unsent = scene.router.unsent
        scene.router.reply(peer, zmtp.message((b"M1", b"1", b"200", b"")))
        scene.router.flush()
        assert scene.router.unsent == unsent + 1


def test_no_more_than_there_is_room_for(tmp_path: Path) -> None:
    scene = RouterScene(str(tmp_path / "s"), peers_max=2)
    try:
        first = [scene.raw(zmtp.DEALER_OPENING) for _ in range(2)]
        late = scene.raw(zmtp.DEALER_OPENING + zmtp.message(REQUEST))
        scene.until(lambda: scene.router.opened == 2)
        for _ in range(3):
            assert scene.received(512) == []
            scene.router.look_after()
        assert scene.router.opened == 2
        first[0].close()
        scene.until(lambda: scene.router.closed == 1)
        scene.router.look_after()
        assert [frames for _, frames in scene.arrivals(1)] == [list(REQUEST)]
        assert late.recv(4_096)
    finally:
        scene.close()


def test_no_more_files(scene: RouterScene, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """A listener in a process without free descriptors, or whose peer has closed meanwhile."""

        def __init__(self, real: socket.socket, number: int) -> None:
            self._real = real
            self._number = number

        def accept(self) -> tuple[socket.socket, object]:
            raise OSError(self._number, "as the kernel says")

        def fileno(self) -> int:
            return self._real.fileno()

        def close(self) -> None:
            self._real.close()

    listener = scene.router._listener
    assert listener is not None
    scene.raw()
    for number, accepts in ((errno.ECONNABORTED, True), (errno.EMFILE, False)):
        monkeypatch.setattr(scene.router, "_listener", Full(listener, number))
        scene.received(512)
        assert scene.router._accepts is accepts
    monkeypatch.setattr(scene.router, "_listener", listener)
    scene.router.look_after()
    scene.until(lambda: scene.router.opened == 1)


def test_a_socket_that_another_process_holds(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        held.bind(path)
        held.listen()
        router = ZmtpRouter(FRAME_BYTES_MAX, 10)
        router.listen("unused", os.dup(held.fileno()))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(path)
            while not router.opened:
                router.wait(0.0)
                list(router.receive(512))
        router.close(0.0)
    assert os.path.exists(path)


def test_the_end_gives_out_what_is_due(scene: RouterScene) -> None:
    late = scene.raw(zmtp.DEALER_OPENING + zmtp.message(REQUEST))
    [(peer, _)] = scene.arrivals(1)
    for _ in range(4):
        scene.router.reply(peer, zmtp.message((b"M1", b"1", b"200", bytes(1 << 20))))
    scene.router.close(0.05)
    size = 0
    while piece := late.recv(1 << 20):
        size += len(piece)
    assert size > 100_000


def test_another_descriptor_is_reported_until_it_is_closed(scene: RouterScene) -> None:
    """One wait is for connections and for whatever else the loop watches."""
    own, other = socket.socketpair()
    scene.router.watch(own.fileno())
    assert scene.router.wait(0.0) == []
    other.send(b"x")
    assert scene.router.wait(10.0) == [own.fileno()]
    own.recv(1)
    assert scene.router.wait(0.0) == []
    scene.router.watch(own.fileno(), READ | WRITE)  # asked again for more
    assert scene.router.wait(10.0) == [own.fileno()]
    own.close()
    other.close()
    assert scene.router.wait(0.0) == []
    dealer = scene.dealer()
    dealer.send_multipart(REQUEST)
    [(_, frames)] = scene.arrivals(1)
    assert frames == list(REQUEST)
