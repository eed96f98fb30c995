"""What is known of a session, from every combination of signs, and what its senders are answered."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from maestro_broker.core.context import RequestContext
from maestro_broker.core.model.session_registry import SessionState
from maestro_broker.core.model.signs import HookSign, Signs, no_signs
from maestro_broker.core.presence import AGENT_GONE, at_send, is_gone, sign
from maestro_schemas.limits import SILENT_AFTER_MS
from maestro_schemas.messages import Message, Metadata
from maestro_schemas.requests import (
    Identity,
    Outgoing,
    Send,
    SessionEnd,
    SessionGet,
    SessionList,
    SessionStart,
    SessionTouch,
)
from maestro_schemas.sessions import NeedsInput, Presence, Session, WakeState
from maestro_schemas.texts.waking import CLAUDE_CODE, WOKEN
from support.offices import Office

MINUTE_MS = 60_000


class Desk(Office):
    """An office with a sender and a receiver, whose signs a test sets."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self.signs = Signs()
        self.asked = 0
        self.circumstances = {"signs": self._signs}
        self.do(SessionStart(id="ann"))
        self.do(SessionStart(id="bob", **fields))
        self.started_ms = self.now_ms
        self.count = 0

    def _signs(self, found: SessionState, now_ms: int) -> Signs:
        assert now_ms == self.now_ms
        self.asked += 1
        return self.signs if found.session.id == "bob" else no_signs(found, now_ms)

    def hook(self, state: Any, *, alive: bool | None = True, ago_ms: int = 0, detail: str | None = None) -> HookSign:
        return HookSign(state, self.now_ms - ago_ms, alive, detail)

    def bob(self) -> Session:
        session: Session = self.do(SessionGet(id="bob")).session
        return session

    def known(self) -> Presence:
        found = self.bob().presence
        assert found is not None
        return found

    def reach(self) -> str:
        self.count += 1
        result = self.accept("ann", "bob", f"m{self.count}")
        assert result.presence is None or result.presence.state == self.known().state
        return str(result.reach)


AGENT = {"agent": "claude-code", "pid": 77, "pid_start": "boot/1/1"}


@pytest.mark.parametrize(
    ("state", "shown", "reach"),
    [("working", "working", "tool"), ("idle", "idle", "prompt"), ("waiting", "working", "tool")],
)
def test_a_hook_says_what_its_agent_does_and_no_field_contradicts_it(state: Any, shown: Any, reach: str) -> None:
    desk = Desk(**AGENT)
    desk.now_ms += 10 * MINUTE_MS
    desk.signs = Signs(True, desk.hook(state, ago_ms=MINUTE_MS, detail="permission:Bash"))
    session = desk.bob()
    assert session.presence == Presence(state, since=desk.now_ms - MINUTE_MS, by="hook", detail="permission:Bash")
    assert session.status == shown
    waits = NeedsInput(active=True, message="permission:Bash", since=desk.now_ms - MINUTE_MS)
    assert session.needs_input == (waits if state == "waiting" else None)
    assert desk.reach() == reach
    listed = desk.do(SessionList(status=[shown])).sessions
    assert session in listed
    other: Any = "idle" if shown == "working" else "working"
    assert [one.id for one in desk.do(SessionList(status=[other])).sessions] == (["ann"] if other == "idle" else [])


WAKEABLE = {**AGENT, "wake_by": CLAUDE_CODE}


def wakeable(state: Any, **fields: Any) -> Desk:
    """An agent that is idle, whose wakes are in this state."""
    desk = Desk(**WAKEABLE | fields)
    desk.circumstances["wakes"] = lambda _found, _now_ms: WakeState(state, CLAUDE_CODE, 7)
    desk.signs = Signs(True, desk.hook("idle"))
    return desk


@pytest.mark.parametrize(
    ("state", "reach"),
    [("ready", "wake"), ("woken", "wake"), ("unanswered", "prompt"), ("held", "prompt"), ("off", "prompt")],
)
def test_mail_to_an_idle_agent_that_can_be_woken(state: Any, reach: str) -> None:
    desk = wakeable(state)
    assert desk.known() == Presence("idle", since=desk.now_ms, by="hook", wake=WakeState(state, CLAUDE_CODE, 7))
    assert desk.reach() == reach
    low = desk.do(
        Send(
            who=Identity("ann"), messages=[Outgoing(id="low", to="bob", text="x", metadata=Metadata(priority="low"))]
        )
    )
    assert low.results[0].reach == "prompt"
    desk.signs = Signs(True, desk.hook("working"))
    assert desk.reach() == "tool"
    desk.now_ms += SILENT_AFTER_MS
    assert desk.reach() == reach, "a turn that was broken off is woken too"


def test_an_agent_that_gave_no_sign_or_is_gone_is_not_woken() -> None:
    desk = wakeable("ready")
    desk.signs = Signs(True)
    held = WakeState("held", CLAUDE_CODE, 7, "no hook of its agent has signed yet what it does")
    assert (desk.known().wake, desk.reach()) == (held, "prompt")
    desk.signs = Signs(False, desk.hook("idle", alive=False))
    assert (desk.known().wake, desk.reach()) == (None, "gone")
    desk.signs = Signs(True, desk.hook("idle", alive=False))
    assert (desk.known().detail, desk.known().wake) == (AGENT_GONE, None)


def test_what_is_not_woken_says_why() -> None:
    desk = wakeable("ready", wake="off")
    assert desk.known().wake == WakeState("off", CLAUDE_CODE, reason="it is switched off for this session")
    assert desk.reach() == "prompt"
    desk = wakeable("ready")
    del desk.circumstances["wakes"]
    assert (desk.known().wake, desk.reach()) == (None, "prompt")
    desk = Desk(**AGENT, wake="off")
    assert desk.known().wake == WakeState("off", reason="it is switched off for this session")
    desk.circumstances["key"] = "laptop"
    desk.do(SessionStart(id="far", token="t" * 40, agent="claude-code", wake_by=CLAUDE_CODE))
    far = desk.do(SessionGet(id="far", who=Identity("far", "t" * 40))).session.presence
    assert far is not None
    assert far.wake == WakeState("off", CLAUDE_CODE, reason="its agent is on another machine")


def test_what_began_a_turn_is_no_concern_of_a_sender() -> None:
    desk = Desk(**AGENT)
    desk.signs = Signs(True, desk.hook("working", detail=WOKEN))
    assert desk.known().detail is None


def test_the_sign_that_counts_for_a_wake() -> None:
    desk = Desk(**AGENT)
    found = desk.state.sessions.get("bob")
    assert found is not None

    def seen(hook: HookSign | None) -> HookSign | None:
        desk.signs = Signs(True, hook)
        return sign(RequestContext(desk.now_ms, **desk.circumstances), found)

    idle = desk.hook("idle")
    assert seen(idle) == idle._replace(alive=None)
    assert seen(desk.hook("idle", alive=None)) == idle._replace(alive=None)
    for other in (None, desk.hook("left"), desk.hook("idle", alive=False), desk.hook("idle", ago_ms=10**9)):
        assert seen(other) is None


def test_what_a_program_says_of_its_input_stays() -> None:
    desk = Desk(**AGENT)
    desk.do(SessionTouch(who=Identity("bob"), needs_input=NeedsInput(active=False)))
    desk.signs = Signs(True, desk.hook("waiting"))
    assert desk.bob().needs_input == NeedsInput(active=False)


def test_an_agent_that_was_killed_in_a_turn_is_gone_and_not_at_work() -> None:
    """Findings F5: SIGKILL between the prompt and the end of the turn."""
    desk = Desk(**AGENT)
    desk.now_ms += 90 * MINUTE_MS
    desk.signs = Signs(False, desk.hook("working", alive=False, ago_ms=MINUTE_MS))
    assert desk.known() == Presence("gone", since=desk.now_ms - MINUTE_MS, by="process")
    assert desk.reach() == "gone"


def test_a_turn_that_was_broken_off_is_shown_with_its_age_and_no_timer_ends_it() -> None:
    """Findings F5: Esc fires no hook, and the process lives."""
    desk = Desk(**AGENT)
    desk.signs = Signs(True, desk.hook("working"))
    at_ms = desk.now_ms
    for ago_ms, reach in ((0, "tool"), (SILENT_AFTER_MS - 1, "tool"), (SILENT_AFTER_MS, "prompt"), (10**9, "prompt")):
        desk.now_ms = at_ms + ago_ms
        assert desk.known() == Presence("working", since=at_ms, by="hook")
        assert desk.reach() == reach


def test_a_sign_of_the_future_has_no_age() -> None:
    """The clock was set back. The state is still the last one, but when it began is not known."""
    desk = Desk(**AGENT)
    desk.signs = Signs(True, desk.hook("working", ago_ms=-2_000))
    assert desk.known() == Presence("working", by="hook")
    assert desk.reach() == "prompt"
    desk.signs = Signs(True, desk.hook("working", ago_ms=-500))
    assert desk.reach() == "tool", "two clocks of one machine may differ by less than a second"
    desk.signs = Signs(False, desk.hook("idle", alive=False, ago_ms=-2_000))
    assert desk.known() == Presence("gone", by="process")


def test_a_sign_from_before_the_start_is_about_an_earlier_session() -> None:
    desk = Desk(agent="codex")
    desk.signs = Signs(None, desk.hook("working", alive=False, ago_ms=2_000))
    assert desk.known() == Presence("unknown", since=desk.started_ms, by="broker")
    desk.signs = Signs(None, desk.hook("working", alive=True, ago_ms=500))
    assert desk.known().state == "working"


def test_a_session_whose_shell_lives_is_not_gone_with_its_agent() -> None:
    desk = Desk(**AGENT)
    desk.signs = Signs(True, desk.hook("working", alive=False))
    assert desk.known() == Presence("unknown", since=desk.now_ms, by="broker", detail=AGENT_GONE)
    assert desk.reach() == "inbox"
    # An agent that has left in order: the shell's user reads the mail, or starts it again.
    desk.signs = Signs(True, desk.hook("left", alive=False))
    assert desk.known() == Presence("unknown", since=desk.now_ms, by="broker")


def test_a_session_whose_terminal_was_closed_is_not_gone_while_its_agent_lives() -> None:
    desk = Desk(**AGENT)
    for alive in (True, None):
        desk.signs = Signs(False, desk.hook("idle", alive=alive))
        assert desk.known().state == "idle"
    desk.signs = Signs(False, desk.hook("left", alive=True))
    assert desk.known().state == "gone"


def test_an_agent_in_a_shell_that_recorded_no_process() -> None:
    desk = Desk(agent="codex")
    desk.signs = Signs(None, desk.hook("working", alive=False))
    assert desk.known().state == "gone"
    assert not _is_gone(desk), "its name is not free: its shell may live"


def test_what_a_program_reports_without_hooks() -> None:
    desk = Desk(agent="own-bot")
    assert desk.known() == Presence("unknown", since=desk.now_ms, by="broker")
    assert desk.reach() == "prompt"
    desk.do(SessionTouch(who=Identity("bob"), status="working"))
    assert desk.known() == Presence("working", since=desk.now_ms, by="broker")
    assert desk.reach() == "tool"
    desk.now_ms += SILENT_AFTER_MS
    assert desk.reach() == "prompt"


@pytest.mark.parametrize("agent", [None, "own-bot"])
def test_a_session_without_hooks_says_that_it_waits_for_a_person(agent: str | None) -> None:
    desk = Desk(agent=agent)
    desk.do(SessionTouch(who=Identity("bob"), status="working"))
    since = desk.now_ms - 5_000
    desk.do(SessionTouch(who=Identity("bob"), needs_input=NeedsInput(active=True, message="Which?", since=since)))
    assert desk.known() == Presence("waiting", since=since, by="broker", detail="Which?")
    assert desk.reach() == ("inbox" if agent is None else "tool")
    # It names no time, or one of the future.
    desk.do(SessionTouch(who=Identity("bob"), needs_input=NeedsInput(active=True)))
    assert desk.known() == Presence("waiting", since=desk.now_ms, by="broker")
    desk.do(SessionTouch(who=Identity("bob"), needs_input=NeedsInput(active=True, since=desk.now_ms + MINUTE_MS)))
    assert desk.known() == Presence("waiting", by="broker")
    # A sign of hooks outweighs it, and so does the end of its process.
    desk.signs = Signs(True, desk.hook("working"))
    assert desk.known().state == "working"
    desk.signs = Signs(False, None)
    assert desk.known().state == "gone"
    desk.signs = Signs()
    desk.do(SessionTouch(who=Identity("bob"), needs_input=NeedsInput(active=False)))
    assert desk.known() == Presence("working", since=desk.now_ms, by="broker")


def test_a_watcher_is_a_sign_of_life() -> None:
    desk = Desk(**AGENT)
    desk.circumstances["topics"] = frozenset({"bob|"})
    for signs in (Signs(False), Signs(False, desk.hook("working", alive=False)), Signs()):
        desk.signs = signs
        assert desk.known() == Presence("watching", by="subscription")
        assert desk.reach() == "watching"
        assert not _is_gone(desk)
    desk.signs = Signs(True, desk.hook("working"))
    assert desk.known().state == "working", "the flag `watching` stands beside it"
    assert desk.bob().watching


def test_a_receiver_without_agent_and_process_is_not_looked_up_at_a_send() -> None:
    desk = Desk()
    assert desk.accept("ann", "bob", "m1").presence is None
    desk.circumstances["topics"] = frozenset({"bob|"})
    assert desk.accept("ann", "bob", "m2").reach == "watching"
    assert desk.asked == 0
    assert desk.known().state == "watching"


def test_a_session_that_has_ended_is_ended_whatever_its_processes_do() -> None:
    desk = Desk(**AGENT)
    desk.signs = Signs(True, desk.hook("working"))
    desk.now_ms += 5
    desk.do(SessionEnd(id="bob"))
    assert desk.known() == Presence("ended", since=desk.now_ms, by="broker")
    assert desk.accept("ann", "bob", "m1", on_ended="queue").reach == "ended"
    assert not _is_gone(desk)


def test_a_session_that_starts_again_has_not_the_process_of_before() -> None:
    desk = Desk(**AGENT)
    desk.do(SessionEnd(id="bob"))
    again = desk.do(SessionStart(id="bob")).session
    assert (again.pid, again.pid_start) == (None, None)
    changed = desk.do(SessionTouch(who=Identity("bob"), pid=5, pid_start="x")).session
    assert (changed.pid, changed.pid_start) == (5, "x")
    # A pid without a start does not get the start of another pid.
    changed = desk.do(SessionTouch(who=Identity("bob"), pid=6)).session
    assert (changed.pid, changed.pid_start) == (6, None)
    assert desk.do(SessionTouch(who=Identity("bob"), cwd="/")).session.pid == 6


def test_a_pid_of_another_machine_is_not_kept() -> None:
    desk = Desk(**AGENT)
    desk.circumstances["key"] = "laptop"
    desk.do(SessionTouch(who=Identity("bob"), pid=5, pid_start="x"))
    assert desk.bob().pid == 77
    desk.do(SessionStart(id="far", pid=5))
    assert desk.do(SessionGet(id="far")).session.pid is None


def test_no_combination_of_signs_says_two_things() -> None:
    """A dead process is never at work, a living one is never gone, and each state has its source."""
    alive: tuple[bool | None, ...] = (True, False, None)
    states = (None, "working", "idle", "waiting", "left")
    for own, state, agent, pid, status in product(alive, states, alive, (None, 77), ("idle", "working")):
        desk = Desk(agent="codex", pid=pid, status=status)
        desk.signs = Signs(own if pid else None, None if state is None else desk.hook(state, alive=agent))
        known, session = desk.known(), desk.bob()
        case = (own, state, agent, pid, status, known)
        running = {desk.signs.alive} | ({agent} if state not in (None, "left") else set())
        assert known.by == {"gone": "process", "unknown": "broker"}.get(known.state, known.by), case
        if True in running:
            assert known.state != "gone", case
        if state not in (None, "left") and agent is False:
            assert known.by != "hook", case
        if running == {False}:
            assert known.state == "gone", case
        if known.state == "gone":
            assert desk.reach() == "gone", case
        if known.by == "hook":
            assert (session.status == "idle") == (known.state == "idle"), case


def _is_gone(desk: Desk) -> bool:
    found = desk.state.sessions.get("bob")
    assert found is not None
    context = RequestContext(desk.now_ms, **desk.circumstances)
    message = Message(
        id="m", sender="ann", receiver="bob", text="hi", status="pending", seq=1, created_at=desk.now_ms
    )
    assert at_send(context, found, message)[0] in ("gone", "ended") or not is_gone(context, found)
    return is_gone(context, found)
