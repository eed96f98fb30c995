"""Loop guard: stops two agents that keep answering each other's short replies.

Rule: each pair of sessions has a sliding window of accepted messages in both directions, and a count of alternating
short messages. Above either limit, the next message is refused for some time. Both are in memory only, so a restart
clears them. A message that asks for something (`request`, `command`, high priority, an acknowledgement wanted) ends a
run of short replies.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import PAIR_WINDOW_MS, SHORT_REPLY_CHARS, SHORT_REPLY_QUIET_MS
from maestro_schemas.messages import NO_METADATA

if TYPE_CHECKING:
    from maestro_schemas.limits import Limits
    from maestro_schemas.messages import Metadata

_ASKING = frozenset({"request", "command"})
# The default size of the window: as many messages as both may send in three minutes, within ten.
_RATES = 6


class PairHistory:
    """The recent messages between two sessions."""

    __slots__ = ("_last_ms", "_last_sender", "_short", "_times_ms")

    def __init__(self) -> None:
        self._times_ms: deque[int] = deque()
        self._last_ms = 0
        self._last_sender = ""
        self._short = 0

    def refusal(
        self, sender: str, receiver: str, text: str, metadata: Metadata, now_ms: int, limits: Limits
    ) -> MaestroError | None:
        """LOOP_GUARD with the time until the next message is accepted; None if this one is."""
        window, times = pair_limit(limits), self._times_ms
        if self._is_full(now_ms, window):
            wait_ms = times[len(times) - window] + PAIR_WINDOW_MS - now_ms
            return _refusal(
                f"{sender} and {receiver} have exchanged {len(times)} messages in the last "
                f"{PAIR_WINDOW_MS // 60_000} minutes, and the limit is {window}",
                "Put several points into one message.",
                wait_ms,
                window,
                len(times) + 1,
            )
        most = limits.short_replies_max
        if most and self._run(sender, text, metadata, now_ms) > most:
            return _refusal(
                f"the last {self._short} messages between {sender} and {receiver} were short answers to one another, "
                f"and the limit is {most}",
                "An acknowledgement needs no answer. If there is something to do, say what, in a message that asks "
                "for it (`--type request`).",
                self._last_ms + SHORT_REPLY_QUIET_MS - now_ms,
                most,
                self._short + 1,
            )
        return None

    def admit(self, sender: str, text: str, now_ms: int, limits: Limits) -> bool:
        """As `refusal` and then `add`, of a message without metadata; False, and nothing is added, if it is refused.
        The run of short replies is counted once."""
        times = self._times_ms
        window = limits.pair_limit or limits.rate_limit * _RATES
        # Mostly all of it is within the window, and then no call is needed.
        if times and (times[0] <= now_ms - PAIR_WINDOW_MS or len(times) >= window) and self._is_full(now_ms, window):
            return False
        short = 0
        if len(text) <= SHORT_REPLY_CHARS:
            short = self._run(sender, text, NO_METADATA, now_ms)
            if limits.short_replies_max and short > limits.short_replies_max:
                return False
        self._short = short
        self._last_sender = sender
        self._last_ms = now_ms
        times.append(now_ms)
        return True

    def add(self, sender: str, text: str, metadata: Metadata, now_ms: int) -> None:
        """A message was accepted."""
        self._short = self._run(sender, text, metadata, now_ms)
        self._last_sender = sender
        self._last_ms = now_ms
        self._times_ms.append(now_ms)

    def _is_full(self, now_ms: int, window: int) -> bool:
        times = self._times_ms
        while times and times[0] <= now_ms - PAIR_WINDOW_MS:
            times.popleft()
        return bool(window) and len(times) >= window

    def is_over(self, now_ms: int) -> bool:
        """Whether all of it is outside the window."""
        return self._last_ms <= now_ms - PAIR_WINDOW_MS

    def _run(self, sender: str, text: str, metadata: Metadata, now_ms: int) -> int:
        """The length of the run of short replies if this message were accepted."""
        if len(text) > SHORT_REPLY_CHARS or metadata.type in _ASKING:
            return 0
        if metadata.priority == "high" or metadata.requires_ack:
            return 0
        if self._last_ms <= now_ms - SHORT_REPLY_QUIET_MS:
            return 1
        # Several short messages of one sender in a row count once.
        return self._short + (sender != self._last_sender)


def pair_limit(limits: Limits) -> int:
    """The most messages between two sessions within the window; 0 means no limit."""
    return limits.pair_limit or limits.rate_limit * _RATES


def pair_key(one: str, other: str) -> tuple[str, str]:
    """The same for both directions."""
    return (one, other) if one < other else (other, one)


def _refusal(what: str, hint: str, wait_ms: int, limit: int, actual: int) -> MaestroError:
    wait_s = max(wait_ms, 0) / 1000
    return MaestroError(
        "LOOP_GUARD",
        what,
        f"{hint} The next one is taken in {max(1, round(wait_s + 0.5))} s.",
        retry_after_s=wait_s,
        limit=limit,
        actual=actual,
    )
