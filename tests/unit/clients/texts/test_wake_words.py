"""What people read of waking: how soon, and for each state in which an agent is not woken, why."""

from __future__ import annotations

import time
from typing import Any

import pytest

from maestro_cli.output import fan_out_lines
from maestro_cli.output.render import event_line, history, session_lines
from maestro_clients.texts import presence_words, receipt_lines, wake_words
from maestro_schemas.texts import waking

# Ten o'clock, in the zone of the machine that runs the test.
NOW_MS = int(time.mktime((2026, 11, 30, 10, 0, 0, 0, 0, -1))) * 1000
MINUTE_MS = 60_000


def idle(wake: dict[str, Any] | None = None, *, state: str = "idle", minutes: float = 4) -> dict[str, Any]:
    found: dict[str, Any] = {"state": state, "since": int(NOW_MS - minutes * MINUTE_MS), "by": "hook"}
    return found if wake is None else {**found, "wake": wake}


READY = {"state": "ready", "by": waking.CLAUDE_CODE}
WOKEN = {"state": "woken", "by": waking.CLAUDE_CODE, "at": NOW_MS - 3_000}
UNANSWERED = {"state": "unanswered", "by": waking.CLAUDE_CODE, "at": NOW_MS - 5 * MINUTE_MS}
AT_ITS_PROMPT = "Its agent is idle for 4m, and sees it at its next prompt."
SILENT = "Its agent was at work, and silent for 30m: it sees it at its next prompt or tool call."
TWICE = "it was woken twice without an answer, the last time at 09:55:00; `maestro doctor` looks for the cause"


@pytest.mark.parametrize("label", waking.WAKERS)
def test_how_soon_is_known_of_each_waker(label: str) -> None:
    assert wake_words.soon({"by": label}).startswith("in ")


def test_what_is_not_known_is_soon() -> None:
    assert wake_words.soon({"by": "new:thing"}) == "soon"


@pytest.mark.parametrize(
    ("reach", "presence", "words"),
    [
        ("wake", idle(READY), "Its agent is idle for 4m, and is woken: it sees it in about 1 s."),
        (
            "wake",
            idle({"state": "ready", "by": waking.CODEX}),
            "Its agent is idle for 4m, and is woken: it sees it in about 10 s.",
        ),
        (
            "wake",
            idle(WOKEN),
            "Its agent is idle for 4m, and was woken 3s ago for earlier mail: it sees it then.",
        ),
        (
            "wake",
            idle(READY, state="working"),
            "Its agent has given no sign for 4m, and is woken: it sees it in about 1 s.",
        ),
        ("wake", None, "Its agent has given no sign, and is woken: it sees it soon."),
        ("prompt", idle(READY), "Its agent is idle for 4m, and sees it at its next prompt."),
        (
            "prompt",
            idle(UNANSWERED),
            f"{AT_ITS_PROMPT} It is not woken: {TWICE}.",
        ),
        (
            "prompt",
            idle({**UNANSWERED, "reason": "codex ended with 1"}),
            f"{AT_ITS_PROMPT} It is not woken: its last wake at 09:55:00 failed: codex ended with 1.",
        ),
        (
            "prompt",
            idle({"state": "unanswered"}),
            f"{AT_ITS_PROMPT} It is not woken: {TWICE.partition(',')[0]}; `maestro doctor` looks for the cause.",
        ),
        (
            "prompt",
            idle({"state": "held", "reason": "10 turns in a row began with a wake"}),
            f"{AT_ITS_PROMPT} It is not woken: 10 turns in a row began with a wake.",
        ),
        (
            "prompt",
            idle({"state": "off"}, state="working", minutes=30),
            f"{SILENT} It is not woken: its wakes are off.",
        ),
    ],
)
def test_when_a_receiver_sees_a_message(reach: str, presence: dict[str, Any] | None, words: str) -> None:
    result = {"reach": reach, **({} if presence is None else {"presence": presence})}
    assert presence_words.expectation(result, NOW_MS) == words


def test_mail_of_low_priority_wakes_none() -> None:
    said = presence_words.expectation({"reach": "prompt", "presence": idle(READY)}, NOW_MS, {"priority": "low"})
    assert said.endswith("at its next prompt. It is not woken: mail of low priority wakes no agent.")


@pytest.mark.parametrize(
    ("wake", "cell"),
    [
        (READY, "idle 4m"),
        (WOKEN, "idle 4m, woken 3s ago"),
        ({"state": "woken"}, "idle 4m, woken"),
        (UNANSWERED, "idle 4m, wakes unanswered"),
        ({"state": "held"}, "idle 4m, wakes held"),
        ({"state": "off"}, "idle 4m, wakes off"),
        ({"state": "later"}, "idle 4m"),
    ],
)
def test_one_cell_of_a_list(wake: dict[str, Any], cell: str) -> None:
    assert presence_words.brief(idle(wake), NOW_MS) == cell
    assert presence_words.state(idle(wake), NOW_MS) == cell.replace(" 4m", "")
    assert "wake" not in presence_words.brief(idle(wake, state="waiting"), NOW_MS)


def test_a_silent_turn_shows_it_too() -> None:
    silent = idle(UNANSWERED, state="working", minutes=22)
    assert presence_words.brief(silent, NOW_MS) == "working, silent for 22m, wakes unanswered"
    assert presence_words.state(silent, NOW_MS) == "working, silent for 22m, wakes unanswered"


def test_a_send_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "108")
    receivers: list[dict[str, Any]] = [
        {"to": "a", "name": "ann", "status": 201, "reach": "wake", "presence": idle(READY)},
        {"to": "b", "name": "ben", "status": 201, "reach": "prompt", "presence": idle(UNANSWERED)},
        {"to": "c", "name": "cid", "status": 201, "reach": "wake", "presence": idle(READY, state="working")},
    ]
    assert fan_out_lines.groups(receivers, NOW_MS) == [
        "  now    ann (idle for 4m: woken, in about 1 s)  cid (silent for 4m: woken, in about 1 s)",
        "  later  ben (idle for 4m: at its next prompt, wakes unanswered)",
    ]


@pytest.mark.parametrize(
    ("wake", "words"),
    [
        ({"state": "ready"}, "-"),
        ({**READY, "at": NOW_MS - MINUTE_MS}, "09:59:00, answered"),
        (WOKEN, "09:59:57, no answer yet"),
        (UNANSWERED, "09:55:00, no answer"),
    ],
)
def test_the_last_wake(wake: dict[str, Any], words: str) -> None:
    assert wake_words.last(wake, NOW_MS) == words


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ({}, ""),
        ({"wakeBy": waking.CODEX}, "not known, by codex:queue"),
        ({"wake": "off"}, "off"),
        (
            {"presence": idle({**READY, "at": NOW_MS - MINUTE_MS})},
            "ready, by claude-code:FileChanged; last 09:59:00, answered",
        ),
        (
            {"presence": idle(UNANSWERED)},
            f"unanswered, by claude-code:FileChanged; {TWICE}",
        ),
    ],
)
def test_the_details_of_a_session(session: dict[str, Any], words: str) -> None:
    assert wake_words.row(session, NOW_MS) == words


def test_a_session_that_can_be_woken_shows_it() -> None:
    session: Any = {
        "id": "sess_1",
        "role": "worker",
        "projectId": "shop",
        "status": "idle",
        "startedAt": NOW_MS,
        "lastActivity": NOW_MS,
        "wakeBy": waking.CODEX,
        "presence": idle({"state": "ready", "by": waking.CODEX}),
    }
    lines = session_lines(session, NOW_MS, wake=wake_words.row(session, NOW_MS))
    assert "wake:        ready, by codex:queue" in lines
    assert not [line for line in session_lines(session, NOW_MS) if line.startswith("wake")]


def message(**more: Any) -> Any:
    found = {"id": "m", "from": "a", "to": "b", "message": "x", "status": "delivered", "seq": 1, "createdAt": NOW_MS}
    return {**found, "wokenBy": waking.CLAUDE_CODE, **more}


def test_a_receipt_says_which_step_a_wake_brought() -> None:
    at = {"offeredAt": NOW_MS, "deliveredAt": NOW_MS}
    hook = "hook:claude-code:UserPromptSubmit"
    whole = history(message(**at, offeredVia=hook, deliveredVia=hook), NOW_MS)
    began = "in a turn that a wake began (claude-code:FileChanged)"
    assert whole[-1].endswith(f"delivered by {hook}, {began}")
    part = history(message(**{**at, "deliveredAt": NOW_MS + 1}, offeredVia=hook, deliveredVia="cli"), NOW_MS)
    assert part[1].endswith(f"offered by {hook}, {began}: its id was shown")
    assert part[2].endswith("delivered by cli")
    line: Any = {"to": "b", "state": "delivered", "at": NOW_MS, "via": hook, "wokenBy": waking.CLAUDE_CODE}
    counts = {"accepted": 1, "delivered": 1, "read": 0, "answered": 0, "expired": 0, "deleted": 0, "refused": 0}
    receipt: Any = {"id": "m", "counts": counts, "recipients": [line]}
    assert receipt_lines.each(receipt, NOW_MS)[0].endswith(f"by {hook} (woken by claude-code:FileChanged)")


def test_the_timeline_shows_it() -> None:
    event: Any = {"lsn": 1, "at": NOW_MS, "event": "message.delivered", "via": "hook:x", "wokenBy": waking.CODEX}
    assert "wokenBy=codex:queue" in event_line(event, NOW_MS)
