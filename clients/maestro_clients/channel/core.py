"""Channel core: the requests of one client, and what to do about those without a reply.

Rule: sans-IO. No socket and no clock: frames come in and go out, and `now_s` (any steady clock, in seconds) is an
argument. A request ends in a reply, a TIMEOUT or BROKER_UNREACHABLE. Without a reply it is sent again with the same
id and the same bytes, at growing intervals, until its deadline: every command of the protocol can be repeated safely.
Replies that no request waits for (to a repeat, or too late) are dropped. Imports nothing that costs time, since the
fast path is a driver of this, too.
"""

from __future__ import annotations

from maestro_schemas import PROTOCOL_HEADER
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from maestro_clients.protocol.codec import Frames

    # A reply: HTTP's status number, and the body; from 400 on, the body is an error's.
    Reply = tuple[int, dict[str, Any]]

# The broker answers in well under a millisecond, or after one slow fsync: seen up to 200 ms on a busy disk.
RESEND_AFTER_S = 0.3
# A request written just before the broker died is repeated at most this much later.
RESEND_AFTER_MAX_S = 0.8
# After this much silence the driver tests whether the broker is there. A test costs 20 us, and the broker one accept.
QUIET_S = 0.3
# How often a client without a connection tries to connect: first, and at most.
RECONNECT_AFTER_S = 0.02
RECONNECT_AFTER_MAX_S = 0.25

_NEVER_S = float("inf")
_ERROR_STATUS = 400
_REPLY_FRAMES = 4


class _Request:
    """One request without a reply."""

    __slots__ = ("deadline_s", "frames", "interval_s", "resend_s")

    def __init__(self, frames: Frames, deadline_s: float, resend_s: float, interval_s: float) -> None:
        self.frames = frames
        self.deadline_s = deadline_s
        self.resend_s = resend_s
        self.interval_s = interval_s


class ChannelCore:
    """`len(core)` is the number of requests without a reply.

    `decode`: from the bytes of a body to its map. `patient`: wait for a broker that is gone until the requests'
    deadlines, instead of giving up after QUIET_S.
    """

    def __init__(self, decode: Callable[[bytes], dict[str, Any]], *, patient: bool = False) -> None:
        # The outcomes that the driver has not taken yet, by request.
        self.ended: dict[bytes, Reply | MaestroError] = {}
        self._decode = decode
        self.patient = patient
        self._waiting: dict[bytes, _Request] = {}
        self._count = 0
        # No request is due before this. It may be early, never late.
        self._wake_s = _NEVER_S
        self._quiet_since_s = 0.0
        # The wait before the next attempt to connect.
        self.reconnect_after_s = RECONNECT_AFTER_S

    def __len__(self) -> int:
        return len(self._waiting)

    # --- requests and replies ------------------------------------------------------------------------------

    def request(self, command: str, body: bytes, now_s: float, timeout_s: float) -> tuple[bytes, Frames]:
        """A new request: its id, unique within this channel, and the frames to send."""
        if not self._waiting:
            self._quiet_since_s = now_s
        self._count += 1
        request_id = b"%x" % self._count
        frames = (PROTOCOL_HEADER, request_id, command.encode("ascii", "replace"), body)
        deadline_s = now_s + timeout_s
        resend_s = now_s + RESEND_AFTER_S
        self._waiting[request_id] = _Request(frames, deadline_s, resend_s, RESEND_AFTER_S)
        self._wake_s = min(self._wake_s, resend_s, deadline_s)
        return request_id, frames

    def receive(self, messages: Sequence[Sequence[bytes]], now_s: float) -> None:
        """Take in the messages of the broker; `ended` then has the replies.

        Raises MaestroError for frames that are no reply, or whose body can't be read: the peer does not speak our
        protocol. The requests still wait then.
        """
        waiting, ended, decode = self._waiting, self.ended, self._decode
        for frames in messages:
            # Before anything is decoded: a reply that no request waits for is dropped, whatever it holds.
            if len(frames) > 1 and frames[0] == PROTOCOL_HEADER and frames[1] not in waiting:
                continue
            request_id, reply = decode_reply(frames, decode)
            del waiting[request_id]
            ended[request_id] = reply
        if messages:
            self._quiet_since_s = now_s
            self.reconnect_after_s = RECONNECT_AFTER_S

    def forget(self, request_ids: Iterable[bytes]) -> None:
        """No caller waits for these any more."""
        for request_id in request_ids:
            self._waiting.pop(request_id, None)
            self.ended.pop(request_id, None)

    def fail(self, error: MaestroError) -> None:
        """End every request with this error: each with its own copy, for callers that raise one object would gather
        all their tracebacks in it."""
        for request_id in self._waiting:
            self.ended[request_id] = MaestroError(error.code, error.message, error.hint)
        self._waiting.clear()
        self._wake_s = _NEVER_S

    # --- the connection ------------------------------------------------------------------------------------

    def lost(self, now_s: float) -> None:
        """The connection broke. A broker that is being replaced is back in a moment, so even an impatient channel
        waits QUIET_S for it."""
        self._quiet_since_s = now_s

    def again(self, now_s: float) -> list[Frames]:
        """The frames of every request, the oldest first: for a new connection, since those sent on the old one may be
        lost."""
        for request in self._waiting.values():
            request.resend_s = now_s + request.interval_s
            self._wake_s = min(self._wake_s, request.resend_s)
        return [request.frames for request in self._waiting.values() if now_s < request.deadline_s]

    def reconnect_failed(self) -> None:
        """Wait twice as long before the next attempt."""
        self.reconnect_after_s = min(self.reconnect_after_s * 2, RECONNECT_AFTER_MAX_S)

    def is_quiet(self, now_s: float) -> bool:
        """Whether requests wait, and nothing was received for QUIET_S."""
        return bool(self._waiting) and now_s >= self._quiet_since_s + QUIET_S

    def tested(self, now_s: float) -> None:
        """The driver tests a quiet broker now; the next test is due after QUIET_S."""
        self._quiet_since_s = now_s

    def gives_up(self, now_s: float) -> bool:
        """Whether the requests should end, if no broker listens now."""
        return not self.patient and self.is_quiet(now_s)

    # --- time ----------------------------------------------------------------------------------------------

    def due(self, now_s: float) -> list[Frames]:
        """The frames of every request whose reply is late, the oldest first, to be sent again now."""
        if now_s < self._wake_s:
            return []
        frames = []
        wake_s = _NEVER_S
        for request in self._waiting.values():
            if request.resend_s <= now_s < request.deadline_s:
                frames.append(request.frames)
                request.interval_s = min(request.interval_s * 2, RESEND_AFTER_MAX_S)
                request.resend_s = now_s + request.interval_s
            wake_s = min(wake_s, request.resend_s, request.deadline_s)
        self._wake_s = wake_s
        return frames

    def expired(self, now_s: float) -> list[bytes]:
        """The ids of the requests whose deadline has passed; they are forgotten."""
        if now_s < self._wake_s:
            return []
        over = [request_id for request_id, request in self._waiting.items() if request.deadline_s <= now_s]
        for request_id in over:
            del self._waiting[request_id]
        return over

    def next_wake_s(self, now_s: float, *, connected: bool = True) -> float | None:
        """When the driver has something to do if nothing arrives, not before `now_s`; None while no request waits."""
        if not self._waiting:
            return None
        other_s = self._quiet_since_s + QUIET_S if connected else now_s + self.reconnect_after_s
        return max(min(self._wake_s, other_s), now_s)


def decode_reply(frames: Sequence[bytes], decode: Callable[[bytes], dict[str, Any]]) -> tuple[bytes, Reply]:
    """The request's id and the reply. Raises MaestroError UNSUPPORTED_PROTOCOL or BAD_REQUEST, and as `decode`."""
    if not frames or frames[0] != PROTOCOL_HEADER:
        raise MaestroError(
            "UNSUPPORTED_PROTOCOL",
            f"the peer answered with {frames[0][:16] if frames else b''!r} where {PROTOCOL_HEADER!r} must stand",
            "The broker is of another version: `maestro down`; the next command starts the installed one.",
        )
    if len(frames) != _REPLY_FRAMES:
        raise _unreadable(f"{len(frames)} frames instead of {_REPLY_FRAMES}")
    _, request_id, status, body = frames
    if len(status) != 3 or not status.isdigit():
        raise _unreadable(f"the status {status[:16]!r}")
    return request_id, (int(status), decode(body))


def body_of(outcome: Reply | MaestroError) -> dict[str, Any]:
    """The body of a reply. Raises the MaestroError that the outcome or the reply is."""
    if isinstance(outcome, MaestroError):
        raise outcome
    status, body = outcome
    if status >= _ERROR_STATUS:
        raise refusal(body)
    return body


def refusal(body: object) -> MaestroError:
    """The error that a broker answers a request with."""
    error = MaestroError.from_body(body)
    if error.code not in ("INVALID", "UNKNOWN_COMMAND"):
        return error
    from maestro_clients.protocol.older_brokers import explained

    return explained(error)


def _unreadable(what: str) -> MaestroError:
    """The error for bytes that no broker of this version sends."""
    return MaestroError(
        "BAD_REQUEST",
        f"the peer sent {what}",
        "Is it a broker of this post office? `maestro status` says which one answers.",
    )
