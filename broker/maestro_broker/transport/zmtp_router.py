"""Local router: the broker's end of every connection on this machine.

Rule: a ROUTER on the wire (ZMTP 3.1, `zmtp`), without libzmq's I/O thread: a request and its answer are two wake-ups
of a thread fewer, what arrived together is read by one call and answered by one, and the kernel says who the peer is.
Whoever speaks ZMTP can connect, libzmq's DEALER among them. Never blocks: who does not read is not read from either,
and answers beyond that are dropped, for a client repeats its request.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING

from maestro_wire import zmtp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BACKLOG = 1_024
_ACCEPT_MAX = 64
_CHUNK = 1 << 18
# A connection that has not said who it is after so long goes.
_HANDSHAKE_S = 5.0
# A peer that leaves so much unread gets nothing new to do; and where answers to what it has asked already exceed the
# second, they are dropped and counted.
_UNREAD_BYTES_MAX = 1 << 20
_UNSENT_BYTES_MAX = 64 << 20
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7))
_NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ZmtpPeer:
    """One connection. `uid`: whose process it is, None where the kernel does not tell."""

    __slots__ = ("began_s", "events", "is_open", "left", "link", "out", "queued", "socket", "uid", "unsent")

    def __init__(self, connected: socket.socket, frame_bytes_max: int, began_s: float) -> None:
        self.socket = connected
        self.uid = _uid(connected)
        self.link = zmtp.ZmtpConnection(zmtp.ROUTERS_PEERS, frame_bytes_max)
        self.is_open = True
        self.began_s = began_s
        self.events = _READ
        self.left: list[list[bytes]] = []  # requests that were read and not handed out, the next one last
        self.queued = False  # has something to hand out
        self.out: list[bytes] = []  # of this turn
        # What the socket did not take. Not bytes: of 64 MiB each piece that goes would cost a copy of the rest.
        self.unsent = bytearray()


class ZmtpRouter:
    """`opened`, `closed`: connections so far. `unsent`: replies that nobody could be given.

    `frame_bytes_max`: who sends a larger frame is hung up on. `peers_max`: more are not let in.
    """

    def __init__(self, frame_bytes_max: int, peers_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._peers_max = peers_max
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._accepts = False
        self._buffer = bytearray(_CHUNK)
        self._view = memoryview(self._buffer)
        self._peers: set[ZmtpPeer] = set()
        self._strangers: set[ZmtpPeer] = set()
        # Who comes next. Kept from one `receive` to the next, else the selector's order would decide, and whoever
        # always has something would always be first.
        self._queue: deque[ZmtpPeer] = deque()
        self._dirty: list[ZmtpPeer] = []
        self.opened = self.closed = self.unsent = 0

    def listen(self, path: str, fd: int | None = None) -> None:
        """At `path`, whose old file goes; or on a socket that somebody listens on already. Raises OSError."""
        if fd is not None:
            self._listener = socket.socket(fileno=fd)
        else:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self._listener.bind(path)
            self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._accept_again()

    def fileno(self) -> int:
        """Readable when `receive` has something to do, or else `has_left`."""
        return self._selector.fileno()

    @property
    def has_left(self) -> bool:
        """Whether the last `receive` was ended before it had handed out all."""
        return bool(self._queue)

    # --- what comes ----------------------------------------------------------------------------------------

    def receive(self, most: int) -> Iterator[tuple[ZmtpPeer, list[bytes]]]:
        """The requests that are there now, each with its frames: `most` of them, the rest by the next call.

        By turns: of each peer what one call has read, and whoever has more goes behind the others.
        """
        queue = self._queue
        for key, events in self._selector.select(0):
            peer: ZmtpPeer | None = key.data
            if peer is None:
                self._accept()
                continue
            if events & _WRITE:
                self._send(peer)
            if events & _READ:
                self._enqueue(peer)
        count = 0
        while queue and count < most:
            peer = queue.popleft()
            peer.queued = False
            # Who does not read what it has asked for is not asked what else it wants; `_send` brings it back.
            if not peer.is_open or len(peer.unsent) > _UNREAD_BYTES_MAX:
                continue
            left = peer.left or self._read(peer)
            try:
                while left and count < most:
                    count += 1
                    yield peer, left.pop()
            finally:
                if left:
                    peer.left = left
                    self._enqueue(peer)

    def _enqueue(self, peer: ZmtpPeer) -> None:
        if not peer.queued:
            peer.queued = True
            self._queue.append(peer)

    def _read(self, peer: ZmtpPeer) -> list[list[bytes]]:
        """What came, the first last."""
        try:
            size = peer.socket.recv_into(self._buffer)
        except BlockingIOError:
            return []
        except OSError:
            size = 0
        if not size:
            self._drop(peer)
            return []
        link = peer.link
        try:
            answer = link.receive(bytes(self._view[:size]))
        except zmtp.ProtocolError:
            # No ZMTP, or a frame above the limit: libzmq, too, hangs up on it.
            self._drop(peer)
            return []
        if answer:
            peer.out.append(answer)
            self._send(peer)
        messages, link.messages = link.messages, []
        if link.ready and peer in self._strangers:
            self._strangers.discard(peer)
        messages.reverse()
        return messages

    def _accept(self) -> None:
        listener = self._listener
        for _ in range(_ACCEPT_MAX):
            if listener is None:
                return
            if len(self._peers) >= self._peers_max:
                self._accept_no_more(listener)
                return
            try:
                connected, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_MORE_FILES:
                    self._accept_no_more(listener)
                    return
                continue  # that one has gone already
            connected.setblocking(False)  # noqa: FBT003 - as above
            self.opened += 1
            peer = ZmtpPeer(connected, self._frame_bytes_max, time.monotonic())
            self._peers.add(peer)
            self._strangers.add(peer)
            self._selector.register(connected, _READ, peer)
            peer.out.append(zmtp.ROUTER_OPENING)
            self._send(peer)

    def _accept_no_more(self, listener: socket.socket) -> None:
        """Until some have gone: `look_after` tries again. Who waits stays in the kernel's queue."""
        self._selector.unregister(listener)
        self._accepts = False

    def _accept_again(self) -> None:
        if not self._accepts and self._listener is not None:
            self._selector.register(self._listener, _READ, None)
            self._accepts = True

    # --- what goes -----------------------------------------------------------------------------------------

    def reply(self, peer: ZmtpPeer, frames: Iterable[bytes]) -> None:
        """An answer, for the next `flush`."""
        if not peer.is_open or len(peer.unsent) > _UNSENT_BYTES_MAX:
            self.unsent += 1
        else:
            if not peer.out:
                self._dirty.append(peer)
            peer.out.append(zmtp.message(frames))

    def flush(self) -> None:
        """Send what was put, as far as the peers take it now."""
        dirty, self._dirty = self._dirty, []
        for peer in dirty:
            self._send(peer)

    def _send(self, peer: ZmtpPeer) -> None:
        if not peer.is_open:
            return
        unsent, out = peer.unsent, peer.out
        data: bytes | bytearray
        if unsent:
            for piece in out:
                unsent += piece
            data = unsent
        else:
            data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        try:
            sent = peer.socket.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(peer)
            return
        if data is unsent:
            del unsent[:sent]
        elif sent < len(data):
            unsent += memoryview(data)[sent:]
        events = _READ
        if unsent:
            events = _WRITE if len(unsent) > _UNREAD_BYTES_MAX else _READ | _WRITE
        if events != peer.events:
            peer.events = events
            self._selector.modify(peer.socket, events, peer)
        if peer.left and events & _READ:
            self._enqueue(peer)

    def _drop(self, peer: ZmtpPeer) -> None:
        if not peer.is_open:
            return
        peer.is_open = False
        self.closed += 1
        self._peers.discard(peer)
        self._strangers.discard(peer)
        self._selector.unregister(peer.socket)
        peer.socket.close()

    # --- now and then --------------------------------------------------------------------------------------

    def look_after(self) -> None:
        """Once a second: connections that say nothing go, and new ones are let in again."""
        since_s = time.monotonic() - _HANDSHAKE_S
        for peer in [peer for peer in self._strangers if peer.began_s < since_s]:
            self._drop(peer)
        self._accept_again()

    def stats(self) -> dict[str, int]:
        """For `maestro status`."""
        return {"opened": self.opened, "closed": self.closed, "unsentReplies": self.unsent}

    def close(self, linger_s: float) -> None:
        """Give the peers what they have to get, for so long at most, and let go."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.flush()
        until_s = time.monotonic() + linger_s
        while (slow := [peer for peer in self._peers if peer.unsent]) and time.monotonic() < until_s:
            time.sleep(0.005)
            for peer in slow:
                self._send(peer)
        for peer in list(self._peers):
            self._drop(peer)
        self._selector.close()


def _uid(connected: socket.socket) -> int | None:
    """Whose process has the other end, as the kernel says (SO_PEERCRED, Linux)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])
