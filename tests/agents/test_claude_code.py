"""Mail reaches the model of the real Claude Code, once, through the hooks that `maestro hooks install` writes."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from agents import scenes
from agents.clients import at_work
from agents.desk import answer_offered, at_a_desk, await_mail, shown_in
from agents.turns import Call, Say

if TYPE_CHECKING:
    from agents.turns import Request, Turn
    from support.cli_shell import Shell

KIND = "claude-code"
# The longest context of a hook, in UTF-16 units. Of a longer one only a preview reaches the model.
ADDED_MAX = 10_000


def _bash(command: str) -> Turn:
    return Call("Bash", {"command": command, "description": "a step of the test"})


# --- what the hooks do ------------------------------------------------------------------------------------------


@pytest.mark.mechanism
def test_mail_that_waits_is_in_the_first_request(person: Shell) -> None:
    scenes.mail_at_the_start(KIND, person, "SessionStart")


@pytest.mark.mechanism
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


@pytest.mark.mechanism
def test_an_agent_without_a_session_is_given_one_by_its_hooks(person: Shell) -> None:
    scenes.answer_from_a_session_of_its_own(KIND, person)


def test_mail_is_not_shown_again_when_the_conversation_goes_on(person: Shell) -> None:
    turns = [Say("Noted."), _bash("echo at work"), Say("Done.")]
    with at_a_desk(KIND, person, turns) as desk:
        desk.mail(scenes.TEXT)
        desk.agent.run("Go on.")
        [first] = desk.agent.model.calls
        desk.agent.run("And now?", resume=first.headers["X-Claude-Code-Session-Id"])
        # Each request repeats the conversation so far, and the mail is in it once.
        assert shown_in(desk.agent.model.calls, scenes.TEXT) == [1, 1, 1]


@pytest.mark.mechanism
def test_who_says_that_it_waits_for_a_permission(person: Shell) -> None:
    scenes.answer_of_a_person(KIND, person, "Do you want to proceed?", "permission:Bash", "permission: Bash")


def test_who_says_that_it_waits_for_an_answer(person: Shell) -> None:
    """Its tool for questions asks by the dialog of permissions."""
    options = [{"label": name, "description": f"the branch {name}"} for name in ("main", "dev")]
    question = {"question": "Which branch?", "header": "Branch", "multiSelect": False, "options": options}
    asks = Call("AskUserQuestion", {"questions": [question]})
    scenes.answer_of_a_person(KIND, person, "Which branch?", "permission:AskUserQuestion", "a question", asks)


class Speaker:
    """A scripted model that sends prepared lines: optionally one at the start, then one for each mail.

    It answers by the command that came with the mail. While it waits, it alternates between a tool call and the end
    of its turn, so that mail reaches it in both ways.
    """

    def __init__(self, own: Shell, lines: list[str], hears: int, opening: str | None = None) -> None:
        self._own = own
        self._left = list(lines)
        self._hears = hears
        self._opening = opening
        self._heard: set[str] = set()
        self._idle = 0

    def __call__(self, request: Request) -> Turn:
        if self._opening is not None:
            command, self._opening = self._opening, None
            return self._speak(command)
        offered = answer_offered(request)
        if offered is not None and offered not in self._heard:
            self._heard.add(offered)
            if self._left:
                return self._speak(offered)
        if len(self._heard) == self._hears:
            return Say("That is all.")
        await_mail(self._own)
        self._idle += 1
        return Say("I wait for an answer.") if self._idle % 2 else _bash("echo at work")

    def _speak(self, command: str) -> Turn:
        return _bash(f"{command} --message {shlex.quote(self._left.pop(0))}")


def test_an_orchestrator_and_a_worker_hold_a_conversation(person: Shell) -> None:
    """Two agents work at the same time and exchange messages only through hooks and the command."""
    chief, worker = person.session("chief", role="orchestrator"), person.session("worker")
    asked = [
        f"Please check the lamps on wall number {number} and tell me how many are out." for number in range(1, 5)
    ]
    answers = [f"On wall number {number} I counted {7 * number} lamps that are out." for number in range(1, 5)]
    opening = f"maestro session send --to {worker.session_id}"
    with (
        at_work(KIND, Speaker(chief, asked, 4, opening), os.path.join(person.root, "a"), chief.environ) as first,
        at_work(KIND, Speaker(worker, answers, 4), os.path.join(person.root, "b"), worker.environ) as second,
    ):
        for agent in (first, second):
            agent.install_hooks()
        with second.start("Wait for work.") as waiting, first.start("Have the lamps checked.") as asking:
            asking.finish()
            waiting.finish()
        # Each line is in the other agent's last request, once.
        assert [second.model.calls[-1].count(f"| {text}") for text in asked] == [1] * 4
        assert [first.model.calls[-1].count(f"| {text}") for text in answers] == [1] * 4
    delivered = [message["deliveredVia"] for session in (chief, worker) for message in session.inbox("--unread")]
    assert len(delivered) == 8
    assert set(delivered) >= {"hook:claude-code:PostToolUse", "hook:claude-code:Stop"}


# --- what the hooks rely on -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "output", "seen"),
    [
        ("SessionStart", scenes.added("SessionStart", "seen"), [1, 1]),
        ("UserPromptSubmit", scenes.added("UserPromptSubmit", "seen"), [1, 1]),
        ("PostToolUse", scenes.added("PostToolUse", "seen"), [0, 1]),
        ("PostToolUse", "seen", [0, 0]),
        ("Stop", scenes.added("Stop", "seen"), [0, 0, 1]),
        # The client itself says a reason twice.
        ("Stop", {"decision": "block", "reason": "seen"}, [0, 0, 2]),
    ],
)
def test_what_the_client_does_with_a_hooks_output(person: Shell, event: str, output: Any, seen: list[int]) -> None:
    marked = json.loads(json.dumps(output).replace("seen", "hook-output-seen"))
    assert scenes.seen_of(KIND, person, event, marked, "hook-output-seen") == seen


@pytest.mark.parametrize(("size", "seen"), [(ADDED_MAX, [0, 1]), (ADDED_MAX + 1, [0, 0])])
def test_the_client_keeps_a_context_up_to_its_limit(person: Shell, size: int, seen: list[int]) -> None:
    output = scenes.added("PostToolUse", scenes.long_text(size))
    assert scenes.seen_of(KIND, person, "PostToolUse", output, "WHOLE") == seen
