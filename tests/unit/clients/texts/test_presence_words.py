"""What people read of a session: always with the age of the sign, and never more than is known."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_clients.texts import presence_words
from maestro_clients.texts.presence_words import brief, expectation, wanted
from maestro_schemas import limits

NOW_MS = 100_000_000
MINUTE_MS = 60_000


def known(state: str, minutes: float | None = 4, **more: str) -> dict[str, Any]:
    since = {} if minutes is None else {"since": int(NOW_MS - minutes * MINUTE_MS)}
    return {"state": state, **since, **more}


def test_the_age_of_a_silence_is_the_contracts() -> None:
    assert presence_words.SILENT_AFTER_MS == limits.SILENT_AFTER_MS


@pytest.mark.parametrize(
    ("reach", "presence", "words"),
    [
        ("watching", known("watching", None), "Its receiver is watching, and hears of it now."),
        ("tool", known("working", 0.2), "Its agent is at work, and sees it after its next tool call."),
        (
            "prompt",
            known("working", 22),
            "Its agent was at work, and silent for 22m: it sees it at its next prompt or tool call.",
        ),
        (
            "prompt",
            known("working", None),
            "Its agent was at work, and silent for an unknown time: it sees it at its next prompt or tool call.",
        ),
        (
            "tool",
            known("waiting", detail="permission:Bash"),
            "Its agent waits for a person (permission: Bash) for 4m, and sees it after that.",
        ),
        ("prompt", known("waiting", None), "Its agent waits for a person, and sees it after that."),
        ("prompt", known("idle", 200), "Its agent is idle for 3h, and sees it at its next prompt."),
        ("prompt", known("unknown"), "Its agent sees it at its next prompt or tool call."),
        (
            "gone",
            known("gone"),
            "Its receiver's process has ended (last sign 4m ago): it is queued for when it is started again.",
        ),
        ("gone", known("gone", None), "Its receiver's process has ended: it is queued for when it is started again."),
        (
            "inbox",
            known("unknown", detail="its agent is gone"),
            "Its agent is gone. Its receiver sees it when it looks into its inbox.",
        ),
        ("inbox", None, "Its receiver sees it when it looks into its inbox."),
        ("later", None, ""),
    ],
)
def test_when_a_receiver_sees_a_message(reach: str, presence: dict[str, Any] | None, words: str) -> None:
    result = {"reach": reach, **({} if presence is None else {"presence": presence})}
    assert expectation(result, NOW_MS) == words


def test_a_long_silence_of_a_receiver_without_a_sign_of_its_agent_is_mentioned() -> None:
    result = {"reach": "inbox", "seenAt": NOW_MS - 5 * MINUTE_MS}
    assert expectation(result, NOW_MS).endswith(" It gave its last sign of life 5m ago.")
    assert expectation({**result, "seenAt": NOW_MS - 4 * MINUTE_MS}, NOW_MS).endswith("into its inbox.")


@pytest.mark.parametrize(
    ("presence", "cell"),
    [
        (None, "no sign"),
        (known("working", 0.2), "working 12s"),
        (known("working", -1), "working 0s"),
        (known("working", 22), "working, silent for 22m"),
        (known("working", None), "working"),
        (known("waiting", detail="a\nb"), 'waiting 4m ("a?b")'),
        (known("waiting", None, detail="permission:Bash"), "waiting (permission: Bash)"),
        (known("idle", 200), "idle 3h"),
        (known("gone"), "gone, last sign 4m ago"),
        (known("unknown"), "no sign"),
        (known("unknown", detail="its agent is gone"), "no sign (its agent is gone)"),
        (known("watching", None), "watching"),
        (known("ended"), "ended 4m ago"),
    ],
)
def test_one_cell_of_a_list(presence: dict[str, Any] | None, cell: str) -> None:
    assert brief(presence, NOW_MS) == cell


def test_the_person_is_no_receiver_that_gave_a_sign_of_life() -> None:
    person = {"to": "operator", "seenAt": NOW_MS - 100 * MINUTE_MS}
    looks = "The person sees it in `maestro inbox`, and at once with `maestro inbox --watch`."
    assert expectation({**person, "reach": "inbox"}, NOW_MS) == looks
    assert expectation({**person, "reach": "watching"}, NOW_MS) == "The person is watching, and hears of it now."
    assert expectation(person, NOW_MS) == "", "a repeat says only what became of the first send"


def test_a_long_question_is_cut() -> None:
    assert wanted("Which port?") == '"Which port?"'
    assert wanted("x " * 100) == f'"{"x " * 29}x…"'
