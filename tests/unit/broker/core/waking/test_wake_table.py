"""The table of wakeable sessions: what reaches it, and the policy beside a model that knows the history alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from maestro_broker.core.model.records import Accepted, Confirmed, Deleted, Delivery, Expired, Refused
from maestro_broker.core.model.signs import HookSign
from maestro_broker.core.model.state import Change
from maestro_broker.core.waking.wake_table import WakeTable
from maestro_broker.core.waking.wakeable import IDLE_MS, TOUCH_MS, WATCHED_MS
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Audience, Message, Metadata
from maestro_schemas.names import OPERATOR
from maestro_schemas.texts.waking import CLAUDE_CODE, CODEX, WOKEN

NOW_MS = 1_000_000


def message(seq: int, *, sender: str = "ann", to: str = "bob", at_ms: int = NOW_MS, **fields: Any) -> Message:
    return Message(
        id=f"m{seq}", sender=sender, receiver=to, text="hi", status="pending", seq=seq, created_at=at_ms, **fields
    )


def accepted(one: Message) -> Change:
    return Change(1, Accepted(one), one)


def confirmed(seq: int, mailbox: str = "bob") -> Change:
    return Change(1, Confirmed(f"m{seq}", mailbox, "ann", seq, "offered", NOW_MS, "pending"), None)


def idle(at_ms: int = 0) -> HookSign:
    return HookSign("idle", at_ms, None, None, "Stop")


def awake(table: WakeTable, now_ms: int = NOW_MS, session: str = "bob") -> str | None:
    """What is to be done for the session now."""
    return table.step(session, idle(), now_ms, watched=False).action


@pytest.fixture
def table() -> WakeTable:
    made = WakeTable(Limits())
    assert made.put("bob", CLAUDE_CODE)
    assert made.due(NOW_MS, 10) == ["bob"]
    return made


def test_only_sessions_that_were_put_are_looked_at(table: WakeTable) -> None:
    refused = Change(3, Refused(NOW_MS, "RATE_LIMITED", "ann"), None)
    table.committed([accepted(message(1, to="cyd")), confirmed(1, "cyd"), refused])
    assert table.next_ms is None
    table.committed([accepted(message(1))])
    assert table.due(NOW_MS, 10) == ["bob"]
    assert (len(table), "bob" in table, "cyd" in table) == (1, True, False)
    assert table.drop("bob")
    assert not table.drop("bob")
    table.look("bob")
    assert table.due(NOW_MS, 10) == []
    assert table.state("bob", NOW_MS) is None
    table.failed("bob", "too late")


def test_a_message_to_several_reaches_each_that_can_be_woken(table: WakeTable) -> None:
    table.put("cyd", CLAUDE_CODE)
    table.due(NOW_MS, 10)
    asks = message(1, metadata=Metadata(type="request"), audience=Audience(to=("bob", "dan", "cyd"), size=3))
    record = Accepted(asks, (Delivery("dan", 7), Delivery("cyd", 9)))
    table.committed([Change(1, record, asks, record.copies())])
    assert sorted(table.due(NOW_MS, 10)) == ["bob", "cyd"]
    assert (awake(table), awake(table, session="cyd")) == ("make", "make")


@pytest.mark.parametrize(
    ("fields", "wakes"),
    [
        ({}, True),
        ({"metadata": Metadata(priority="high")}, True),
        ({"metadata": Metadata(priority="low")}, False),
        ({"metadata": Metadata(priority="low", type="request")}, False),
        ({"audience": Audience(to=("bob", "cyd"), size=2)}, False),
        ({"audience": Audience(to=("bob", "cyd"), size=2), "metadata": Metadata(type="request")}, True),
        ({"audience": Audience(to=("bob", "cyd"), size=2), "metadata": Metadata(priority="high")}, True),
        ({"audience": Audience(to=("bob", "cyd"), size=2), "metadata": Metadata(priority="low")}, False),
    ],
)
def test_low_and_quiet_mail_wakes_no_agent(table: WakeTable, fields: dict[str, Any], *, wakes: bool) -> None:
    one = message(1, **fields)
    assert one.wakes == wakes
    table.committed([accepted(one)])
    assert (awake(table) == "make") == wakes
    table.found("bob", [one])
    assert (awake(table) == "make") == wakes


@pytest.mark.parametrize("ends", ["deleted", "expired", "confirmed"])
def test_mail_that_waits_no_more(table: WakeTable, ends: str) -> None:
    table.committed([accepted(message(1))])
    assert awake(table) == "make"
    assert table.made("bob", NOW_MS) == CLAUDE_CODE
    record: Any = {
        "deleted": Deleted("m1", "bob", "ann", 1, NOW_MS, "ann", "pending"),
        "expired": Expired("m1", "bob", "ann", 1, NOW_MS),
        "confirmed": confirmed(1).record,
    }[ends]
    table.committed([Change(2, record, None)])
    assert awake(table) == ("remove" if ends == "confirmed" else "withdraw")
    if ends != "confirmed":
        table.withdrawn("bob", was_there=True)
    stats = table.stats()
    assert (stats["answered"], stats["void"], stats["outstanding"]) == (
        (1, 0, 0) if ends == "confirmed" else (0, 1, 0)
    )


def test_what_is_counted() -> None:
    table = WakeTable(Limits(wake_again_ms=100, wake_turns_max=1))
    table.put("bob", CLAUDE_CODE)
    assert not table.put("bob", CODEX)
    table.committed([accepted(message(1))])
    table.due(NOW_MS, 10)
    table.failed("bob", "the disk is full", again_ms=NOW_MS + 5)
    shown = table.state("bob", NOW_MS)
    assert shown is not None
    assert shown.reason == "the disk is full"
    assert table.next_ms == NOW_MS + 5
    table.failed("bob", "it is full again")
    for number in range(2):
        assert awake(table, NOW_MS + 100 * number) == "make"
        assert table.made("bob", NOW_MS + 100 * number) == CODEX
    assert awake(table, NOW_MS + 200) == "remove"
    woken = HookSign("working", NOW_MS + 300, None, WOKEN, "UserPromptSubmit")
    assert table.step("bob", woken, NOW_MS + 300, watched=False).action is None
    assert table.step("bob", None, NOW_MS + 300, watched=False).action is None
    assert awake(table, NOW_MS + 10_000) is None
    assert table.stats() == {
        "sessions": 1, "outstanding": 0, "made": 2, "answered": 0, "void": 0, "unanswered": 1, "held": 1, "failed": 2,
    }  # fmt: skip
    table.committed([accepted(message(2, sender=OPERATOR, metadata=Metadata(priority="low")))])
    assert awake(table, NOW_MS + 10_000) == "make", "a person has written"


def test_a_wake_that_is_claimed_at_its_withdrawal_is_given_up_and_counted() -> None:
    """A client takes the file of the second try in the moment in which a turn of its own begins."""
    table = WakeTable(Limits(wake_again_ms=100))
    table.put("bob", CLAUDE_CODE)
    table.committed([accepted(message(1))])
    for number in range(2):
        assert awake(table, NOW_MS + 100 * number) == "make"
        table.made("bob", NOW_MS + 100 * number)
    working = HookSign("working", NOW_MS + 150, None, None, "UserPromptSubmit")
    assert table.step("bob", working, NOW_MS + 150, watched=False).action == "withdraw"
    table.withdrawn("bob", was_there=False)
    assert table.step("bob", working, NOW_MS + 199, watched=False).action is None
    assert table.step("bob", working, NOW_MS + 200, watched=False).action == "remove"
    assert table.step("bob", working, NOW_MS + 200, watched=False).action is None
    stats = table.stats()
    assert (stats["unanswered"], stats["void"], stats["outstanding"]) == (1, 0, 0)


# --- beside a model --------------------------------------------------------------------------------------------

LIMITS = Limits(wake_grace_ms=3_000, wake_again_ms=20_000, wake_minute_limit=3, wake_hour_limit=8, wake_turns_max=4)


class Policy(RuleBasedStateMachine):
    """A table with one session, the broker that obeys it, and beside it what has happened. The model decides from the
    whole history each time."""

    def __init__(self) -> None:
        super().__init__()
        self.table = WakeTable(LIMITS)
        self.table.put("bob", CLAUDE_CODE)
        self.now_ms = NOW_MS
        self.sign: HookSign | None = None
        self.seq = 0
        # Mail by number: when it came; what of it waits; what a wake that was answered has announced.
        self.came_ms: dict[int, int] = {}
        self.waits: set[int] = set()
        self.announced: set[int] = set()
        self.file = False
        self.watched = False
        # The outstanding wakes with their mail, all that began or may begin a turn, and whether they were given up.
        self.outstanding: list[tuple[int, int, HookSign | None]] = []
        self.wakes_ms: list[int] = []
        self.is_given_up = False
        self.is_claimed = False
        self.may_have_file = False
        self.touch_ms = 0
        self.turns = 0

    # What happens.

    @rule(ms=st.sampled_from([1, 400, 1_000, 3_000, 5_000, 20_000, 60_000, 3_600_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(sender=st.sampled_from(["ann", "ann", "ann", OPERATOR]), low=st.booleans())
    def mail_comes(self, sender: str, *, low: bool) -> None:
        self.seq += 1
        one = message(
            self.seq, sender=sender, at_ms=self.now_ms, metadata=Metadata(priority="low" if low else "medium")
        )
        self.table.committed([accepted(one)])
        if not low:
            self.came_ms[self.seq] = self.now_ms
            self.waits.add(self.seq)
        if sender == OPERATOR:
            self.turns = 0

    @rule(data=st.data(), is_reader=st.booleans())
    def mail_goes(self, data: st.DataObject, *, is_reader: bool) -> None:
        if not self.waits:
            return
        seq = data.draw(st.sampled_from(sorted(self.waits)))
        self.waits.discard(seq)
        if not is_reader:
            self.table.committed([Change(1, Deleted(f"m{seq}", "bob", "ann", seq, NOW_MS, "ann", "pending"), None)])
            return
        self.table.committed([confirmed(seq)])
        self.is_given_up = False
        if self.outstanding:
            self.waits = {other for other in self.waits if other > self.outstanding[-1][1]}
            self._end()

    @rule(state=st.sampled_from(["idle", "working", "waiting"]), is_prompt=st.booleans(), woken=st.booleans())
    def a_hook_signs(self, state: Any, *, is_prompt: bool, woken: bool) -> None:
        event = "UserPromptSubmit" if is_prompt else "PostToolUse"
        sign = HookSign(state, self.now_ms, None, WOKEN if woken else None, event)
        if sign == self.sign:
            return
        self.sign = sign
        self.is_given_up = False
        if is_prompt and state == "working":
            self.turns = self.turns + 1 if woken else 0

    @rule()
    def the_agent_leaves(self) -> None:
        self.sign = None

    @rule()
    def the_wake_is_claimed(self) -> None:
        self.file = False

    @rule()
    def a_watcher_comes_or_goes(self) -> None:
        self.watched = not self.watched

    # What follows.

    @invariant()
    def the_table_says_what_the_history_says(self) -> None:
        while True:
            expected = self._expected()
            step = self.table.step("bob", self.sign, self.now_ms, watched=self.watched)
            assert step.action == expected, (self.now_ms, self.sign)
            if step.action is None:
                break
            self._carry_out(step.action, step.content)
        assert step.next_ms is None or step.next_ms > self.now_ms
        assert len([at for at in self.wakes_ms if at > self.now_ms - 60_000]) <= LIMITS.wake_minute_limit
        assert len([at for at in self.wakes_ms if at > self.now_ms - 3_600_000]) <= LIMITS.wake_hour_limit
        shown = self.table.state("bob", self.now_ms)
        assert shown is not None
        if self.is_given_up:
            assert shown.state == "unanswered"
        elif self.outstanding:
            assert shown.state == "woken"
        else:
            assert shown.state == ("held" if self._is_held() else "ready")

    def _carry_out(self, action: str, content: str) -> None:
        if action == "touch":
            self.table.touched("bob", self.now_ms, was_there=self.file)
            self.touch_ms = self.now_ms + 2 * (self.now_ms - self.outstanding[-1][0])
            self.is_claimed = not self.file
            return
        was_there, self.file = self.file, action == "make"
        self.may_have_file = action == "make"
        if action == "make":
            assert content == ("idle" if self.sign is not None and self.sign.state == "idle" else "any")
            self.table.made("bob", self.now_ms)
            self.outstanding.append((self.now_ms, max(self.waits), self.sign))
            self.wakes_ms.append(self.now_ms)
            self.is_claimed = False
            self.touch_ms = self.now_ms + TOUCH_MS
        elif action == "withdraw":
            self.table.withdrawn("bob", was_there=was_there)
            if not was_there and self.sign is not None and self.waits:
                self.is_claimed = True
                return
            if was_there:
                self.wakes_ms.pop()
            self._end()
        elif self.outstanding:
            self._end()
            self.is_given_up = True

    def _end(self) -> None:
        self.outstanding = []
        self.is_claimed = False

    def _expected(self) -> str | None:
        sign = self.sign
        if self.outstanding:
            made_ms, _, made_sign = self.outstanding[-1]
            if sign is None or not self.waits:
                return "withdraw"
            if sign.state != "idle" and sign != made_sign and sign.detail != WOKEN and not self.is_claimed:
                return "withdraw"
            again_ms = made_ms + LIMITS.wake_again_ms
            if self.now_ms < again_ms:
                can_touch = self.may_have_file and not self.is_claimed
                return "touch" if can_touch and self.touch_ms <= min(self.now_ms, again_ms) else None
            if len(self.outstanding) == 2:
                return "remove"
        elif self.may_have_file:
            return "remove"
        if sign is None or not self.waits or self.is_given_up or self._is_held():
            return None
        quiet_ms = IDLE_MS if sign.state == "idle" else LIMITS.wake_grace_ms
        if self.now_ms < sign.at_ms + quiet_ms:
            return None
        if self.watched and self.now_ms < min(self.came_ms[seq] for seq in self.waits) + WATCHED_MS:
            return None
        return "make"

    def _is_held(self) -> bool:
        lately = [at for at in self.wakes_ms if at > self.now_ms - 60_000]
        longer = [at for at in self.wakes_ms if at > self.now_ms - 3_600_000]
        is_full = len(lately) >= LIMITS.wake_minute_limit or len(longer) >= LIMITS.wake_hour_limit
        return is_full or self.turns >= LIMITS.wake_turns_max


TestPolicy = Policy.TestCase
TestPolicy.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
