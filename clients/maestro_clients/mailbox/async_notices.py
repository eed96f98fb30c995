"""Async notices: the broker's hints about many sessions, on one SUB socket, for asyncio.

Rule: a notice may be lost, late or repeated, and is never the truth; but a possible loss is reported, in its place in
the stream. `CONNECTED` is reported when the subscriptions are in force, not when the connection is made. Everything
that is committed after it is noticed, so that `events(after=lsn)`, asked for after it, closes the gap. For one event
loop and one process.
"""

from __future__ import annotations

import asyncio
import enum
import os
from collections import deque
from typing import TYPE_CHECKING, Self

import zmq

from maestro_clients.protocol.codec import Notice, decode_notice
from maestro_clients.protocol.new_ids import new_session_id
from maestro_clients.transports import libzmq
from maestro_clients.transports.addresses import unix_path
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from maestro_clients.transports.socket_place import SocketPlace

EVERYTHING = ""
QUEUE_MAX = 10_000
_LOOK_EVERY_S = 0.2
# Notices that libzmq holds while the loop is busy. The broker drops later ones, which shows only as a gap in `seq`.
_HIGH_WATER = 100_000
# No session's id begins with this. A subscriber to everything also sees the heads of other subscribers' probes.
_PROBE = "~"


class NoticeLinkState(enum.Enum):
    """A change of the stream of notices, at its place in the stream."""

    # From here on everything is noticed; catch up with the events before.
    CONNECTED = "connected"
    # The connection broke. libzmq makes another, also to the next broker, and CONNECTED follows.
    LOST = "lost"
    # The consumer was too slow, and notices were dropped here; catch up.
    OVERFLOWED = "overflowed"


class AsyncNotices:
    """Iterate over it (`async for`); a `head` comes for each session when its subscription is in force.

    `address`: a broker's `notices` endpoint. `sessions`: ids; EVERYTHING is all of them. `queue_max`: the
    most notices that are kept for a busy consumer. It connects with the first `async with` or item.
    """

    def __init__(self, address: str, sessions: Iterable[str] = (EVERYTHING,), *, queue_max: int = QUEUE_MAX) -> None:
        self._address = address
        self._sessions = set(sessions)
        self._queue_max = queue_max
        self._queue: deque[Notice | NoticeLinkState] = deque()
        self._arrived = asyncio.Event()
        self._pid = os.getpid()
        self._closed = False
        self._connected = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._place: SocketPlace | None = None
        self._soon: asyncio.Handle | None = None
        self._look: asyncio.TimerHandle | None = None
        # For the consumer: another user listens at the address.
        self._refusal: MaestroError | None = None
        # A session that does not exist. The broker answers each subscription with a head, in order. So the head of
        # this last one proves that all are in force. EVERYTHING has no head of its own.
        self._probe = ""

    @property
    def sessions(self) -> frozenset[str]:
        """The sessions that are subscribed to."""
        return frozenset(self._sessions)

    # --- for consumers -------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notice | NoticeLinkState:
        self._open()
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            if self._refusal is not None:
                refusal, self._refusal = self._refusal, None
                raise refusal
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    def add(self, session: str) -> None:
        """Subscribe to a session too; its `head` says that it is in force. EVERYTHING has none, so the connection is
        made again: LOST and CONNECTED. Raises MaestroError BAD_REQUEST where this is closed, or of another
        process."""
        self._check_use()
        if session in self._sessions:
            return
        self._sessions.add(session)
        if session == EVERYTHING:
            self.move(self._address)
        else:
            self._subscribe(zmq.SUBSCRIBE, _topic(session))

    def remove(self, session: str) -> None:
        """Unsubscribe; a notice that is under way may still come. Raises as `add`."""
        self._check_use()
        if session in self._sessions:
            self._sessions.discard(session)
            self._subscribe(zmq.UNSUBSCRIBE, _topic(session))

    def move(self, address: str) -> None:
        """The broker has another address now: LOST, if it was not reported yet, then CONNECTED. Raises as `add`, and
        BROKER_UNREACHABLE for text that is no address, NOT_PRIVATE where another user listens there."""
        self._check_use()
        self._address = address
        if self._socket is not None:
            self._lose()
            self._drop()
            self._open()

    async def aclose(self) -> None:
        """Unsubscribe; the iteration ends after the notices that have arrived. Can be repeated."""
        self._closed = True
        self._arrived.set()
        self._drop()

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- the sockets ---------------------------------------------------------------------------------------

    def _check_use(self) -> None:
        if self._pid != os.getpid():
            raise MaestroError("BAD_REQUEST", "these notices belong to another process", "Subscribe again.")
        if self._closed:
            raise MaestroError("BAD_REQUEST", "these notices are closed", "Subscribe again.")

    def _open(self) -> None:
        if self._closed:
            return
        self._check_use()
        loop = asyncio.get_running_loop()
        if self._socket is not None:
            if loop is not self._loop:
                raise MaestroError("BAD_REQUEST", "these notices belong to another event loop", "Subscribe again.")
            return
        self._loop = loop
        socket = self._socket = libzmq.new_socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, libzmq.RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, libzmq.RECONNECT_MAX_MS)
        socket.setsockopt(zmq.RCVHWM, _HIGH_WATER)
        # Before the connect, so that no loss is missed.
        self._monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        # It sorts after every other topic: libzmq subscribes again in the order of bytes.
        self._probe = _PROBE + new_session_id()
        for topic in (*sorted(map(_topic, self._sessions)), _topic(self._probe)):
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        try:
            self._place = libzmq.connect(socket, self._address)
        except MaestroError as error:
            self._drop()
            if error.code != "BROKER_UNREACHABLE" or unix_path(self._address) is None:
                raise
            self._look_later()  # the broker has made no directory for its sockets yet
            return
        loop.add_reader(socket.FD, self._on_ready)
        loop.add_reader(self._monitor.FD, self._on_ready)
        self._read_soon()

    def _look_later(self) -> None:
        """Where the directory of the sockets is gone, libzmq can't connect again; another one may be made."""
        if self._look is None and self._loop is not None:
            self._look = self._loop.call_later(_LOOK_EVERY_S, self._look_again)

    def _look_again(self) -> None:
        self._look = None
        if self._connected or self._closed:
            return
        try:
            if self._place is None or not self._place.is_current:
                self._drop()
                self._open()
        except MaestroError as error:
            self._refusal = error
            self._arrived.set()
            return
        self._look_later()

    def _subscribe(self, how: int, topic: bytes) -> None:
        if self._socket is not None:
            self._socket.setsockopt(how, topic)
            # The call may have consumed the announcement of a message.
            self._read_soon()

    def _drop(self) -> None:
        socket, monitor = self._socket, self._monitor
        place, self._place = self._place, None
        self._socket = self._monitor = None
        self._connected = False
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if socket is None or monitor is None:
            return
        if self._pid == os.getpid():
            # A forked child shares the parent's epoll: this would make the parent deaf.
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(socket.FD)
                self._loop.remove_reader(monitor.FD)
            socket.disable_monitor()
        monitor.close()
        socket.close()
        if place is not None:
            place.close()

    def _read_soon(self) -> None:
        if self._soon is None and self._loop is not None:
            self._soon = self._loop.call_soon(self._on_ready)

    def _on_ready(self) -> None:
        """Receive the notices that have arrived; of an endless stream a part, so that other tasks have their turn."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        socket = self._socket
        if socket is None:
            return
        self._check_for_loss()
        for _ in range(libzmq.DRAIN):
            if not libzmq.is_readable(socket):
                return
            # An unreadable notice is skipped.
            try:
                notice = decode_notice(socket.recv_multipart(libzmq.NOW))
            except (MaestroError, zmq.Again):
                continue
            if notice.session == self._probe:
                self._on_probe()
            elif not notice.session.startswith(_PROBE):
                self._put(notice)
        self._read_soon()

    def _check_for_loss(self) -> None:
        monitor = self._monitor
        while monitor is not None and libzmq.is_readable(monitor):
            monitor.recv_multipart(libzmq.NOW)
            self._lose()

    # --- the queue -----------------------------------------------------------------------------------------

    def _lose(self) -> None:
        if self._connected:
            self._connected = False
            self._report(NoticeLinkState.LOST)
            self._look_later()

    def _on_probe(self) -> None:
        # libzmq reports a loss before it connects again, so the report is here by now, if there was one.
        self._check_for_loss()
        if not self._connected:
            self._connected = True
            self._report(NoticeLinkState.CONNECTED)

    def _report(self, state: NoticeLinkState) -> None:
        queue = self._queue
        if (
            state is NoticeLinkState.LOST
            and len(queue) > 1
            and queue[-1] is NoticeLinkState.CONNECTED
            and queue[-2] is NoticeLinkState.LOST
        ):
            # A broker that restarts again and again must not fill a queue that is not read.
            queue.pop()
        else:
            queue.append(state)
        self._arrived.set()

    def _put(self, notice: Notice) -> None:
        queue = self._queue
        if len(queue) < self._queue_max:
            queue.append(notice)
        elif queue[-1] is not NoticeLinkState.OVERFLOWED:
            queue.append(NoticeLinkState.OVERFLOWED)
        self._arrived.set()


def _topic(session: str) -> bytes:
    return f"{session}|".encode() if session else b""
