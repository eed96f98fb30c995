"""Driver: the I/O that the blocking and the asyncio channel have in common.

Rule: the core decides, and the transport moves bytes. A connection that breaks is made again, and the requests that
wait are sent again. Only `_receive` waits, as long as its argument says.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from maestro_clients.protocol.codec import decode
from maestro_clients.transports import transport
from maestro_clients.transports.addresses import listens
from maestro_clients.transports.unix import ConnectionLostError
from maestro_schemas.errors import MaestroError

from .core import ChannelCore
from .unanswered import unanswered, unreachable

if TYPE_CHECKING:
    from maestro_clients.protocol.codec import Frames


class ChannelDriver:
    """A connection to `address`, made with the first request.

    `patient`: requests wait for a broker that is gone until their deadlines.
    """

    def __init__(self, address: str, *, patient: bool) -> None:
        self._address = address
        self._closed = False
        self._transport: transport.Transport | None = None
        self._core = ChannelCore(decode, patient=patient)

    def _connect(self) -> None:
        """Raises MaestroError as `transport.connect`; where no broker listens there is no connection afterwards."""
        self._transport = transport.connect(self._address)

    def _disconnect(self) -> None:
        connected, self._transport = self._transport, None
        if connected is not None:
            connected.close()

    def _send(self, frames: Frames) -> None:
        if self._transport is not None:
            self._transport.send(frames)

    def _receive(self, connected: transport.Transport, wait_s: float, spin_s: float = 0.0) -> None:
        """Receive what has arrived, after a wait for the first message; the first `spin_s` of it awake."""
        try:
            messages = connected.receive(wait_s, spin_s)
            if messages:
                self._core.receive(messages, time.monotonic())
            elif (refused := connected.refused()) is not None:
                self._fail(refused)
        except ConnectionLostError:
            self._disconnect()
            self._core.lost(time.monotonic())
        except MaestroError as error:
            # The peer is no broker of ours, or sent a stray message: nothing that follows can be trusted.
            self._fail(error)

    def _fail(self, error: MaestroError) -> None:
        self._disconnect()
        self._core.fail(error)

    def _tend(self, now_s: float) -> None:
        """Test a silent broker, connect again, send late requests again, end those after their deadline."""
        core = self._core
        if not core:
            return
        if self._transport is None:
            self._reconnect(now_s)
        elif core.is_quiet(now_s):
            core.tested(now_s)
            if not self._transport.may_answer():
                self._disconnect()
                if not core.patient:
                    core.fail(unreachable(self._address))
        # A copy of a request that is still unsent would only follow it.
        may_send = self._transport is not None and not self._transport.holds_back
        for frames in core.due(now_s):
            if may_send:
                self._send(frames)
        for request_id in core.expired(now_s):
            core.ended[request_id] = unanswered(self._address, connected=self._transport is not None)

    def _reconnect(self, now_s: float) -> None:
        try:
            self._connect()
        except MaestroError as error:
            self._fail(error)
            return
        if self._transport is not None:
            for frames in self._core.again(now_s):
                self._send(frames)
            return
        self._core.reconnect_failed()
        if self._core.gives_up(now_s) and not listens(self._address):
            self._core.fail(unreachable(self._address))
