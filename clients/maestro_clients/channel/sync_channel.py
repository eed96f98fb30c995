"""Sync channel: the channel for one thread that waits for its replies.

Rule: after a fork the child has a channel of its own, without requests.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from maestro_clients.channel.core import body_of
from maestro_clients.protocol.codec import decode
from maestro_schemas.errors import MaestroError

from .core import ChannelCore
from .driver import ChannelDriver
from .unanswered import closed, not_ours

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from maestro_clients.channel.core import Reply

# Longer waits are cut into these, so that a signal's handler or another thread's `close` takes effect soon.
_SLICE_S = 0.1
# The interval at which unsent bytes are offered to the broker again.
_HELD_BACK_S = 0.005


class SyncChannel(ChannelDriver):
    """Requests to the broker at `address`, and their replies by id.

    `spin_us`: how long the first wait after each request stays awake. Raises MaestroError INVALID if that is not 0 to
    limits.SPIN_US_MAX.
    """

    def __init__(self, address: str, *, patient: bool = False, spin_us: int = 0) -> None:
        super().__init__(address, patient=patient)
        self._pid = os.getpid()
        if spin_us:
            _check_spin(spin_us)
        self._spin_s = spin_us / 1_000_000
        # Of the wait to come. A reply that is late after one spin is waited for asleep.
        self._spin_left_s = 0.0

    @property
    def socket(self) -> Any:
        """For a poller; None before the first request and while the broker is gone."""
        return None if self._transport is None else self._transport.socket

    def open(self) -> bool:
        """Connect now; False where no broker listens. Raises MaestroError BAD_REQUEST on a closed channel."""
        self._check_use()
        if self._transport is None:
            self._connect()
        return self._transport is not None

    def close(self) -> None:
        """Close the connection and drop the requests. Can be repeated."""
        self._closed = True
        self._core = ChannelCore(decode)
        self._disconnect()

    def _check_use(self) -> None:
        if self._closed:
            raise closed()
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._core = ChannelCore(decode, patient=self._core.patient)
            self._disconnect()  # the child's copy; the parent's connection stays

    # --- requests ------------------------------------------------------------------------------------------

    def post(self, command: str, body: bytes, timeout_s: float) -> bytes:
        """Send a request without waiting; its id. Raises MaestroError BAD_REQUEST on a closed channel."""
        self._check_use()
        if self._transport is None and not self._core:
            self._connect()
        request_id, frames = self._core.request(command, body, time.monotonic(), timeout_s)
        self._send(frames)
        self._spin_left_s = self._spin_s
        return request_id

    def post_all(self, command: str, bodies: Sequence[bytes], timeout_s: float) -> list[bytes]:
        """As `post`, for several requests by one system call; their ids, in order."""
        self._check_use()
        if self._transport is None and not self._core:
            self._connect()
        now_s = time.monotonic()
        requests = [self._core.request(command, body, now_s, timeout_s) for body in bodies]
        if self._transport is not None:
            self._transport.send_all([frames for _, frames in requests])
        self._spin_left_s = self._spin_s
        return [request_id for request_id, _ in requests]

    def take(self, request_id: bytes) -> dict[str, Any] | None:
        """The body of the reply, or None while there is none. Raises the MaestroError that the request ended with."""
        outcome = self._core.ended.pop(request_id, None)
        return None if outcome is None else body_of(outcome)

    def has_arrived(self, request_ids: Collection[bytes | None]) -> bool:
        """Whether `take` has something for one of these."""
        return any(request_id in self._core.ended for request_id in request_ids)

    def forget(self, request_id: bytes) -> None:
        """No caller waits for this any more."""
        self._core.forget((request_id,))

    def call(self, command: str, body: bytes, timeout_s: float) -> dict[str, Any]:
        """Send, and wait for the reply. Raises the MaestroError that it is, TIMEOUT or BROKER_UNREACHABLE."""
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

        Raises MaestroError BAD_REQUEST when none of them is this channel's: it was closed, or the process forked.
        """
        while not (ended := [request_id for request_id in self._core.ended if request_id in request_ids]):
            self.pump(None)
            if not self._core and not self._core.ended:
                raise not_ours()
        return ended

    def claim(self, request_id: bytes) -> Reply | MaestroError:
        """The outcome of a request that `ended` named. Raises as `ended`, since the process may fork in between."""
        outcome = self._core.ended.pop(request_id, None)
        if outcome is None:
            raise not_ours()
        return outcome

    # --- waiting -------------------------------------------------------------------------------------------

    def next_wake_s(self, now_s: float) -> float | None:
        """When `pump` has something to do if nothing arrives, by `time.monotonic`; None: never."""
        wake_s = self._core.next_wake_s(now_s, connected=self._transport is not None)
        if wake_s is not None and self._transport is not None and self._transport.holds_back:
            return min(wake_s, now_s + _HELD_BACK_S)
        return wake_s

    def pump(self, wait_s: float | None) -> None:
        """Receive what has arrived, after a wait of at most `wait_s` (None: until there is something to do). Then
        send late requests again, and end those after their deadline. Returns at once where no request waits.

        Raises MaestroError BAD_REQUEST on a closed channel; every other error ends a request.
        """
        self._check_use()
        now_s = time.monotonic()
        wake_s = self._core.next_wake_s(now_s, connected=self._transport is not None)
        if wake_s is None:
            return
        left_s = wake_s - now_s
        if wait_s is None or left_s < wait_s:
            wait_s = left_s
        if self._transport is None:
            time.sleep(min(wait_s, self._core.reconnect_after_s))
        else:
            spin_s, self._spin_left_s = self._spin_left_s, 0.0
            self._receive(self._transport, min(wait_s, _SLICE_S), spin_s)
        self._tend(time.monotonic())


def _check_spin(spin_us: int) -> None:
    from maestro_schemas.limits import SPIN_US_MAX

    if not 0 <= spin_us <= SPIN_US_MAX:
        raise MaestroError(
            "INVALID",
            f"spin_us is {spin_us:,}, and it may be 0 to {SPIN_US_MAX:,}",
            "300 is longer than most brokers take for one send; 0 sleeps at once.",
            limit=SPIN_US_MAX,
            actual=spin_us,
        )
