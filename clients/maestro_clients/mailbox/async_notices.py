"""Asynchronous notices: the broker's hints about many sessions, on one SUB socket, for asyncio.

Rule: a notice may be lost, late or repeated, and is never the truth; but where some may have been lost, that is said,
in its place among them. `Link.CONNECTED` is told when the subscriptions are in force, not when the connection is
made: what is committed after it is noticed, so `events(after=lsn)` asked for after it closes the gap. For one event
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
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

EVERYTHING = ""
QUEUE_MAX = 10_000
# What libzmq holds while the loop is busy; beyond that the broker drops, which shows only as a gap in `seq`.
_HIGH_WATER = 100_000
# No session's id can begin so; an observer of everything sees also the heads that other observers ask for.
_PROBE = "~"


class NoticeLinkState(enum.Enum):
    """What happened to the stream of notices at this place.

    `CONNECTED`: from here on everything is noticed; catch up from before. `LOST`: the connection broke; libzmq makes
    another, also to the next broker, and `CONNECTED` follows. `OVERFLOWED`: the consumer was too slow, and notices
    that stood here were dropped; catch up.
    """

    CONNECTED = "connected"
    LOST = "lost"
    OVERFLOWED = "overflowed"


class AsyncNotices:
    """Iterate over it (`async for`); a `head` comes for each session when its subscription is in force.

    `address`: a broker's `notices` endpoint. `sessions`: ids; EVERYTHING is all of them. `queue_max`: how many
    notices are kept for a consumer that is busy. It begins with the first `async with` or item.
    """

    def __init__(self, address: str, sessions: Iterable[str] = (EVERYTHING,), *, queue_max: int = QUEUE_MAX) -> None:
        self._address = address
        self._sessions = set(sessions)
        self._queue_max = queue_max
        self._queue: deque[Notice | NoticeLinkState] = deque()
        self._there = asyncio.Event()
        self._pid = os.getpid()
        self._closed = False
        self._connected = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._soon: asyncio.Handle | None = None
        # A session of nobody's. The broker greets each subscription with a head, and takes them in order; so the
        # head of this one, which is the last, says that all are in force. EVERYTHING has no head of its own.
        self._probe = ""

    @property
    def sessions(self) -> frozenset[str]:
        """What is subscribed to."""
        return frozenset(self._sessions)

    # --- for consumers -------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notice | NoticeLinkState:
        self._open()
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._there.clear()
            await self._there.wait()
        return self._queue.popleft()

    def add(self, session: str) -> None:
        """Subscribe to a session too; its `head` says that it is in force. EVERYTHING has none, so the connection is
        made anew: LOST and CONNECTED. Raises MaestroError BAD_REQUEST where this is closed, or another process's."""
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
        """The broker is elsewhere now: LOST, where that was not told yet, then CONNECTED. Raises as `add`, and
        BROKER_UNREACHABLE for an address that is none."""
        self._check_use()
        self._address = address
        if self._socket is not None:
            self._lose()
            self._drop()
            self._open()

    async def aclose(self) -> None:
        """Unsubscribe; the iteration ends after what has come. Can be repeated."""
        self._closed = True
        self._there.set()
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
            raise MaestroError("BAD_REQUEST", "these notices belong to another process", "Subscribe anew.")
        if self._closed:
            raise MaestroError("BAD_REQUEST", "these notices are closed", "Subscribe anew.")

    def _open(self) -> None:
        if self._closed:
            return
        self._check_use()
        loop = asyncio.get_running_loop()
        if self._socket is not None:
            if loop is not self._loop:
                raise MaestroError("BAD_REQUEST", "these notices belong to another event loop", "Subscribe anew.")
            return
        self._loop = loop
        socket = self._socket = libzmq.new_socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, libzmq.RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, libzmq.RECONNECT_MAX_MS)
        socket.setsockopt(zmq.RCVHWM, _HIGH_WATER)
        # Before the connect, so that no loss goes unseen.
        self._monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        # After every other in the order of bytes too, which is libzmq's when it subscribes again.
        self._probe = _PROBE + new_session_id()
        for topic in (*sorted(map(_topic, self._sessions)), _topic(self._probe)):
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        try:
            libzmq.connect(socket, self._address)
        except MaestroError:
            self._drop()
            raise
        loop.add_reader(socket.FD, self._take_in)
        loop.add_reader(self._monitor.FD, self._take_in)
        self._read_soon()

    def _subscribe(self, how: int, topic: bytes) -> None:
        if self._socket is not None:
            self._socket.setsockopt(how, topic)
            # The call may have swallowed that something came.
            self._read_soon()

    def _drop(self) -> None:
        socket, monitor = self._socket, self._monitor
        self._socket = self._monitor = None
        self._connected = False
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

    def _read_soon(self) -> None:
        if self._soon is None and self._loop is not None:
            self._soon = self._loop.call_soon(self._take_in)

    def _take_in(self) -> None:
        """What has come; of a stream that does not end, a part, so that others have their turn."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        socket = self._socket
        if socket is None:
            return
        self._look_for_loss()
        for _ in range(libzmq.DRAIN):
            if not libzmq.is_readable(socket):
                return
            # What can't be read is no hint, and passed over.
            try:
                notice = decode_notice(socket.recv_multipart(libzmq.NOW))
            except (MaestroError, zmq.Again):
                continue
            if notice.session == self._probe:
                self._greet()
            elif not notice.session.startswith(_PROBE):
                self._put(notice)
        self._read_soon()

    def _look_for_loss(self) -> None:
        monitor = self._monitor
        while monitor is not None and libzmq.is_readable(monitor):
            monitor.recv_multipart(libzmq.NOW)
            self._lose()

    # --- the queue -----------------------------------------------------------------------------------------

    def _lose(self) -> None:
        if self._connected:
            self._connected = False
            self._tell(NoticeLinkState.LOST)

    def _greet(self) -> None:
        # libzmq tells of the loss before it connects again, so it is here by now, if there was one.
        self._look_for_loss()
        if not self._connected:
            self._connected = True
            self._tell(NoticeLinkState.CONNECTED)

    def _tell(self, link: NoticeLinkState) -> None:
        queue = self._queue
        if (
            link is NoticeLinkState.LOST
            and len(queue) > 1
            and queue[-1] is NoticeLinkState.CONNECTED
            and queue[-2] is NoticeLinkState.LOST
        ):
            # A broker that comes and goes adds nothing to a queue that nobody reads.
            queue.pop()
        else:
            queue.append(link)
        self._there.set()

    def _put(self, notice: Notice) -> None:
        queue = self._queue
        if len(queue) < self._queue_max:
            queue.append(notice)
        elif queue[-1] is not NoticeLinkState.OVERFLOWED:
            queue.append(NoticeLinkState.OVERFLOWED)
        self._there.set()


def _topic(session: str) -> bytes:
    return f"{session}|".encode() if session else b""
