"""Async channel: the channel for any number of tasks of one asyncio event loop.

Rule: a task that is cancelled takes its own request with it and no other. No thread and no asyncio.Protocol: the loop
watches the transport's descriptors, so that both channels connect to a broker in the same way.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from maestro_clients.channel.core import body_of
from maestro_schemas.errors import MaestroError

from . import unanswered
from .driver import ChannelDriver

if TYPE_CHECKING:
    from maestro_clients.channel.core import Reply
    from maestro_clients.protocol.codec import Frames
    from maestro_clients.transports import transport


class AsyncChannel(ChannelDriver):
    """Requests to the broker at `address`, in the event loop of the first request."""

    def __init__(self, address: str, *, patient: bool = False) -> None:
        super().__init__(address, patient=patient)
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._futures: dict[bytes, asyncio.Future[Reply | MaestroError]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        # Receives messages that no descriptor announces.
        self._soon: asyncio.Handle | None = None
        # Whether the loop watches for the socket to become writable.
        self._watches_writable = False

    @property
    def address(self) -> str:
        """Where the broker is."""
        return self._address

    def move(self, address: str) -> None:
        """The broker has another address now; requests that wait are sent again there.

        Raises MaestroError BAD_REQUEST on a closed channel, BROKER_UNREACHABLE for text that is no address.
        """
        if self._closed:
            raise unanswered.closed()
        self._disconnect()
        self._address = address
        now_s = time.monotonic()
        self._core.lost(now_s)
        if self._core:
            self._connect()
            for frames in self._core.again(now_s):
                self._send(frames)
        self._arm(now_s)

    def close(self) -> None:
        """Close the connection; requests that wait end with BAD_REQUEST. Can be repeated."""
        self._closed = True
        self._fail(unanswered.not_ours())
        self._settle()
        self._arm(time.monotonic())

    # --- requests ------------------------------------------------------------------------------------------

    async def call(self, command: str, body: bytes, timeout_s: float) -> dict[str, Any]:
        """Send, and wait for the reply. Raises the MaestroError that it is, TIMEOUT or BROKER_UNREACHABLE;
        BAD_REQUEST on a closed channel, in another event loop, and in a forked child."""
        request_id, future = self.post(command, body, timeout_s)
        try:
            return body_of(await future)
        finally:
            self.forget(request_id)

    def post(self, command: str, body: bytes, timeout_s: float) -> tuple[bytes, asyncio.Future[Reply | MaestroError]]:
        """Send a request; its id, for `forget`, and its outcome, for `frames.body_of`. Raises as `call`."""
        loop = self._checked_loop()
        if self._transport is None and not self._core:
            self._connect()
        now_s = time.monotonic()
        request_id, frames = self._core.request(command, body, now_s, timeout_s)
        future = self._futures[request_id] = loop.create_future()
        self._send(frames)
        # The timer stays while it fires early enough: setting it costs more than one that fires for nothing.
        if self._timer is None or now_s + timeout_s < self._timer_s:
            self._arm(now_s)
        return request_id, future

    def forget(self, request_id: bytes) -> None:
        """No task waits for this any more."""
        self._core.forget((request_id,))
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

    def _settle(self) -> None:
        """Give each request that ended to its task."""
        ended = self._core.ended
        for request_id, outcome in ended.items():
            future = self._futures.pop(request_id, None)
            if future is not None and not future.done():
                future.set_result(outcome)
        ended.clear()

    # --- the connection ------------------------------------------------------------------------------------

    def _connect(self) -> None:
        super()._connect()
        if self._transport is not None and self._loop is not None:
            for descriptor in self._transport.descriptors:
                self._loop.add_reader(descriptor, self._on_ready)

    def _disconnect(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        # A forked child shares the parent's epoll: removing the descriptor there would make the parent deaf.
        is_watched = self._pid == os.getpid() and self._loop is not None and not self._loop.is_closed()
        if self._transport is not None and self._loop is not None and is_watched:
            for descriptor in self._transport.descriptors:
                self._loop.remove_reader(descriptor)
                self._loop.remove_writer(descriptor)
        self._watches_writable = False
        super()._disconnect()

    def _send(self, frames: Frames) -> None:
        # At once, also when other requests of this turn of the loop follow. Together they would take less CPU, but
        # broker and client would wait for each other: 256 tasks sent 27,000 a second so, and 70,000 this way.
        if self._transport is not None:
            self._transport.send(frames)
            self._watch(self._transport)

    def _watch(self, connected: transport.Transport) -> None:
        """Arrange for messages that no descriptor announces, and for bytes that are unsent."""
        assert self._loop is not None  # noqa: S101 - there are requests, and each was made in a loop
        if self._soon is None and connected.unannounced:
            self._soon = self._loop.call_soon(self._on_ready)
        if connected.holds_back != self._watches_writable:
            self._watches_writable = not self._watches_writable
            for descriptor in connected.descriptors:
                if self._watches_writable:
                    self._loop.add_writer(descriptor, self._on_ready)
                else:
                    self._loop.remove_writer(descriptor)

    def _on_ready(self) -> None:
        """Receive what has arrived; of an endless stream a part, so that other tasks have their turn."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        connected = self._transport
        if connected is None:
            return
        self._receive(connected, 0)
        self._settle()
        if self._transport is connected:
            self._watch(connected)
        else:
            self._arm(time.monotonic())  # the connection broke: look soon whether the broker is back

    # --- time ----------------------------------------------------------------------------------------------

    def _arm(self, now_s: float) -> None:
        """Set the timer to when something is due if nothing arrives."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_s = float("inf")
        wake_s = self._core.next_wake_s(now_s, connected=self._transport is not None)
        if wake_s is None or self._loop is None:
            return
        self._timer_s = wake_s
        self._timer = self._loop.call_later(max(0.0, wake_s - now_s), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # Messages that are unread because the loop was busy are neither late nor silence.
        self._on_ready()
        self._tend(time.monotonic())
        self._settle()
        self._arm(time.monotonic())


def _elsewhere(what: str) -> MaestroError:
    return MaestroError("BAD_REQUEST", f"this client belongs to another {what}", "Make a new one.")
