"""Connection: the requests of one client that wait for an answer.

Rule: sans-IO. No socket and no clock: frames come in and go out, and `now_s` (any steady clock, in seconds) is an
argument. An unanswered request is sent again with the same id and the same bytes, at growing intervals, until it
is answered or its time is over; every command of the protocol can be repeated safely, so a repeat after a lost
reply does nothing twice. An answer that nobody waits for (to a repeat, or too late) is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_clients.protocol.codec import Reply, decode_reply
from maestro_schemas import PROTOCOL_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_clients.protocol.codec import Frames

# The broker answers in well under a millisecond, or after one slow fsync: seen up to 200 ms on a busy disk.
RESEND_AFTER_S = 0.3
# A request written just before the broker died is repeated at most this much later.
RESEND_AFTER_MAX_S = 0.8


class _Waiting:
    """One request without an answer."""

    __slots__ = ("deadline_s", "frames", "interval_s", "resend_s")

    def __init__(self, frames: Frames, deadline_s: float, resend_s: float, interval_s: float) -> None:
        self.frames = frames
        self.deadline_s = deadline_s
        self.resend_s = resend_s
        self.interval_s = interval_s


class PendingRequests:
    """`len(connection)` is the number of requests without an answer."""

    def __init__(
        self, *, resend_after_s: float = RESEND_AFTER_S, resend_after_max_s: float = RESEND_AFTER_MAX_S
    ) -> None:
        self._resend_after_s = resend_after_s
        self._resend_after_max_s = resend_after_max_s
        self._waiting: dict[bytes, _Waiting] = {}
        self._count = 0
        # No request is due before this; may be early, never late.
        self._wake_s = float("inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def request(self, command: str, body: bytes, now_s: float, timeout_s: float) -> tuple[bytes, Frames]:
        """A new request: its id, unique within this connection, and the frames to send."""
        self._count += 1
        request_id = b"%x" % self._count
        frames = (PROTOCOL_HEADER, request_id, command.encode("ascii", "replace"), body)
        deadline_s = now_s + timeout_s
        resend_s = now_s + self._resend_after_s
        self._waiting[request_id] = _Waiting(frames, deadline_s, resend_s, self._resend_after_s)
        self._wake_s = min(self._wake_s, deadline_s, resend_s)
        return request_id, frames

    def receive(self, frames: Sequence[bytes]) -> Reply | None:
        """The answer, or None where nobody waits for it.

        Raises MaestroError for frames that are no reply, or whose body can't be read: the peer does not speak our
        protocol. What waits goes on waiting.
        """
        if len(frames) > 1 and frames[0] == PROTOCOL_HEADER and frames[1] not in self._waiting:
            return None
        reply = decode_reply(frames)
        del self._waiting[reply.request_id]
        return reply

    def due(self, now_s: float) -> list[Frames]:
        """The frames of every request whose answer is late, the oldest first, to be sent again now."""
        if now_s < self._wake_s:
            return []
        frames = []
        wake_s = float("inf")
        for waiting in self._waiting.values():
            if waiting.resend_s <= now_s < waiting.deadline_s:
                frames.append(waiting.frames)
                waiting.interval_s = min(waiting.interval_s * 2, self._resend_after_max_s)
                waiting.resend_s = now_s + waiting.interval_s
            wake_s = min(wake_s, waiting.resend_s, waiting.deadline_s)
        self._wake_s = wake_s
        return frames

    def again(self, now_s: float) -> list[Frames]:
        """The frames of every request that waits, the oldest first: for a new socket, which the old one's are lost
        to."""
        for waiting in self._waiting.values():
            waiting.resend_s = now_s + waiting.interval_s
            self._wake_s = min(self._wake_s, waiting.resend_s)
        return [waiting.frames for waiting in self._waiting.values() if now_s < waiting.deadline_s]

    def expired(self, now_s: float) -> list[bytes]:
        """The ids of the requests whose time is over; they are forgotten."""
        if now_s < self._wake_s:
            return []
        over = [request_id for request_id, waiting in self._waiting.items() if waiting.deadline_s <= now_s]
        for request_id in over:
            del self._waiting[request_id]
        return over

    def next_wake_s(self, now_s: float) -> float | None:
        """When `due` or `expired` may have something, not before `now_s`; None while nothing waits."""
        return max(self._wake_s, now_s) if self._waiting else None

    def forget(self, request_id: bytes) -> None:
        """Nobody waits for this any more."""
        self._waiting.pop(request_id, None)

    def forget_all(self) -> list[bytes]:
        """Nobody waits for anything any more; returns what was waited for."""
        forgotten = list(self._waiting)
        self._waiting.clear()
        self._wake_s = float("inf")
        return forgotten
