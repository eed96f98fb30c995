"""Mail reaches the model of the real OpenCode, once, through the plugin that `maestro hooks install` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agents import scenes
from maestro_schemas.texts.waking import OPENCODE

if TYPE_CHECKING:
    from support.cli_shell import Shell

KIND = "opencode"


def test_mail_that_waits_is_in_the_first_request(person: Shell) -> None:
    scenes.mail_at_the_start(KIND, person, "SessionStart")


def test_mail_is_in_the_request_after_a_tool_call(person: Shell) -> None:
    scenes.mail_after_a_tool_call(KIND, person, "PostToolUse")


def test_nothing_is_added_without_mail(person: Shell) -> None:
    scenes.nothing_without_mail(KIND, person)


def test_an_agent_without_a_session_is_given_one_by_its_hooks(person: Shell) -> None:
    scenes.answer_from_a_session_of_its_own(KIND, person)


@pytest.mark.mechanism
def test_mail_wakes_it_from_idle_once_and_the_typed_text_stays(person: Shell) -> None:
    """Its plugin sees the broker's file and prompts the session."""
    scenes.mail_to_an_idle_agent(KIND, person, OPENCODE)


def test_who_says_that_it_waits_for_a_permission(person: Shell) -> None:
    scenes.answer_of_a_person(KIND, person, "Permission required", "permission:bash", "permission: bash")
