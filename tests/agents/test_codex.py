"""Mail reaches the model of the real Codex, once, through the hooks that `maestro hooks install` writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from agents import scenes

if TYPE_CHECKING:
    from support.cli_shell import Shell

KIND = "codex"


# --- what the hooks do ------------------------------------------------------------------------------------------


def test_mail_that_waits_is_in_the_first_request(person: Shell) -> None:
    scenes.mail_at_the_start(KIND, person, "SessionStart")


def test_mail_is_in_the_first_request_of_a_prompt(person: Shell) -> None:
    scenes.mail_at_the_prompt(KIND, person, "UserPromptSubmit")


@pytest.mark.mechanism
def test_mail_is_in_the_request_after_a_tool_call(person: Shell) -> None:
    scenes.mail_after_a_tool_call(KIND, person, "PostToolUse")


@pytest.mark.mechanism
def test_mail_at_the_end_of_a_turn_starts_another(person: Shell) -> None:
    scenes.mail_at_the_end_of_a_turn(KIND, person, "Stop")


def test_mail_to_several_that_asks_holds_the_turn_open(person: Shell) -> None:
    scenes.loud_mail_to_several(KIND, person, "Stop")


@pytest.mark.mechanism
def test_mail_to_several_that_asks_nothing_lets_the_turn_end(person: Shell) -> None:
    scenes.quiet_mail_to_several(KIND, person, "UserPromptSubmit")


def test_nothing_is_added_without_mail(person: Shell) -> None:
    scenes.nothing_without_mail(KIND, person)


def test_an_agent_without_a_session_is_given_one_by_its_hooks(person: Shell) -> None:
    scenes.answer_from_a_session_of_its_own(KIND, person)


@pytest.mark.mechanism
def test_who_says_that_it_waits_for_a_permission(person: Shell) -> None:
    scenes.answer_of_a_person(KIND, person, "Would you like to run", "permission:Bash", "permission: Bash")


# --- what the hooks rely on -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "output", "seen"),
    [
        ("SessionStart", scenes.added("SessionStart", "seen"), [1, 1]),
        ("UserPromptSubmit", scenes.added("UserPromptSubmit", "seen"), [1, 1]),
        ("PostToolUse", scenes.added("PostToolUse", "seen"), [0, 1]),
        ("PostToolUse", "seen", [0, 0]),
        # Its schema is strict: one key too many, and all of the output is dropped.
        ("PostToolUse", {**scenes.added("PostToolUse", "seen"), "more": 1}, [0, 0]),
        ("Stop", scenes.added("Stop", "seen"), [0, 0]),
        ("Stop", {"decision": "block", "reason": "seen"}, [0, 0, 1]),
    ],
)
def test_what_the_client_does_with_a_hooks_output(person: Shell, event: str, output: Any, seen: list[int]) -> None:
    marked = json.loads(json.dumps(output).replace("seen", "hook-output-seen"))
    assert scenes.seen_of(KIND, person, event, marked, "hook-output-seen") == seen


def test_the_client_keeps_all_that_our_hooks_add(person: Shell) -> None:
    output = scenes.added("PostToolUse", scenes.long_text(10_000))
    assert scenes.seen_of(KIND, person, "PostToolUse", output, "WHOLE") == [0, 1]


@pytest.mark.mechanism
def test_a_hook_without_trust_does_not_run(person: Shell) -> None:
    output = scenes.added("UserPromptSubmit", "hook-output-seen")
    seen = scenes.seen_of(KIND, person, "UserPromptSubmit", output, "hook-output-seen", approved=False)
    assert seen == [0, 0]
