"""Keys wake the real Gemini CLI from idle on its screen, where its user has allowed that, and never in a sentence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from agents.desk import at_a_desk, presence_of, shown_in
from agents.screens import on_screen
from agents.turns import Say
from maestro_schemas.texts.waking import NOTICE, TMUX
from support.post_office import eventually

if TYPE_CHECKING:
    from agents.turns import Request, Turn
    from support.cli_shell import Shell

KIND = "gemini-cli"
TEXT = "The lighthouse needs 3 new lamps, please."
TYPED = "half a sentence"


@pytest.mark.mechanism
def test_mail_is_typed_for_only_into_an_empty_prompt(person: Shell) -> None:
    """The words wait while a person's text is there. Then they begin one turn, whose hook brings the mail."""

    def model(_request: Request) -> Turn:
        return Say("Noted.")

    def is_idle() -> bool:
        return presence_of(desk.session)["state"] == "idle"

    with at_a_desk(KIND, person, model) as desk:
        own = desk.session.session_id
        wake_file = os.path.join(person.data, "messages", "by-receiver", own, ".wake")
        with on_screen(desk.agent, "Go on.") as screen:
            eventually(lambda: len(desk.agent.model.calls) == 1 and is_idle(), "idle", 90.0)
            assert "wake" not in presence_of(desk.session), "nothing wakes it by itself"
            assert "by keys in tmux" in person.done("session", "nudge", "tmux", own).out
            assert presence_of(desk.session)["wake"] == {"state": "ready", "by": TMUX}
            screen.type(TYPED)
            sent = desk.colleague.send(desk.session, TEXT)
            eventually(lambda: os.path.exists(wake_file), "a wake that is due", 30.0)
            screen.press("C-u")
            eventually(lambda: desk.receipt(sent)[0] == "delivered", "a turn with the mail", 60.0)
            eventually(is_idle, "the end of that turn", 60.0)
            assert "No keys" in person.done("session", "nudge", "off", own).out
            assert "wake" not in presence_of(desk.session)
        calls = desk.agent.model.calls
        assert shown_in(calls, TEXT) == [0, 1]
        assert shown_in(calls, NOTICE) == [0, 1]
        assert shown_in(calls, TYPED) == [0, 0]
        assert desk.receipt(sent) == ("delivered", f"hook:{KIND}:BeforeAgent")
        with person.client() as operator:
            [event] = operator.events(-1, message=sent, events=["message.delivered"])["events"]
        assert event["wokenBy"] == TMUX
