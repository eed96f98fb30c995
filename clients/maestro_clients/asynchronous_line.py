"""Asynchronous line: one DEALER socket in an asyncio event loop, and the requests that wait on it.

Rule: as `line`: a request ends in an answer, a TIMEOUT, or BROKER_UNREACHABLE, and silence is looked into. Any number
of tasks of one event loop may call; one that is cancelled takes its request with it and nobody else's. No thread.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import zmq

from maestro_schemas.errors import MaestroError

from . import dealer, silence
from .connection import Connection
from .dealer import NOW
from .liveness import listens

if TYPE_CHECKING:
    from collections.abc import Callable

    from .codec import Reply
    from .connection import Frames
    from .far import Handshakes


# The loop watches the socket's own descriptor, without zmq.asyncio: no second kind of future in between, and a send
# takes 0.45 ms at the median instead of 0.53 (the blocking client, in the same run: 0.40), 64 tasks send 10,000 a
# second instead of 7,000. The price is libzmq's rule for that descriptor: it says only that something may have
# changed, and any call to the socket may swallow that. So after each send the socket is asked, and what is readable
# is read until there is no more.


class AsyncLine:
    """A connection to `address`, made with the first request, in the event loop of that request.

    `patient`: wait for a broker that is gone, as long as the requests may take.
    """

    def __init__(self, address: str, *, patient: bool = False) -> None:
        self._address = address
        self._patient = patient
        self._closed = False
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._handshakes: Handshakes | None = None
        self._requests = Connection()
        self._futures: dict[bytes, asyncio.Future[Reply | MaestroError]] = {}
        self._quiet_since_s = 0.0
        self._look_again_s = silence.LOOK_AGAIN_S
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        self._soon: asyncio.Handle | None = None

    @property
    def address(self) -> str:
        """Where the broker is."""
        return self._address

    def move(self, address: str) -> None:
        """The broker is elsewhere now; what waits for an answer is sent again there.

        Raises MaestroError BAD_REQUEST on a closed line, BROKER_UNREACHABLE for an address that is none.
        """
        if self._closed:
            raise silence.closed()
        self._drop()
        self._address = address
        if self._requests:
            self._connect_again()
            self._arm(time.monotonic())

    def close(self) -> None:
        """Let go; what waits ends with BAD_REQUEST. Can be repeated."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._drop()
        self._end_all(silence.not_ours)

    # --- requests ------------------------------------------------------------------------------------------

    async def call(self, command: str, body: bytes, timeout_s: float) -> dict[str, Any]:
        """Send, and wait for the answer. Raises the MaestroError that it is, TIMEOUT or BROKER_UNREACHABLE;
        BAD_REQUEST on a closed line, in another event loop, and in a forked child."""
        request_id, future = self.post(command, body, timeout_s)
        try:
            return self.answer(await future)
        finally:
            self.forget(request_id)

    def post(self, command: str, body: bytes, timeout_s: float) -> tuple[bytes, asyncio.Future[Reply | MaestroError]]:
        """Send a request; its id, for `forget`, and what it will end with, for `answer`. Raises as `call`."""
        loop = self._checked_loop()
        requests, now_s = self._requests, time.monotonic()
        if not requests:
            self._quiet_since_s = now_s
            if self._socket is None:
                self._connect(loop)
        request_id, frames = requests.request(command, body, now_s, timeout_s)
        future = self._futures[request_id] = loop.create_future()
        self._send(frames)
        # The timer is left alone while it rings early enough: setting it costs more than a ring for nothing.
        if self._timer is None or now_s + timeout_s < self._timer_s:
            self._arm(now_s)
        return request_id, future

    @staticmethod
    def answer(ended: Reply | MaestroError) -> dict[str, Any]:
        """The body of the answer. Raises the MaestroError that it is."""
        if isinstance(ended, MaestroError):
            raise ended
        if ended.status >= silence.ERROR_STATUS:
            raise MaestroError.from_body(ended.body)
        return ended.body

    def forget(self, request_id: bytes) -> None:
        """Nobody waits for this any more."""
        self._requests.forget(request_id)
        self._futures.pop(request_id, None)

    def _checked_loop(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise silence.closed()
        if self._pid != os.getpid():
            raise _elsewhere("process")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise _elsewhere("event loop")
        return loop

    def _end(self, request_id: bytes, ended: Reply | MaestroError) -> None:
        future = self._futures.pop(request_id, None)
        if future is not None and not future.done():
            future.set_result(ended)

    def _end_all(self, error: Callable[[], MaestroError]) -> None:
        # Each its own: an error that several tasks raise would gather all their tracebacks.
        for request_id in self._requests.forget_all():
            self._end(request_id, error())

    # --- the socket ----------------------------------------------------------------------------------------

    def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = dealer.connected(self._address)
        loop.add_reader(self._socket.FD, self._take_in)
        if silence.is_far(self._address):
            from .far import Handshakes

            self._handshakes = Handshakes(self._socket)
            loop.add_reader(self._handshakes.monitor.FD, self._look_at_handshakes)

    def _look_at_handshakes(self) -> None:
        refused = self._handshakes.refused() if self._handshakes is not None else None
        if refused is not None:
            self._fail(refused)

    def _connect_again(self) -> None:
        assert self._loop is not None  # noqa: S101 - there are requests, and each was made in a loop
        self._connect(self._loop)
        self._quiet_since_s = time.monotonic()
        for frames in self._requests.again(self._quiet_since_s):
            self._send(frames)

    def _drop(self) -> None:
        socket, self._socket = self._socket, None
        handshakes, self._handshakes = self._handshakes, None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if socket is None:
            return
        # A forked child shares the parent's epoll: taking the descriptor out of it would make the parent deaf.
        if self._loop is not None and self._pid == os.getpid() and not self._loop.is_closed():
            self._loop.remove_reader(socket.FD)
            if handshakes is not None:
                self._loop.remove_reader(handshakes.monitor.FD)
        if handshakes is not None:
            handshakes.close()
        socket.close()

    def _send(self, frames: Frames) -> None:
        if self._socket is None:
            return
        dealer.send(self._socket, frames)
        if self._soon is None and dealer.is_readable(self._socket):
            self._read_soon()

    def _read_soon(self) -> None:
        if self._loop is not None:
            self._soon = self._loop.call_soon(self._take_in)

    def _take_in(self) -> None:
        """Receive until there is no more; of a stream that does not end, a part, so that others have their turn."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        socket, requests = self._socket, self._requests
        if socket is None:
            return
        receive = socket.recv
        try:
            # Most often a change that is none; the error by which `recv` says so would cost more than the question.
            if not dealer.is_readable(socket):
                return
            for _ in range(silence.DRAIN):
                # Four frames without asking whether there are more, as `line` does, and for its reasons.
                reply = requests.receive((receive(NOW), receive(NOW), receive(NOW), receive(NOW)))
                self._quiet_since_s = time.monotonic()
                if reply is not None:
                    self._end(reply.request_id, reply)
                if not requests and not dealer.is_readable(socket):
                    return
            self._read_soon()
        except zmq.Again:
            return
        except MaestroError as error:
            # No broker of ours, or a stray message of its: nothing that comes after it can be trusted.
            self._fail(error)

    def _fail(self, error: MaestroError) -> None:
        """Everything that waits ends with this error."""
        self._drop()
        self._end_all(lambda: MaestroError(error.code, error.message, error.hint))

    # --- time ----------------------------------------------------------------------------------------------

    def _arm(self, now_s: float) -> None:
        """Set the timer to when something is due even if nothing comes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_s = float("inf")
        wake_s = self._requests.next_wake_s(now_s)
        if wake_s is None or self._loop is None:
            return
        if self._socket is None:
            wake_s = min(wake_s, now_s + self._look_again_s)
        else:
            wake_s = min(wake_s, self._quiet_since_s + silence.QUIET_S)
        self._timer_s = wake_s
        self._timer = self._loop.call_later(max(0.0, wake_s - now_s), self._ring)

    def _ring(self) -> None:
        self._timer = None
        # What lies here unread, because the loop was busy, is neither late nor silence.
        self._take_in()
        self._mend(time.monotonic())
        self._arm(time.monotonic())

    def _mend(self, now_s: float) -> None:
        """Look after silence, send again, give up."""
        requests = self._requests
        if not requests:
            return
        self._look_at_handshakes()
        if self._socket is None:
            self._look_for_broker()
        elif now_s - self._quiet_since_s >= silence.QUIET_S:
            self._quiet_since_s = now_s
            if not (listens(self._address) if self._handshakes is None else self._handshakes.may_answer):
                self._lose()
        for frames in requests.due(now_s):
            self._send(frames)
        for request_id in requests.expired(now_s):
            self._end(request_id, silence.unanswered(self._address, connected=self._socket is not None))

    def _lose(self) -> None:
        self._drop()
        self._look_again_s = silence.LOOK_AGAIN_S
        if not self._patient:
            self._end_all(lambda: silence.unreachable(self._address))

    def _look_for_broker(self) -> None:
        """See whether somebody listens again."""
        self._look_again_s = min(self._look_again_s * 2, silence.LOOK_AGAIN_MAX_S)
        if listens(self._address):
            try:
                self._connect_again()
            except MaestroError as error:
                self._fail(error)


def _elsewhere(what: str) -> MaestroError:
    return MaestroError("BAD_REQUEST", f"this client belongs to another {what}", "Make a new one.")
