"""Watch connection: the two sockets of a watcher, one for requests and one for notices.

Rule: nothing is decided here; `watcher` decides. A connection that broke is opened again at the address that the
data directory names then. After the first connection no broker is started.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import zmq

from maestro_clients.processes.broker_process import connect_if_running, read_endpoints
from maestro_clients.protocol.codec import encoder
from maestro_schemas.errors import MaestroError

from .notices import Notices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_clients.channel.sync_channel import SyncChannel
    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import EventDoc


class WatchConnection:
    """Requests that speak for `caller`, and the notices of `session`."""

    def __init__(self, data: str, environ: Mapping[str, str], caller: Caller, session: str) -> None:
        self._data = data
        self._environ = environ
        self._caller = caller
        self._session = session
        self._encode = encoder()
        # The client that was opened here, and is closed here.
        self._own: Client | None = None
        self._channel: SyncChannel | None = None
        self._notices: Notices | None = None
        self._poller = zmq.Poller()
        # The socket of the channel that the poller watches.
        self._polled: Any = None

    @property
    def is_open(self) -> bool:
        """Whether requests can be posted."""
        return self._channel is not None

    def open(self, client: Client, *, owned: bool) -> bool:
        """Use the client's connection, and subscribe to the notices of its broker; False where the data directory
        names another broker. An `owned` client is closed with this."""
        if owned:
            self._own = client
        endpoints = read_endpoints(self._data, self._environ)
        if endpoints is None or endpoints.router != client.address:
            self.close()
            return False
        # Notices first: a message that is accepted from now on either is in the first page or is noticed.
        try:
            self._notices = Notices(endpoints.notices, self._session)
        except MaestroError as error:
            self.close()
            if error.kind != "unreachable":
                raise
            return False
        self._channel = client.channel
        self._poller = zmq.Poller()
        self._polled = None
        self._poller.register(self._notices.socket, zmq.POLLIN)
        self._poller.register(self._notices.monitor, zmq.POLLIN)
        return True

    def reopen(self) -> str | None:
        """Connect to the broker that runs now; its address, None where none does."""
        client = connect_if_running(self._data, self._environ, self._caller)
        return client.address if client is not None and self.open(client, owned=True) else None

    def close(self) -> None:
        """Unsubscribe, and close the connection if it was opened here. Can be repeated."""
        if self._notices is not None:
            self._notices.close()
        if self._own is not None:
            self._own.close()
        self._notices = self._channel = self._own = None

    def post(self, command: str, fields: Mapping[str, Any], timeout_s: float) -> bytes | None:
        """Send a request without waiting; its id, None without a connection."""
        return None if self._channel is None else self._channel.post(command, self._body(fields), timeout_s)

    def call(self, command: str, fields: Mapping[str, Any], timeout_s: float) -> None:
        """Send a request and wait for its reply. Raises its MaestroError."""
        if self._channel is not None:
            self._channel.call(command, self._body(fields), timeout_s)

    def _body(self, fields: Mapping[str, Any]) -> bytes:
        speaker = self._caller.as_body()
        return self._encode({"as": speaker, **fields} if speaker else fields)

    def take(self, request_id: bytes | None) -> dict[str, Any] | None:
        """The reply's body, or None while there is none. Raises the MaestroError that the request ended with."""
        return None if self._channel is None or request_id is None else self._channel.take(request_id)

    def forget(self, request_ids: Sequence[bytes | None]) -> None:
        """No caller waits for these any more: on a shared connection, their replies would stay."""
        for request_id in request_ids:
            if self._channel is not None and request_id is not None:
                self._channel.forget(request_id)

    def receive(self) -> None:
        """Receive the replies that have arrived."""
        if self._channel is not None:
            self._channel.pump(0.0)

    def wait(self, until_s: float, request_ids: Sequence[bytes | None]) -> tuple[list[EventDoc], bool]:
        """Wait until something arrives, or `until_s`; receive it. The notices, and whether the connection for notices
        may have broken (`is_lost` says so)."""
        channel, notices = self._channel, self._notices
        if channel is None or notices is None:
            return [], False
        now_s = time.monotonic()
        if self._polled is not channel.socket:
            self._watch(channel.socket)
        wake_s = channel.next_wake_s(now_s)
        if channel.has_arrived(request_ids):
            until_s = now_s  # a call of the client that shares the connection has received it
        elif wake_s is not None:
            until_s = min(until_s, wake_s)
        # Rounded up, else the end of the wait would be a busy loop.
        ready = dict(self._poller.poll(max(0, int((until_s - now_s) * 1000) + 1)))
        events = notices.drain() if notices.socket in ready else []
        channel.pump(0.0)
        return events, notices.monitor in ready

    def is_lost(self) -> bool:
        """Whether the connection for notices broke. Raises MaestroError KEY_REFUSED."""
        return self._notices is not None and self._notices.is_lost()

    def _watch(self, socket: Any) -> None:
        if self._polled is not None:
            self._poller.unregister(self._polled)
        self._polled = socket
        if socket is not None:
            self._poller.register(socket, zmq.POLLIN)
