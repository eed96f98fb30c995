"""Line: a connection to a broker, and the requests that wait on it.

Rule: a request ends in an answer, a TIMEOUT, or BROKER_UNREACHABLE. A connection that breaks is made again, and what
waits is sent again; where nobody listens any more the requests fail after a moment, or on a patient line wait for the
broker. For one thread. After a fork the child has a line of its own that waits for nothing.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from maestro_clients.transports import transport
from maestro_clients.transports.addresses import listens
from maestro_clients.transports.unix import ConnectionLostError
from maestro_schemas.errors import MaestroError

from .pending_requests import PendingRequests
from .unanswered import (
    ERROR_STATUS,
    LOOK_AGAIN_MAX_S,
    LOOK_AGAIN_S,
    QUIET_S,
    closed,
    not_ours,
    unanswered,
    unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from maestro_clients.protocol.codec import Frames, Reply

# Longer waits are cut into these, so that a signal's handler or another thread's `close` is not kept waiting.
_SLICE_S = 0.1
# What the broker does not take yet is offered to it again so often.
_HELD_BACK_S = 0.005


class SyncChannel:
    """A connection to `address`, made with the first request.

    `patient`: wait for a broker that is gone, as long as the requests may take.
    """

    def __init__(self, address: str, *, patient: bool = False) -> None:
        self._address = address
        self._patient = patient
        self._closed = False
        self._plug: transport.Transport | None = None
        self._arrived: dict[bytes, Reply | MaestroError] = {}
        self._start_over()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._requests = PendingRequests()
        self._arrived.clear()
        self._quiet_since_s = 0.0
        self._look_again_s = LOOK_AGAIN_S
        self._drop()  # a forked child's, which is no end for the parent's

    @property
    def socket(self) -> Any:
        """For a poller; None before the first request and while the broker is gone."""
        return None if self._plug is None else self._plug.socket

    def open(self) -> bool:
        """Connect now; False where no broker listens. Raises MaestroError BAD_REQUEST on a closed channel."""
        self._check_use()
        if self._plug is None:
            self._plug = transport.connect(self._address)
        return self._plug is not None

    def has_arrived(self, request_ids: Collection[bytes | None]) -> bool:
        """Whether `take` has something for one of these."""
        return any(request_id in self._arrived for request_id in request_ids)

    def close(self) -> None:
        """Let go; answers that come later are nobody's. Can be repeated."""
        self._closed = True
        self._requests.forget_all()
        self._arrived.clear()
        self._drop()

    def _drop(self) -> None:
        if self._plug is not None:
            self._plug.close()
            self._plug = None

    # --- requests ------------------------------------------------------------------------------------------

    def post(self, command: str, body: bytes, timeout_s: float) -> bytes:
        """Send a request without waiting; its id. Raises MaestroError BAD_REQUEST on a closed line."""
        self._check_use()
        requests, now_s = self._requests, time.monotonic()
        if not requests:
            self._quiet_since_s = now_s
            if self._plug is None:
                self._plug = transport.connect(self._address)
        request_id, frames = requests.request(command, body, now_s, timeout_s)
        self._send(frames)
        return request_id

    def _check_use(self) -> None:
        if self._closed:
            raise closed()
        if self._pid != os.getpid():
            self._start_over()

    def _send(self, frames: Frames) -> None:
        if self._plug is not None:
            self._plug.send(frames)

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
        owner = self._pid
        try:
            while (answer := self.take(request_id)) is None:
                self.pump(None)
                if self._pid != owner:
                    raise not_ours()  # a signal's handler forked, and this is the child
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
        wake_s = self._requests.next_wake_s(now_s)
        if wake_s is not None and (self._plug is None or self._plug.holds_back):
            return min(wake_s, now_s + (self._look_again_s if self._plug is None else _HELD_BACK_S))
        return wake_s

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
        if self._plug is None:
            self._wait_for_broker(wait_s)
        else:
            self._take_in(self._plug, min(wait_s, _SLICE_S))
        self._mend(time.monotonic())

    def _take_in(self, joined: transport.Transport, wait_s: float) -> None:
        """Receive what is there, waiting for the first."""
        requests, arrived = self._requests, self._arrived
        try:
            messages = joined.receive(wait_s)
            for frames in messages:
                reply = requests.receive(frames)
                if reply is not None:
                    arrived[reply.request_id] = reply
        except ConnectionLostError:
            self._drop()
            self._quiet_since_s = time.monotonic()
        except MaestroError as error:
            # No broker of ours, or a stray message of its: nothing that comes after it can be trusted.
            self._drop()
            self._end_all(error)
        else:
            if messages:
                self._quiet_since_s = time.monotonic()
                self._look_again_s = LOOK_AGAIN_S

    def _mend(self, now_s: float) -> None:
        """Look after silence, send again, give up."""
        requests, joined = self._requests, self._plug
        if joined is not None and (refused := joined.refused()) is not None:
            self._drop()
            self._end_all(refused)
        elif joined is not None and now_s - self._quiet_since_s >= QUIET_S and requests:
            self._quiet_since_s = now_s
            if not joined.may_answer():
                self._drop()
                if not self._patient:
                    self._end_all(unreachable(self._address))
        # What still waits here to be sent would only be followed by its own copy.
        held_back = joined is not None and joined.holds_back
        for frames in requests.due(now_s):
            if not held_back:
                self._send(frames)
        for request_id in requests.expired(now_s):
            self._arrived[request_id] = unanswered(self._address, connected=self._plug is not None)

    def _end_all(self, error: MaestroError) -> None:
        for request_id in self._requests.forget_all():
            self._arrived[request_id] = error

    def _wait_for_broker(self, wait_s: float) -> None:
        """Sleep a little, then see whether somebody listens again. A broker that is being replaced is back in a
        moment, so a line that is not patient gives it one."""
        time.sleep(min(wait_s, self._look_again_s))
        self._look_again_s = min(self._look_again_s * 2, LOOK_AGAIN_MAX_S)
        now_s = time.monotonic()
        self._plug = transport.connect(self._address)
        if self._plug is not None:
            for frames in self._requests.again(now_s):
                self._plug.send(frames)
        elif not self._patient and now_s - self._quiet_since_s >= QUIET_S and not listens(self._address):
            self._end_all(unreachable(self._address))
