"""Wakeable: one session whose agent can be woken, and the policy of when it is.

Rule: a wake costs a model turn that no person has asked for. So one is outstanding at a time, caps bound how many
there are, and after some turns in a row that a wake began only a person has the agent go on. Everything here is lost
at a restart. No clock: times are arguments.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple

from maestro_schemas.sessions import WakeState
from maestro_schemas.texts.waking import PROMPT_EVENTS, WOKEN

if TYPE_CHECKING:
    from maestro_broker.core.model.signs import HookSign
    from maestro_schemas.limits import Limits

# The hook at a turn's end signs `idle` first and looks for mail then; it is faster than this.
IDLE_MS = 1_000
# A client that is subscribed to the mailbox has this time to take the mail.
WATCHED_MS = 5_000
# A wake that is not answered is made once more.
_TRIES = 2
# A file that no program has taken is touched after this time, and then after twice the time before: a client that has
# just started, or is busy, may have missed that it was made.
TOUCH_MS = 1_000
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS

# What the file says: the agent was idle, or its sign was too old to tell.
Content = Literal["idle", "any"]


class WakeStep(NamedTuple):
    """What must be done now, and when to look again."""

    # `make` the file; `touch` it, if it is still there; `withdraw` it, unless the wake is carried out already;
    # `remove` what is left of it.
    action: Literal["make", "touch", "withdraw", "remove"] | None = None
    content: Content = "idle"
    next_ms: int | None = None


_NOTHING = WakeStep()


class Wakeable:
    """A session with an agent that `by` wakes."""

    __slots__ = (
        "_claimed",
        "_has_file",
        "_held",
        "_last_ms",
        "_made_ms",
        "_made_seq",
        "_made_sign",
        "_reason",
        "_seen_ms",
        "_sign",
        "_times_ms",
        "_touch_ms",
        "_tries",
        "_turns",
        "_unanswered",
        "_waiting",
        "by",
    )

    def __init__(self, by: str) -> None:
        self.by = by
        # Mail that may wake it, that no reader was offered, and that came since the last answered wake: seq -> when.
        self._waiting: dict[int, int] = {}
        self._sign: HookSign | None = None
        # When the sign was given; of a sign of the future, when it was seen first.
        self._seen_ms = 0
        # The outstanding wake: when it was made last, up to which mail, at which sign, and how often.
        self._made_ms: int | None = None
        self._made_seq = 0
        self._made_sign: HookSign | None = None
        self._tries = 0
        # Whether its file may be there, and whether it was taken, so that a turn is to be expected.
        self._has_file = False
        self._claimed = False
        # When the file is touched, if it is there.
        self._touch_ms = 0
        self._unanswered = False
        # Whether a cap or the brake holds back the wake that is due; it is counted once.
        self._held = False
        # When wakes were made, for the caps, and the last of them.
        self._times_ms: deque[int] = deque()
        self._last_ms: int | None = None
        # Turns in a row that a wake began, with no prompt of a person between.
        self._turns = 0
        self._reason: str | None = None

    @property
    def is_outstanding(self) -> bool:
        """Whether a wake was made that is not answered yet."""
        return self._made_ms is not None

    @property
    def is_unanswered(self) -> bool:
        """Whether its last wake was given up."""
        return self._unanswered

    def mail(self, seq: int, at_ms: int) -> None:
        """Mail that may wake it waits."""
        self._waiting[seq] = at_ms

    def release(self) -> None:
        """A person has written to it."""
        self._turns = 0

    def gone(self, seq: int) -> None:
        """This mail waits no more, and no reader has taken it."""
        self._waiting.pop(seq, None)

    def confirmed(self, seq: int) -> bool:
        """A reader was offered this mail or took it; whether that answers a wake."""
        self._waiting.pop(seq, None)
        self._unanswered = False
        if self._made_ms is None:
            return False
        # What came before the wake and is left was within reach of the turn that it began.
        self._waiting = {seq: at_ms for seq, at_ms in self._waiting.items() if seq > self._made_seq}
        self._end_wake()
        return True

    def signed(self, sign: HookSign | None, now_ms: int) -> None:
        """Its hooks have given this sign last; None where its agent has left, or has given none."""
        before, self._sign = self._sign, sign
        if sign is None or sign == before:
            return
        self._seen_ms = min(sign.at_ms, now_ms)
        self._unanswered = False
        if sign.state == "working" and sign.event in PROMPT_EVENTS:
            self._turns = self._turns + 1 if sign.detail == WOKEN else 0

    def step(self, limits: Limits, now_ms: int, *, watched: bool) -> WakeStep:
        """What the policy says now. `watched`: a client is subscribed to the mailbox."""
        sign, made_ms = self._sign, self._made_ms
        earliest_ms = 0
        if made_ms is not None:
            if sign is None or not self._waiting or self._is_overtaken(sign):
                return WakeStep("withdraw")
            earliest_ms = made_ms + limits.wake_again_ms
            if now_ms < earliest_ms:
                if not self._has_file or self._claimed or self._touch_ms > earliest_ms:
                    return WakeStep(next_ms=earliest_ms)
                return WakeStep("touch") if now_ms >= self._touch_ms else WakeStep(next_ms=self._touch_ms)
            if self._tries >= _TRIES:
                self._end_wake()
                self._has_file, self._unanswered = False, True
                return WakeStep("remove")
        if self._has_file and self._made_ms is None:
            self._has_file = False
            return WakeStep("remove")
        if sign is None or not self._waiting or self._unanswered:
            return _NOTHING
        content, ready_ms = self._ready(sign, limits, watched=watched)
        ready_ms = max(ready_ms, earliest_ms)
        if now_ms < ready_ms:
            return WakeStep(next_ms=ready_ms)
        if self._is_braked(limits):
            return _NOTHING
        allowed_ms = self._allowed_ms(limits)
        return WakeStep("make", content) if now_ms >= allowed_ms else WakeStep(next_ms=allowed_ms)

    def holds_back(self, limits: Limits, now_ms: int) -> bool:
        """Whether a cap or the brake holds back mail that waits, for the first time since the last wake."""
        is_held = bool(self._waiting) and (self._is_braked(limits) or now_ms < self._allowed_ms(limits))
        was_held, self._held = self._held, is_held
        return is_held and not was_held

    def made(self, limits: Limits, now_ms: int) -> None:
        """Its file was made."""
        self._tries += 1
        self._made_ms = self._last_ms = now_ms
        self._made_seq = max(self._waiting)
        self._made_sign = self._sign
        self._has_file = True
        self._touch_ms = now_ms + TOUCH_MS
        self._claimed = self._held = False
        self._reason = None
        self._times_ms.append(now_ms)
        while len(self._times_ms) > max(limits.wake_minute_limit, limits.wake_hour_limit):
            self._times_ms.popleft()

    def touched(self, now_ms: int, *, was_there: bool) -> None:
        """Its file was touched, if it `was_there`; else the wake is carried out."""
        self._claimed = not was_there
        self._touch_ms = now_ms + 2 * (now_ms - (self._made_ms or now_ms))

    def withdrawn(self, *, was_there: bool) -> bool:
        """Its file was removed, if it `was_there`; whether the wake is void with that. Else it is carried out."""
        self._has_file = False
        if self._made_ms is None:
            return False
        if not was_there and self._sign is not None and self._waiting:
            self._claimed = True
            return False
        if was_there and self._times_ms:
            self._times_ms.pop()  # it began no turn
        self._end_wake()
        return True

    def failed(self, reason: str, *, is_lasting: bool) -> None:
        """The wake was not carried out. `is_lasting`: the next one would not be either, before the next sign."""
        self._reason = reason
        if is_lasting:
            self._end_wake()
            self._unanswered = True

    def state(self, limits: Limits, now_ms: int) -> WakeState:
        """What senders and people see of it."""
        if self._unanswered:
            return WakeState("unanswered", self.by, self._last_ms, self._reason)
        if self._made_ms is not None:
            return WakeState("woken", self.by, self._last_ms, self._reason)
        if self._is_braked(limits):
            reason = f"a wake began its last {self._turns} turns, and the limit is {limits.wake_turns_max}"
            return WakeState("held", self.by, self._last_ms, f"{reason}; a prompt of a person ends that")
        wait_ms = self._allowed_ms(limits) - now_ms
        if wait_ms > 0:
            count, span = (
                (limits.wake_minute_limit, "minute") if wait_ms <= _MINUTE_MS else (limits.wake_hour_limit, "hour")
            )
            reason = f"it was woken {count} times within a {span}, and the limit is {count}"
            return WakeState("held", self.by, self._last_ms, reason)
        return WakeState("ready", self.by, self._last_ms, self._reason)

    def _is_overtaken(self, sign: HookSign) -> bool:
        """Whether a turn has begun, or goes on, that no wake began: its own hooks bring the mail."""
        at_work = sign.state != "idle" and sign != self._made_sign
        return at_work and sign.detail != WOKEN and not self._claimed

    def _ready(self, sign: HookSign, limits: Limits, *, watched: bool) -> tuple[Content, int]:
        is_idle = sign.state == "idle"
        ready_ms = self._seen_ms + (IDLE_MS if is_idle else limits.wake_grace_ms)
        if watched:
            ready_ms = max(ready_ms, min(self._waiting.values()) + WATCHED_MS)
        return ("idle" if is_idle else "any"), ready_ms

    def _is_braked(self, limits: Limits) -> bool:
        return 0 < limits.wake_turns_max <= self._turns

    def _allowed_ms(self, limits: Limits) -> int:
        """When the caps allow the next wake."""
        times_ms, allowed_ms = self._times_ms, 0
        for count, span_ms in ((limits.wake_minute_limit, _MINUTE_MS), (limits.wake_hour_limit, _HOUR_MS)):
            if 0 < count <= len(times_ms):
                allowed_ms = max(allowed_ms, times_ms[-count] + span_ms)
        return allowed_ms

    def _end_wake(self) -> None:
        self._made_ms = None
        self._tries = 0
        self._claimed = False
