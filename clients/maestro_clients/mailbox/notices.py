"""Notices: the broker's hints about one session, on a SUB socket.

Rule: a notice may be lost, late or repeated, and is never the truth. The broker sends a `head` to each new
subscription, also after libzmq has reconnected. When the connection breaks, `monitor` becomes readable at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import zmq

from maestro_clients.protocol.codec import decode_notice
from maestro_clients.transports.addresses import is_remote
from maestro_clients.transports.libzmq import NOW, RECONNECT_MAX_MS, RECONNECT_MS, connect, new_socket
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_clients.transports.curve import HandshakeMonitor
    from maestro_schemas.documents import EventDoc

_DRAIN = 1_024


class Notices:
    """A subscription to the notices of `session` (None: of every session), at a broker's `notices` endpoint.

    `watches` False: only its events, so that its senders do not see it as watched; there is no `head` then. For one
    thread and process. Raises MaestroError as `libzmq.connect`.
    """

    def __init__(self, address: str, session: str | None, *, watches: bool = True) -> None:
        self._pid = os.getpid()
        self.socket = new_socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        # Before the connect, so that no loss is missed.
        self._handshakes: HandshakeMonitor | None = None
        if is_remote(address):
            from maestro_clients.transports.curve import HandshakeMonitor

            self._handshakes = HandshakeMonitor(self.socket)
        self.monitor: zmq.Socket[bytes] = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        if session is None:
            topics = [""]
        else:
            kinds = ("",) if watches else ("message.", "session.", "group.")
            topics = [f"{session}|{kind}" for kind in kinds]
        for topic in topics:
            self.socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        try:
            self._place = connect(self.socket, address)
        except MaestroError:
            self._place = None
            self.close()
            raise

    def drain(self) -> list[EventDoc]:
        """The notices that have arrived; of an endless stream, a part. An unreadable one is skipped."""
        events: list[EventDoc] = []
        try:
            for _ in range(_DRAIN):
                frames = self.socket.recv_multipart(NOW)
                try:
                    events.append(decode_notice(frames).event)
                except MaestroError:
                    continue
        except zmq.Again:
            pass
        return events

    def is_lost(self) -> bool:
        """Whether the connection broke; to be asked when `monitor` is readable. Raises MaestroError KEY_REFUSED."""
        if self._handshakes is None:
            return True  # the monitor reports nothing else
        refused = self._handshakes.refused()
        if refused is not None:
            raise refused
        return self._handshakes.was_lost

    def close(self) -> None:
        """Unsubscribe. Can be repeated."""
        if not self.socket.closed:
            if self._pid == os.getpid():
                self.socket.disable_monitor()
            self.monitor.close()
            self.socket.close()
            if self._place is not None:
                self._place.close()
