"""Line: one DEALER socket and the requests that wait on it.

Rule: a request ends in an answer, a TIMEOUT, or BROKER_UNREACHABLE. Silence is looked into: where nobody listens
any more, the socket goes with all that is queued in it (libzmq would deliver that whenever somebody comes back),
and the requests fail at once, or on a patient line wait for the broker and are sent again. For one thread. After a
fork the child has a line of its own that waits for nothing.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import zmq

from maestro_schemas.errors import MaestroError

from .connection import Connection
from .dealer import (
    DRAIN,
    ERROR_STATUS,
    LOOK_AGAIN_MAX_S,
    LOOK_AGAIN_S,
    NOW,
    QUIET_S,
    closed,
    connected,
    is_far,
    not_ours,
    send,
    unanswered,
    unreachable,
)
from .liveness import listens

if TYPE_CHECKING:
    from collections.abc import Collection

    from .codec import Reply
    from .connection import Frames
    from .far import Handshakes

# Longer waits are cut into these, so that the socket's timeout, which costs a call to set, stays the same.
_SLICE_MS = 100
_RECEIVE_TIMEOUT = int(zmq.RCVTIMEO)


class Line:
    """A connection to `address`, made with the first request.

    `patient`: wait for a broker that is gone, as long as the requests may take.
    """

    def __init__(self, address: str, *, patient: bool = False) -> None:
        self._address = address
        self._patient = patient
        self._closed = False
        self._socket: zmq.Socket[bytes] | None = None
        self._handshakes: Handshakes | None = None
        self._arrived: dict[bytes, Reply | MaestroError] = {}
        self._start_over()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._requests = Connection()
        self._arrived.clear()
        self._quiet_since_s = 0.0
        self._look_again_s = LOOK_AGAIN_S
        if self._socket is not None:
            # A forked child: pyzmq sees that the socket is the parent's and only marks its own copy as closed.
            self._drop()

    def _connect(self) -> None:
        self._wait_ms = -1
        self._socket = connected(self._address)
        if is_far(self._address):
            from .far import Handshakes

            self._handshakes = Handshakes(self._socket)

    @property
    def socket(self) -> zmq.Socket[bytes] | None:
        """For a poller; None before the first request and while the broker is gone."""
        return self._socket

    def close(self) -> None:
        """Let go; answers that come later are nobody's. Can be repeated."""
        self._closed = True
        self._requests.forget_all()
        self._arrived.clear()
        self._drop()

    def _drop(self) -> None:
        if self._handshakes is not None:
            self._handshakes.close()
            self._handshakes = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- requests ------------------------------------------------------------------------------------------

    def post(self, command: str, body: bytes, timeout_s: float) -> bytes:
        """Send a request without waiting; its id. Raises MaestroError BAD_REQUEST on a closed line."""
        self._check_use()
        requests, now_s = self._requests, time.monotonic()
        if not requests:
            self._quiet_since_s = now_s
            if self._socket is None:
                self._connect()
        request_id, frames = requests.request(command, body, now_s, timeout_s)
        self._send(frames)
        return request_id

    def _check_use(self) -> None:
        if self._closed:
            raise closed()
        if self._pid != os.getpid():
            self._start_over()

    def _send(self, frames: Frames) -> None:
        if self._socket is not None:
            send(self._socket, frames)

    def take(self, request_id: bytes) -> dict[str, Any] | None:
        """The body of the answer, or None while there is none. Raises the MaestroError that the answer is."""
        arrived = self._arrived.pop(request_id, None)
        if arrived is None:
            return None
        if isinstance(arrived, MaestroError):
            raise arrived
        if arrived.status >= ERROR_STATUS:
            raise MaestroError.from_body(arrived.body)
        return arrived.body

    def forget(self, request_id: bytes) -> None:
        """Nobody waits for this any more."""
        self._requests.forget(request_id)
        self._arrived.pop(request_id, None)

    def call(self, command: str, body: bytes, timeout_s: float) -> dict[str, Any]:
        """Send, and wait for the answer. Raises the MaestroError that it is, TIMEOUT or BROKER_UNREACHABLE."""
        request_id = self.post(command, body, timeout_s)
        try:
            while (answer := self.take(request_id)) is None:
                self.pump(None)
        finally:
            self.forget(request_id)
        return answer

    def ended(self, request_ids: Collection[bytes]) -> list[bytes]:
        """Those of the requests for which `take` has something; waits for the first.

        Raises MaestroError BAD_REQUEST when none of them is this line's: it was closed, or the process forked.
        """
        while not (ended := [request_id for request_id in self._arrived if request_id in request_ids]):
            self.pump(None)
            if not self._requests and not self._arrived:
                raise not_ours()
        return ended

    def claim(self, request_id: bytes) -> dict[str, Any]:
        """`take`, of a request that `ended` named; raises also as `ended`, since the process may fork in between."""
        answer = self.take(request_id)
        if answer is None:
            raise not_ours()
        return answer

    # --- waiting -------------------------------------------------------------------------------------------

    def next_wake_s(self, now_s: float) -> float | None:
        """When `pump` has something to do even if nothing comes, by `time.monotonic`; None: never."""
        return self._requests.next_wake_s(now_s)

    def pump(self, wait_s: float | None) -> None:
        """Take in what has come, having waited for it at most `wait_s` (None: until there is something to do);
        send again what is due; end what is too late. Returns at once where no request waits.

        Raises MaestroError BAD_REQUEST on a closed line; every other error is some request's.
        """
        self._check_use()
        now_s = time.monotonic()
        wake_s = self._requests.next_wake_s(now_s)
        if wake_s is None:
            return
        left_s = wake_s - now_s
        if wait_s is None or left_s < wait_s:
            wait_s = left_s
        if self._socket is None:
            self._wait_for_broker(wait_s)
        elif self._take_in(self._socket, wait_s):
            self._quiet_since_s = time.monotonic()
        self._mend(time.monotonic())

    def _take_in(self, socket: zmq.Socket[bytes], wait_s: float) -> bool:
        """Receive what is there, waiting for the first; whether there was any."""
        # Rounded up: a wait that ended a fraction too early would be followed by a busy loop up to the deadline.
        wait_ms = min(int(wait_s * 1000) + 1, _SLICE_MS) if wait_s > 0 else 0
        if wait_ms != self._wait_ms:
            socket.setsockopt(_RECEIVE_TIMEOUT, wait_ms)
            self._wait_ms = wait_ms
        requests, arrived = self._requests, self._arrived
        receive, accept = socket.recv, requests.receive
        flags = 0
        try:
            for _ in range(DRAIN):
                # Four frames without asking whether there are more, which would take longer than receiving them:
                # where a peer sends another number, one soon stands where a header must, and that is an error.
                reply = accept((receive(flags), receive(NOW), receive(NOW), receive(NOW)))
                if reply is not None:
                    arrived[reply.request_id] = reply
                    if not requests:
                        return True  # no more can come; asking libzmq costs a system call
                flags = NOW
        except zmq.Again:
            return flags != 0
        except MaestroError as error:
            # No broker of ours, or a stray message of its: nothing that comes after it can be trusted.
            self._drop()
            self._end_all(error)
        return True

    def _mend(self, now_s: float) -> None:
        """Look after silence, send again, give up."""
        requests = self._requests
        handshakes = self._handshakes
        if handshakes is not None and (refused := handshakes.refused()) is not None:
            self._drop()
            self._end_all(refused)
        if self._socket is not None and now_s - self._quiet_since_s >= QUIET_S and requests:
            self._quiet_since_s = now_s
            if not (listens(self._address) if handshakes is None else handshakes.may_answer):
                self._lose()
        for frames in requests.due(now_s):
            self._send(frames)
        for request_id in requests.expired(now_s):
            self._arrived[request_id] = unanswered(self._address, connected=self._socket is not None)

    def _lose(self) -> None:
        self._drop()
        self._look_again_s = LOOK_AGAIN_S
        if not self._patient:
            self._end_all(unreachable(self._address))

    def _end_all(self, error: MaestroError) -> None:
        for request_id in self._requests.forget_all():
            self._arrived[request_id] = error

    def _wait_for_broker(self, wait_s: float) -> None:
        """Sleep a little, then see whether somebody listens again."""
        time.sleep(min(wait_s, self._look_again_s))
        self._look_again_s = min(self._look_again_s * 2, LOOK_AGAIN_MAX_S)
        if listens(self._address):
            self._connect()
            self._quiet_since_s = time.monotonic()
            for frames in self._requests.again(self._quiet_since_s):
                self._send(frames)
