"""The policy of waking, rule by rule, for one session."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_broker.core.model.signs import HookSign
from maestro_broker.core.waking.wakeable import IDLE_MS, TOUCH_MS, WATCHED_MS, Wakeable, WakeStep
from maestro_schemas.limits import Limits
from maestro_schemas.sessions import WakeState
from maestro_schemas.texts.waking import CLAUDE_CODE, WOKEN

LIMITS = Limits()
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
NOTHING = WakeStep()


class Desk:
    """A session that can be woken, and a clock."""

    def __init__(self, limits: Limits = LIMITS, *, is_idle: bool = True) -> None:
        self.limits = limits
        self.now_ms = HOUR_MS
        self.one = Wakeable(CLAUDE_CODE)
        self.watched = False
        self.seq = 0
        if is_idle:
            self.sign("idle", "SessionStart")
            self.now_ms += IDLE_MS

    def mail(self) -> int:
        self.seq += 1
        self.one.mail(self.seq, self.now_ms)
        return self.seq

    def sign(self, state: Any, event: str = "PostToolUse", *, woken: bool = False, at_ms: int | None = None) -> None:
        sign = HookSign(state, self.now_ms if at_ms is None else at_ms, None, WOKEN if woken else None, event)
        self.one.signed(sign, self.now_ms)

    def leave(self) -> None:
        self.one.signed(None, self.now_ms)

    def prompt(self, *, woken: bool = False) -> None:
        self.sign("working", "UserPromptSubmit", woken=woken)

    def step(self) -> WakeStep:
        return self.one.step(self.limits, self.now_ms, watched=self.watched)

    def wake(self) -> str:
        """The wake that is due is made; what its file says."""
        step = self.step()
        assert step.action == "make", step
        self.one.made(self.limits, self.now_ms)
        return step.content

    def turn(self) -> None:
        """Mail wakes the agent, and its turn brings the mail."""
        seq = self.mail()
        self.wake()
        self.prompt(woken=True)
        assert self.one.confirmed(seq)
        assert self.step().action == "remove"
        self.sign("idle", "Stop")
        self.now_ms += IDLE_MS

    def shown(self) -> WakeState:
        return self.one.state(self.limits, self.now_ms)


def test_mail_wakes_an_agent_that_is_idle_for_a_while_at_once() -> None:
    desk = Desk()
    assert desk.step() == NOTHING
    desk.mail()
    assert desk.wake() == "idle"
    assert desk.shown() == WakeState("woken", CLAUDE_CODE, desk.now_ms)


def test_the_hook_at_the_end_of_a_turn_may_look_for_mail_first() -> None:
    desk = Desk(is_idle=False)
    desk.sign("idle", "Stop")
    desk.mail()
    assert desk.step() == WakeStep(next_ms=desk.now_ms + IDLE_MS)
    desk.now_ms += IDLE_MS
    assert desk.wake() == "idle"


@pytest.mark.parametrize("state", ["working", "waiting"])
def test_an_agent_at_work_is_woken_once_its_sign_is_too_old(state: Any) -> None:
    desk = Desk()
    desk.sign(state)
    desk.mail()
    assert desk.step() == WakeStep(next_ms=desk.now_ms + LIMITS.wake_grace_ms)
    desk.now_ms += LIMITS.wake_grace_ms
    assert desk.wake() == "any"


def test_a_watcher_has_time_to_take_the_mail() -> None:
    desk = Desk()
    desk.watched = True
    desk.mail()
    desk.now_ms += 1_000
    second = desk.mail()
    assert desk.step() == WakeStep(next_ms=desk.now_ms - 1_000 + WATCHED_MS)
    desk.one.confirmed(desk.seq - 1)
    assert desk.step() == WakeStep(next_ms=desk.now_ms + WATCHED_MS)
    desk.now_ms += WATCHED_MS
    assert desk.wake() == "idle"
    assert desk.one.confirmed(second)


def test_a_sign_of_the_future_counts_from_when_it_was_seen() -> None:
    desk = Desk(is_idle=False)
    desk.sign("idle", "Stop", at_ms=desk.now_ms + HOUR_MS)
    desk.mail()
    desk.now_ms += IDLE_MS
    desk.sign("idle", "Stop", at_ms=desk.now_ms - IDLE_MS + HOUR_MS)
    assert desk.wake() == "idle"


def test_an_agent_that_has_left_or_has_given_no_sign_is_not_woken() -> None:
    desk = Desk(is_idle=False)
    desk.mail()
    assert desk.step() == NOTHING
    desk.sign("idle")
    desk.leave()
    desk.now_ms += HOUR_MS
    assert desk.step() == NOTHING


def test_one_wake_is_outstanding_until_mail_is_confirmed() -> None:
    desk = Desk()
    first, second = desk.mail(), desk.mail()
    desk.wake()
    third = desk.mail()
    assert desk.step() == WakeStep(next_ms=desk.now_ms + TOUCH_MS)
    assert desk.shown().state == "woken"
    assert desk.one.confirmed(first)
    assert desk.shown().state == "ready"
    assert not desk.one.confirmed(third)
    assert desk.step() == WakeStep("remove")
    assert desk.step() == NOTHING, "the second was there when the agent was woken"
    assert not desk.one.confirmed(second)
    desk.mail()
    assert desk.wake() == "idle"


def test_a_wake_without_an_answer_is_made_once_more_and_then_given_up_until_the_next_sign() -> None:
    desk = Desk()
    seq = desk.mail()
    desk.wake()
    desk.now_ms += LIMITS.wake_again_ms
    desk.wake()
    assert desk.step() == WakeStep(next_ms=desk.now_ms + TOUCH_MS)
    made_ms, desk.now_ms = desk.now_ms, desk.now_ms + LIMITS.wake_again_ms
    assert desk.step() == WakeStep("remove")
    assert desk.shown() == WakeState("unanswered", CLAUDE_CODE, made_ms)
    desk.mail()
    assert desk.step() == NOTHING
    desk.sign("idle", "Stop")
    assert desk.shown().state == "ready"
    desk.now_ms += IDLE_MS
    desk.wake()
    assert desk.one.confirmed(seq)
    assert not desk.one.is_unanswered


def test_a_confirmation_ends_that_too() -> None:
    desk = Desk()
    seq = desk.mail()
    for _ in range(2):
        desk.wake()
        desk.now_ms += LIMITS.wake_again_ms
    assert desk.step().action == "remove"
    desk.mail()
    assert not desk.one.confirmed(seq)
    desk.wake()


def test_the_second_wake_waits_for_the_end_of_a_turn_too() -> None:
    desk = Desk()
    desk.mail()
    desk.wake()
    assert not desk.one.withdrawn(was_there=False)
    desk.now_ms += LIMITS.wake_again_ms
    desk.prompt()
    assert desk.step() == WakeStep(next_ms=desk.now_ms + LIMITS.wake_grace_ms)


def test_a_prompt_of_a_person_comes_before_the_wake_which_is_void() -> None:
    desk = Desk()
    desk.mail()
    desk.wake()
    desk.prompt()
    assert desk.step() == WakeStep("withdraw")
    assert desk.one.withdrawn(was_there=True)
    assert not desk.one.withdrawn(was_there=True)
    assert desk.step() == WakeStep(next_ms=desk.now_ms + LIMITS.wake_grace_ms)
    desk.sign("idle", "Stop")
    desk.now_ms += IDLE_MS
    for _ in range(LIMITS.wake_minute_limit - 1):
        desk.wake()
        desk.prompt()
        assert desk.one.withdrawn(was_there=True)
        desk.sign("idle", "Stop")
        desk.now_ms += IDLE_MS
    assert desk.wake() == "idle", "a wake that began no turn counts in no cap"


def test_a_file_that_no_program_takes_is_touched_at_growing_distances() -> None:
    """A client that has just started may have missed that it was made."""
    desk = Desk()
    desk.mail()
    desk.wake()
    for distance_ms in (TOUCH_MS, 2 * TOUCH_MS, 6 * TOUCH_MS):
        assert desk.step() == WakeStep(next_ms=desk.now_ms + distance_ms)
        desk.now_ms += distance_ms
        assert desk.step() == WakeStep("touch")
        desk.one.touched(desk.now_ms, was_there=True)
    desk.now_ms += 18 * TOUCH_MS
    assert desk.step() == WakeStep("touch")
    desk.one.touched(desk.now_ms, was_there=False)
    desk.prompt()
    next_ms = desk.step().next_ms
    assert next_ms is not None, "who has taken it begins a turn"
    assert next_ms > desk.now_ms + 18 * TOUCH_MS
    desk.now_ms = next_ms - 1
    assert desk.step() == WakeStep(next_ms=next_ms)


def test_no_touch_comes_after_the_wake_that_is_made_once_more() -> None:
    desk = Desk(Limits(wake_again_ms=TOUCH_MS))
    desk.mail()
    desk.wake()
    desk.now_ms += TOUCH_MS - 1
    assert desk.step() == WakeStep(next_ms=desk.now_ms + 1)
    desk.one.touched(desk.now_ms, was_there=True)
    assert desk.step() == WakeStep(next_ms=desk.now_ms + 1)
    desk.now_ms += 1
    desk.wake()


def test_a_wake_that_was_claimed_before_the_prompt_stays_outstanding() -> None:
    desk = Desk()
    seq = desk.mail()
    desk.wake()
    desk.prompt()
    assert desk.step().action == "withdraw"
    assert not desk.one.withdrawn(was_there=False)
    assert desk.step() == WakeStep(next_ms=desk.now_ms + LIMITS.wake_again_ms)
    assert desk.one.confirmed(seq)


def test_the_turn_that_a_wake_began_does_not_make_it_void() -> None:
    desk = Desk()
    desk.mail()
    desk.wake()
    desk.prompt(woken=True)
    assert desk.step() == WakeStep(next_ms=desk.now_ms + TOUCH_MS)


def test_the_sign_that_was_too_old_does_not_make_the_wake_void() -> None:
    desk = Desk()
    desk.prompt()
    desk.mail()
    desk.now_ms += LIMITS.wake_grace_ms
    assert desk.wake() == "any"
    assert desk.step().action is None
    desk.sign("working")
    assert desk.step().action == "withdraw", "it was at work all the time"


def test_a_wake_is_void_where_no_mail_waits_any_more_or_the_agent_has_left() -> None:
    desk = Desk()
    seq = desk.mail()
    desk.wake()
    desk.one.gone(seq)
    assert desk.step() == WakeStep("withdraw")
    assert desk.one.withdrawn(was_there=False)
    assert desk.step() == NOTHING
    desk.mail()
    desk.wake()
    desk.leave()
    assert desk.step() == WakeStep("withdraw")
    assert desk.one.withdrawn(was_there=False)
    desk.sign("idle", "SessionStart")
    desk.now_ms += IDLE_MS
    desk.wake()


@pytest.mark.parametrize(("minute", "hour", "span_ms"), [(2, 60, MINUTE_MS), (0, 2, HOUR_MS), (6, 2, HOUR_MS)])
def test_caps_defer_a_wake_to_when_they_allow_it(minute: int, hour: int, span_ms: int) -> None:
    desk = Desk(Limits(wake_minute_limit=minute, wake_hour_limit=hour, wake_turns_max=0))
    first_ms = desk.now_ms
    desk.turn()
    desk.turn()
    desk.mail()
    assert desk.step() == WakeStep(next_ms=first_ms + span_ms)
    span = "minute" if span_ms == MINUTE_MS else "hour"
    reason = f"it was woken 2 times within a {span}, and the limit is 2; the next wake waits for that"
    held = desk.shown()
    assert (held.state, held.reason) == ("held", reason)
    assert desk.one.holds_back(desk.limits, desk.now_ms)
    assert not desk.one.holds_back(desk.limits, desk.now_ms)
    desk.now_ms = first_ms + span_ms
    assert desk.shown().state == "ready"
    assert not desk.one.holds_back(desk.limits, desk.now_ms)
    desk.wake()


def test_no_caps_and_no_brake() -> None:
    desk = Desk(Limits(wake_minute_limit=0, wake_hour_limit=0, wake_turns_max=0))
    for _ in range(100):
        desk.turn()
    desk.mail()
    desk.wake()


def braked() -> Desk:
    desk = Desk(Limits(wake_minute_limit=0, wake_turns_max=3))
    for _ in range(3):
        desk.turn()
    desk.mail()
    assert desk.step() == NOTHING
    assert desk.shown().state == "held"
    assert desk.one.holds_back(desk.limits, desk.now_ms)
    return desk


def test_after_some_turns_in_a_row_that_wakes_began_only_a_person_has_it_go_on() -> None:
    desk = braked()
    assert desk.shown().reason == (
        "a wake began its last 3 turns, and the limit is 3; a prompt of a person ends that"
    )
    desk.sign("working")
    desk.sign("idle", "Stop")
    desk.now_ms += HOUR_MS
    assert desk.step() == NOTHING, "a tool call and a turn's end are no prompt"
    desk.prompt()
    desk.sign("idle", "Stop")
    desk.now_ms += IDLE_MS
    desk.wake()


def test_mail_of_the_operator_is_a_persons() -> None:
    desk = braked()
    desk.one.release()
    desk.wake()


def test_a_failure_is_shown_and_the_wake_is_made_again() -> None:
    desk = Desk()
    desk.mail()
    desk.wake()
    made_ms = desk.now_ms
    desk.one.failed("the pane is gone", is_lasting=False)
    assert desk.shown() == WakeState("woken", CLAUDE_CODE, made_ms, "the pane is gone")
    desk.now_ms += LIMITS.wake_again_ms
    desk.wake()
    assert desk.shown().reason is None
    desk.one.failed("it has no thread", is_lasting=True)
    assert desk.shown() == WakeState("unanswered", CLAUDE_CODE, desk.now_ms, "it has no thread")
    assert desk.step() == WakeStep("remove")
    assert desk.step() == NOTHING
    desk.sign("idle", "Stop")
    desk.now_ms += IDLE_MS
    desk.wake()
