"""Mail reaches the model of the real Gemini CLI, once, through the hooks that `maestro hooks install` writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from agents import scenes

if TYPE_CHECKING:
    from support.cli_shell import Shell

KIND = "gemini-cli"


# --- what the hooks do ------------------------------------------------------------------------------------------


def test_mail_that_waits_is_in_the_first_request(person: Shell) -> None:
    scenes.mail_at_the_start(KIND, person, "SessionStart")


def test_mail_is_in_the_first_request_of_a_prompt(person: Shell) -> None:
    scenes.mail_at_the_prompt(KIND, person, "BeforeAgent")


@pytest.mark.mechanism
def test_mail_is_in_the_request_after_a_tool_call(person: Shell) -> None:
    scenes.mail_after_a_tool_call(KIND, person, "AfterTool")


@pytest.mark.mechanism
def test_mail_at_the_end_of_a_turn_starts_another(person: Shell) -> None:
    scenes.mail_at_the_end_of_a_turn(KIND, person, "AfterAgent")


def test_mail_to_several_that_asks_holds_the_turn_open(person: Shell) -> None:
    scenes.loud_mail_to_several(KIND, person, "AfterAgent")


def test_mail_to_several_that_asks_nothing_lets_the_turn_end(person: Shell) -> None:
    scenes.quiet_mail_to_several(KIND, person, "BeforeAgent")


def test_nothing_is_added_without_mail(person: Shell) -> None:
    scenes.nothing_without_mail(KIND, person)


def test_an_agent_without_a_session_is_given_one_by_its_hooks(person: Shell) -> None:
    scenes.answer_from_a_session_of_its_own(KIND, person)


@pytest.mark.mechanism
def test_who_says_that_it_waits_for_a_permission(person: Shell) -> None:
    """Its notification names the kind of the tool, and not the tool."""
    scenes.answer_of_a_person(KIND, person, "Allow execution", "permission:exec", "permission: exec")


# --- what the hooks rely on -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "output", "seen"),
    [
        ("SessionStart", scenes.added("SessionStart", "seen"), [1, 1]),
        ("BeforeAgent", scenes.added("BeforeAgent", "seen"), [1, 1]),
        ("AfterTool", scenes.added("AfterTool", "seen"), [0, 1]),
        ("AfterTool", "seen", [0, 0]),
        ("AfterAgent", scenes.added("AfterAgent", "seen"), [0, 0]),
        ("AfterAgent", {"decision": "deny", "reason": "seen"}, [0, 0, 1]),
    ],
)
def test_what_the_client_does_with_a_hooks_output(person: Shell, event: str, output: Any, seen: list[int]) -> None:
    marked = json.loads(json.dumps(output).replace("seen", "hook-output-seen"))
    assert scenes.seen_of(KIND, person, event, marked, "hook-output-seen") == seen


def test_the_client_keeps_all_that_our_hooks_add(person: Shell) -> None:
    output = scenes.added("AfterTool", scenes.long_text(10_000))
    assert scenes.seen_of(KIND, person, "AfterTool", output, "WHOLE") == [0, 1]
