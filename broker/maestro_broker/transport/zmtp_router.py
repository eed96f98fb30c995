"""ZMTP router: the broker's end of every connection on this machine.

Rule: a ROUTER on the wire (ZMTP 3.1, `maestro_wire.zmtp`) without libzmq's I/O thread. That saves two thread wake-ups
a request; requests that arrived together are read by one system call and answered by one; and the kernel names the
peer's user. Any ZMTP peer can connect, libzmq's DEALER among them. Nothing here blocks. A peer that does not read its
replies is not read from; replies above a limit are dropped, because a client repeats its request.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from maestro_runtime.ownership import peer_uid
from maestro_wire import zmtp

from .listener import IncomingRequest, without_delimiter
from .readiness import READ, WRITE, Readiness

if TYPE_CHECKING:
    from collections.abc import Iterator

_BACKLOG = 1_024
_ACCEPT_MAX = 64
_CHUNK = 1 << 18
# Close connections that have not completed the ZMTP handshake within this time.
_HANDSHAKE_S = 5.0
# Stop reading requests from a peer with more unsent replies than the first; drop, and count, replies above the
# second.
_UNREAD_BYTES_MAX = 1 << 20
_UNSENT_BYTES_MAX = 64 << 20
_NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ZmtpPeer:
    """One connection."""

    __slots__ = ("began_s", "events", "is_open", "link", "out", "queued", "socket", "uid", "unread", "unsent")

    def __init__(self, connected: socket.socket, frame_bytes_max: int, began_s: float) -> None:
        self.socket = connected
        self.uid = peer_uid(connected)  # of the peer's process; None if the kernel does not say
        self.link = zmtp.ZmtpConnection(zmtp.ROUTERS_PEERS, frame_bytes_max)
        self.is_open = True
        self.began_s = began_s
        self.events = READ
        self.unread: list[list[bytes]] = []  # requests received and not yet yielded, the next one last
        self.queued = False  # whether it is in the router's queue
        self.out: list[bytes] = []  # replies of this batch
        # Unsent data. A bytearray, because trimming `bytes` would copy the remaining (up to 64 MiB) on every send.
        self.unsent = bytearray()


class ZmtpRouter:
    """All connections of one Unix socket."""

    def __init__(self, frame_bytes_max: int, peers_max: int) -> None:
        """A peer that sends a frame above `frame_bytes_max` is disconnected. With `peers_max` connections, no more
        are accepted."""
        self._frame_bytes_max = frame_bytes_max
        self._peers_max = peers_max
        self._readiness = Readiness()
        self._listener: socket.socket | None = None
        self._listener_fd = -1
        self._accepts = False
        self._buffer = bytearray(_CHUNK)
        self._view = memoryview(self._buffer)
        self._peers: dict[int, ZmtpPeer] = {}  # by descriptor
        self._handshaking: set[ZmtpPeer] = set()
        # Peers with requests, in turn. Kept from one `receive` to the next: in the kernel's order, a peer that always
        # has requests would always be first.
        self._queue: deque[ZmtpPeer] = deque()
        self._dirty: list[ZmtpPeer] = []  # peers with replies of this batch
        # Connections opened and closed, and replies that were dropped.
        self.opened = self.closed = self.unsent = 0

    def listen(self, path: str, fd: int | None = None) -> None:
        """Listen at `path`, replacing an old socket file; or on `fd`, a socket that listens already. If it listens
        already, the new socket takes the old one's place, and connections stay. Raises OSError."""
        made = listening_socket(path) if fd is None else socket.socket(fileno=fd)
        made.setblocking(False)  # noqa: FBT003 - the standard library's signature
        old, self._listener = self._listener, made
        if old is not None:
            if self._accepts:
                self._pause_accepting()
            old.close()
        self._listener_fd = made.fileno()
        self._resume_accepting()

    def watch(self, fd: int, events: int = READ) -> None:
        """Have `wait` report another descriptor, until it is closed; again, with other events."""
        try:
            self._readiness.register(fd, events)
        except FileExistsError:
            self._readiness.modify(fd, events)

    def wait(self, timeout_s: float) -> list[int]:
        """Wait until a connection or another watched descriptor has work; returns the others that have. `receive`
        then yields the requests. See also `has_left`."""
        peers, queue = self._peers, self._queue
        others: list[int] = []
        for fd, events in self._readiness.poll(timeout_s):
            peer = peers.get(fd)
            if peer is None:
                if fd == self._listener_fd:
                    self._accept()
                else:
                    others.append(fd)
                continue
            # The end of a connection and its errors are for both.
            if events & ~READ:
                self._send(peer)
            if events & ~WRITE and not peer.queued:
                peer.queued = True
                queue.append(peer)
        return others

    @property
    def has_left(self) -> bool:
        """Whether requests remain that the last `receive` did not yield."""
        return bool(self._queue)

    # --- receiving -----------------------------------------------------------------------------------------

    def receive(self, most: int) -> Iterator[IncomingRequest]:
        """Yield up to `most` requests that `wait` has found.

        Round robin: each peer's turn is what one system call has read; a peer with more is queued behind the others.
        """
        queue = self._queue
        count = 0
        while queue and count < most:
            peer = queue.popleft()
            peer.queued = False
            # Stop reading requests from a peer whose unsent replies exceed the limit. `_send` queues the peer again
            # once it has read them.
            if not peer.is_open or len(peer.unsent) > _UNREAD_BYTES_MAX:
                continue
            unread = peer.unread or self._read(peer)
            try:
                while unread and count < most:
                    count += 1
                    frames = unread.pop()
                    if frames[0]:
                        yield IncomingRequest(peer, peer.uid, frames)
                    else:
                        route, frames = without_delimiter(peer, frames)
                        yield IncomingRequest(route, peer.uid, frames)
            finally:
                if unread:
                    peer.unread = unread
                    self._enqueue(peer)

    def _enqueue(self, peer: ZmtpPeer) -> None:
        if not peer.queued:
            peer.queued = True
            self._queue.append(peer)

    def _read(self, peer: ZmtpPeer) -> list[list[bytes]]:
        """The requests of one system call, the first one last."""
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
            # Not ZMTP, or a frame above the limit: libzmq closes the connection, too.
            self._drop(peer)
            return []
        if answer:
            peer.out.append(answer)
            self._send(peer)
        messages, link.messages = link.messages, []
        if link.ready and peer in self._handshaking:
            self._handshaking.discard(peer)
        messages.reverse()
        return messages

    def _accept(self) -> None:
        listener = self._listener
        for _ in range(_ACCEPT_MAX):
            if listener is None:
                return
            if len(self._peers) >= self._peers_max:
                self._pause_accepting()
                return
            try:
                connected, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_MORE_FILES:
                    self._pause_accepting()
                    return
                continue  # the peer has closed it already
            connected.setblocking(False)  # noqa: FBT003 - the standard library's signature
            self.opened += 1
            peer = ZmtpPeer(connected, self._frame_bytes_max, time.monotonic())
            self._peers[connected.fileno()] = peer
            self._handshaking.add(peer)
            self._readiness.register(connected, READ)
            peer.out.append(zmtp.ROUTER_OPENING)
            self._send(peer)

    def _pause_accepting(self) -> None:
        """Until connections were closed: `look_after` tries again. New peers wait in the kernel's queue."""
        self._readiness.unregister(self._listener_fd)
        self._accepts = False

    def _resume_accepting(self) -> None:
        if not self._accepts and self._listener is not None:
            self._readiness.register(self._listener_fd, READ)
            self._accepts = True

    # --- sending -------------------------------------------------------------------------------------------

    def reply(self, peer: ZmtpPeer, data: bytes) -> None:
        """Queue a reply, as its bytes on the wire, for the next `flush`."""
        if not peer.is_open or len(peer.unsent) > _UNSENT_BYTES_MAX:
            self.unsent += 1
        else:
            if not peer.out:
                self._dirty.append(peer)
            peer.out.append(data)

    def flush(self) -> None:
        """Send the queued replies, as far as the sockets take them now."""
        dirty, self._dirty = self._dirty, []
        for peer in dirty:
            self._send(peer)

    def _send(self, peer: ZmtpPeer) -> None:
        if not peer.is_open:
            return
        unsent, out = peer.unsent, peer.out
        data: bytes | bytearray = b"".join(out)
        out.clear()
        if unsent:
            unsent += data
            data = unsent
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
        else:
            return  # nothing has waited, and nothing waits
        events = READ
        if unsent:
            events = WRITE if len(unsent) > _UNREAD_BYTES_MAX else READ | WRITE
        if events != peer.events:
            peer.events = events
            self._readiness.modify(peer.socket, events)
        if peer.unread and events & READ:
            self._enqueue(peer)

    def _drop(self, peer: ZmtpPeer) -> None:
        if not peer.is_open:
            return
        peer.is_open = False
        self.closed += 1
        del self._peers[peer.socket.fileno()]
        self._handshaking.discard(peer)
        self._readiness.unregister(peer.socket)
        peer.socket.close()

    # --- upkeep --------------------------------------------------------------------------------------------

    def look_after(self) -> None:
        """Once a second: close connections without a handshake, and accept new ones again."""
        since_s = time.monotonic() - _HANDSHAKE_S
        for peer in [peer for peer in self._handshaking if peer.began_s < since_s]:
            self._drop(peer)
        self._resume_accepting()

    def stats(self) -> dict[str, int]:
        """For `maestro status`."""
        return {"opened": self.opened, "closed": self.closed, "unsentReplies": self.unsent}

    def close(self, linger_s: float) -> None:
        """Stop listening; send what is queued, within `linger_s`; then close all connections."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.flush()
        until_s = time.monotonic() + linger_s
        while (slow := [peer for peer in self._peers.values() if peer.unsent]) and time.monotonic() < until_s:
            time.sleep(0.005)
            for peer in slow:
                self._send(peer)
        for peer in list(self._peers.values()):
            self._drop(peer)
        self._readiness.close()


def listening_socket(path: str) -> socket.socket:
    """A Unix socket that listens at `path`, in the place of an old file. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        made.bind(path)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made
