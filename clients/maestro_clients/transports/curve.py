"""CURVE: the connection to a broker on another machine.

Rule: CURVE only, with the key file of this machine. The key authenticates the broker, never the address. A refused
handshake ends all waiting requests at once, since no retry repairs it. Only clients that use TCP import this.
"""

from __future__ import annotations

import os
import sys

import zmq

from maestro_runtime import key_files
from maestro_schemas.errors import MaestroError

# Plain integers: arithmetic with pyzmq's enums is slow.
_EVENTS_OPTION, _READABLE = int(zmq.EVENTS), int(zmq.POLLIN)
_HEARTBEAT_MS = 2_000
_SILENCE_MS = 6_000
_CONNECT_MS = 3_000
_RECONNECT_MAX_MS = 2_000
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
)
# A connection that breaks during a handshake looks like a wrong broker, but not this many times in a row.
_BROKEN_MAX = 3


def configure_curve(socket: zmq.Socket[bytes], address: str) -> None:
    """Give a socket its keys, before it connects to `tcp://HOST:PORT#KEY_FILE`. Raises MaestroError
    KEY_FILE_UNUSABLE, CURVE_MISSING."""
    place, _, path = address.partition("#")
    if not path:
        raise MaestroError(
            "KEY_FILE_UNUSABLE",
            f"{place} is on another machine, and no key file is named",
            "Write tcp://HOST:PORT#KEY_FILE; in a shell set MAESTRO_BROKER and MAESTRO_KEY_FILE.",
        )
    if not zmq.has("curve"):
        raise MaestroError(
            "CURVE_MISSING",
            "this machine's libzmq was built without CURVE, and without it nothing is sent over TCP",
            "Install pyzmq from its wheel: pip install --force-reinstall pyzmq",
        )
    key = key_files.read_client_key(path)
    # Before the connect, so that no refusal is missed. A socket that has a monitor keeps it.
    socket.get_monitor_socket(_EVENTS)
    try:
        socket.setsockopt(zmq.CURVE_SERVERKEY, key.server.encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, key.pair.public.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, key.pair.secret.encode())
    except zmq.ZMQError:
        raise MaestroError(
            "KEY_FILE_UNUSABLE", f"{path} holds keys that can't be used", "Make a new one: maestro keys new NAME."
        ) from None
    socket.setsockopt(zmq.CONNECT_TIMEOUT, _CONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, _SILENCE_MS)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.IPV6, int("[" in place))


class HandshakeMonitor:
    """What libzmq reports about the connection of a socket with keys."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._pid = os.getpid()
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(_EVENTS)
        self._broken = 0
        # False once no process listens at the address.
        self.may_answer = True
        # Whether a connection broke, or none could be made.
        self.was_lost = False

    def refused(self) -> MaestroError | None:
        """The error because of which no connection can ever be made, if there is one. To be asked now and then."""
        # Called at each wake-up of a loop: EAGAIN as an exception would cost twice as much as the test.
        while int(self.monitor.getsockopt(_EVENTS_OPTION)) & _READABLE:
            frames = self.monitor.recv_multipart(zmq.NOBLOCK)
            event = int.from_bytes(frames[0][:2], sys.byteorder)
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._broken, self.may_answer = 0, True
            elif event == zmq.EVENT_CONNECT_RETRIED:
                self.may_answer, self.was_lost = False, True
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                return MaestroError(
                    "KEY_REFUSED",
                    f"the broker at {self._place()} does not take this machine's key: it was revoked, or never "
                    "known there",
                    "Make a new one there, `maestro keys new NAME`, and set MAESTRO_KEY_FILE to it here.",
                )
            elif event == zmq.EVENT_DISCONNECTED:
                self.was_lost = True
            else:
                self._broken += 1
                if self._broken >= _BROKEN_MAX:
                    return MaestroError(
                        "KEY_REFUSED",
                        f"the process at {self._place()} is not the broker that this machine's key is for",
                        "Its data directory may be a new one (make a new key there: `maestro keys new NAME`), the "
                        "port another program's, or an attacker sits in between: nothing was sent.",
                    )
        return None

    def _place(self) -> str:
        return self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def close(self) -> None:
        """To be called before the socket is closed."""
        if self._pid == os.getpid() and not self._socket.closed:
            self._socket.disable_monitor()
        self.monitor.close(0)
