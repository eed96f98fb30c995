"""Mail reaches the model of the real Qwen Code, once, through the hooks that `maestro hooks install` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agents import scenes
from maestro_schemas.texts.waking import QWEN_CODE

if TYPE_CHECKING:
    from support.cli_shell import Shell

KIND = "qwen-code"


def test_mail_that_waits_is_in_the_first_request(person: Shell) -> None:
    scenes.mail_at_the_start(KIND, person, "SessionStart")


def test_mail_is_in_the_first_request_of_a_prompt(person: Shell) -> None:
    scenes.mail_at_the_prompt(KIND, person, "UserPromptSubmit")


def test_mail_is_in_the_request_after_a_tool_call(person: Shell) -> None:
    scenes.mail_after_a_tool_call(KIND, person, "PostToolUse")


def test_nothing_is_added_without_mail(person: Shell) -> None:
    scenes.nothing_without_mail(KIND, person)


def test_an_agent_without_a_session_is_given_one_by_its_hooks(person: Shell) -> None:
    scenes.answer_from_a_session_of_its_own(KIND, person)


def test_mail_at_the_end_of_a_turn_starts_another(person: Shell) -> None:
    scenes.mail_at_the_end_of_a_turn(KIND, person, "Stop")


@pytest.mark.mechanism
def test_mail_wakes_it_from_idle_once_and_the_typed_text_stays(person: Shell) -> None:
    """The broker adds a line to the file that it was started with."""
    scenes.mail_to_an_idle_agent(KIND, person, QWEN_CODE)


def test_who_says_that_it_waits_for_a_permission(person: Shell) -> None:
    scenes.answer_of_a_person(
        KIND, person, "Allow execution", "permission:run_shell_command", "permission: run_shell_command"
    )
