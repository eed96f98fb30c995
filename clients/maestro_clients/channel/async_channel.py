"""Asynchronous line: as `line`, a connection to a broker and the requests that wait on it, in an asyncio event loop.

Rule: as `line`'s. Any number of tasks of one event loop may call; one that is cancelled takes its request with it and
nobody else's. No thread, and no asyncio.Protocol: the loop watches the plug's descriptors, so that both kinds of line
are joined to a broker in the same way.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from maestro_clients.transports import transport
from maestro_clients.transports.addresses import listens
from maestro_clients.transports.unix import ConnectionLostError
from maestro_schemas.errors import MaestroError

from . import unanswered
from .pending_requests import PendingRequests

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_clients.protocol.codec import Frames, Reply


class AsyncChannel:
    """A connection to `address`, made with the first request, in the event loop of that request.

    `patient`: wait for a broker that is gone, as long as the requests may take.
    """

    def __init__(self, address: str, *, patient: bool = False) -> None:
        self._address = address
        self._patient = patient
        self._closed = False
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._plug: transport.Transport | None = None
        self._requests = PendingRequests()
        self._futures: dict[bytes, asyncio.Future[Reply | MaestroError]] = {}
        self._quiet_since_s = 0.0
        self._look_again_s = unanswered.LOOK_AGAIN_S
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        # Takes in what no descriptor tells of.
        self._soon: asyncio.Handle | None = None
        # Whether the loop watches that the socket takes more.
        self._offers = False

    @property
    def address(self) -> str:
        """Where the broker is."""
        return self._address

    def move(self, address: str) -> None:
        """The broker is elsewhere now; what waits for an answer is sent again there.

        Raises MaestroError BAD_REQUEST on a closed line, BROKER_UNREACHABLE for an address that is none.
        """
        if self._closed:
            raise unanswered.closed()
        self._drop()
        self._address = address
        self._quiet_since_s = time.monotonic()
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
        self._end_all(unanswered.not_ours)

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
            if self._plug is None:
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
        if ended.status >= unanswered.ERROR_STATUS:
            raise MaestroError.from_body(ended.body)
        return ended.body

    def forget(self, request_id: bytes) -> None:
        """Nobody waits for this any more."""
        self._requests.forget(request_id)
        self._futures.pop(request_id, None)

    def _checked_loop(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise unanswered.closed()
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

    # --- the connection ------------------------------------------------------------------------------------

    def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        self._plug = transport.connect(self._address)
        if self._plug is not None:
            for descriptor in self._plug.descriptors:
                loop.add_reader(descriptor, self._take_in)

    def _connect_again(self) -> None:
        """Where somebody listens, send what waits there."""
        assert self._loop is not None  # noqa: S101 - there are requests, and each was made in a loop
        self._connect(self._loop)
        if self._plug is not None:
            for frames in self._requests.again(time.monotonic()):
                self._send(frames)

    def _drop(self) -> None:
        joined, self._plug = self._plug, None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if joined is None:
            return
        # A forked child shares the parent's epoll: taking the descriptor out of it would make the parent deaf.
        if self._loop is not None and self._pid == os.getpid() and not self._loop.is_closed():
            for descriptor in joined.descriptors:
                self._loop.remove_reader(descriptor)
                self._loop.remove_writer(descriptor)
        self._offers = False
        joined.close()

    def _send(self, frames: Frames) -> None:
        # At once, also when others of this turn of the loop follow. Together they would take less CPU, but broker and
        # client would wait for each other: 256 tasks sent 27,000 a second so, and 70,000 this way.
        if self._plug is not None:
            self._plug.send(frames)
            self._look_after(self._plug)

    def _look_after(self, joined: transport.Transport) -> None:
        """See to what no descriptor tells of, and to what could not be sent yet."""
        assert self._loop is not None  # noqa: S101 - as above
        if self._soon is None and joined.unannounced:
            self._soon = self._loop.call_soon(self._take_in)
        if joined.holds_back != self._offers:
            self._offers = not self._offers
            for descriptor in joined.descriptors:
                if self._offers:
                    self._loop.add_writer(descriptor, self._take_in)
                else:
                    self._loop.remove_writer(descriptor)

    def _take_in(self) -> None:
        """Receive what is there; of a stream that does not end, a part, so that others have their turn."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        joined, requests = self._plug, self._requests
        if joined is None:
            return
        try:
            messages = joined.receive(0)
            for frames in messages:
                reply = requests.receive(frames)
                if reply is not None:
                    self._end(reply.request_id, reply)
        except ConnectionLostError:
            self._lose()
            return
        except MaestroError as error:
            # No broker of ours, or a stray message of its: nothing that comes after it can be trusted.
            self._fail(error)
            return
        if messages:
            self._quiet_since_s = time.monotonic()
            self._look_again_s = unanswered.LOOK_AGAIN_S
        elif (refused := joined.refused()) is not None:
            self._fail(refused)
            return
        self._look_after(joined)

    def _lose(self) -> None:
        """The broker has gone; where something waits, whether it comes back is looked for."""
        self._drop()
        self._quiet_since_s = time.monotonic()
        self._arm(self._quiet_since_s)

    def _fail(self, error: MaestroError) -> None:
        """Everything that waits ends with this error."""
        self._drop()
        self._end_all(lambda: MaestroError(error.code, error.message, error.hint))
        self._arm(time.monotonic())

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
        if self._plug is None:
            wake_s = min(wake_s, now_s + self._look_again_s)
        else:
            wake_s = min(wake_s, self._quiet_since_s + unanswered.QUIET_S)
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
        if self._plug is None:
            self._look_for_broker(now_s)
        elif now_s - self._quiet_since_s >= unanswered.QUIET_S:
            self._quiet_since_s = now_s
            if not self._plug.may_answer():
                self._drop()
                if not self._patient:
                    self._end_all(lambda: unanswered.unreachable(self._address))
        # What still waits here to be sent would only be followed by its own copy.
        held_back = self._plug is not None and self._plug.holds_back
        for frames in requests.due(now_s):
            if not held_back:
                self._send(frames)
        for request_id in requests.expired(now_s):
            self._end(request_id, unanswered.unanswered(self._address, connected=self._plug is not None))

    def _look_for_broker(self, now_s: float) -> None:
        """See whether somebody listens again. A broker that is being replaced is back in a moment, so a line that is
        not patient gives it one."""
        self._look_again_s = min(self._look_again_s * 2, unanswered.LOOK_AGAIN_MAX_S)
        try:
            self._connect_again()
        except MaestroError as error:
            self._fail(error)
            return
        quiet = now_s - self._quiet_since_s >= unanswered.QUIET_S
        if self._plug is None and not self._patient and quiet and not listens(self._address):
            self._end_all(lambda: unanswered.unreachable(self._address))


def _elsewhere(what: str) -> MaestroError:
    return MaestroError("BAD_REQUEST", f"this client belongs to another {what}", "Make a new one.")
