"""Mail wakes the real Codex from idle, on its screen, by its queue: once, and without a word of the person's text.

Rule: each case runs the client's own hooks, with its daemon or without. Codex itself says in its requests which turns
its queue began, so a wake that makes an empty turn is seen.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from agents import codex
from agents.clients import at_work
from agents.screens import on_screen
from agents.turns import Say
from agents.wakes import load
from maestro_runtime import wake_facts
from maestro_schemas.texts.waking import CODEX
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agents.clients import Agent
    from agents.screens import Screen
    from agents.turns import Request, Turn
    from maestro_schemas.documents import PresenceDoc
    from support.cli_shell import Shell

KIND = "codex"
TEXT = "The lighthouse needs 3 new lamps, please."
TYPED = "half a sentence, and (a) 'quote' $HOME"
# Without its daemon, Codex looks into its queue once in 10 s. The broker waits 1 s, and the hook takes a moment.
WITHIN_S = 13.0
WOKEN_S_MAX = 60.0


class Desk(NamedTuple):
    """A Codex on its screen, the person who looks at it, and a colleague who writes to it."""

    agent: Agent
    screen: Screen
    person: Shell
    colleague: Shell

    def session(self) -> str:
        """The session that its hooks have made."""
        with self.person.client() as client:
            [found] = [one["id"] for one in client.sessions() if one.get("agent") == KIND]
        return found

    def presence(self) -> PresenceDoc:
        with self.person.client() as client:
            return client.session(self.session())["presence"]

    def await_state(self, state: str) -> None:
        eventually(lambda: self.presence()["state"] == state, state, WOKEN_S_MAX)

    def mail(self, text: str = TEXT) -> str:
        with self.colleague.client() as client:
            return client.send(self.session(), text)["id"]

    def await_text(self, text: str = TEXT) -> None:
        """Wait until the text is in a request to the model."""
        eventually(
            lambda: any(text in call for call in self.agent.model.calls), f"{text!r} in a request", WOKEN_S_MAX
        )

    def turns(self, trigger: str = "queue") -> list[Request]:
        """The first requests of the turns that were begun that way."""
        found: dict[str, Request] = {}
        for call in self.agent.model.calls:
            said = call.body.get("client_metadata", {}).get("x-codex-turn-metadata", "{}")
            turn = json.loads(said)
            if turn.get("request_kind") == "turn" and turn.get("turn_trigger") == trigger:
                found.setdefault(turn["turn_id"], call)
        return list(found.values())

    def receipt(self, message_id: str) -> tuple[str | None, str | None]:
        """What delivered a message, and what had woken the agent for that."""
        with self.person.client() as operator:
            events = operator.events(-1, message=message_id, events=["message.delivered"])["events"]
        [found] = events
        return found.get("via"), found.get("wokenBy")

    def log(self) -> list[str]:
        """The outcomes that the waker wrote down."""
        path = os.path.join(self.person.data, "logs", "wake.log")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return [line.split(" ")[3] for line in file]


@contextlib.contextmanager
def at_a_desk(
    person: Shell,
    model: Callable[[Request], Turn] | None = None,
    *,
    daemon: bool,
    words: tuple[str, ...] = (),
    after_a_turn: bool = True,
) -> Iterator[Desk]:
    """A Codex that a person has started with a prompt. `words`: for `hooks install`. `after_a_turn`: its first turn
    has ended."""
    colleague = person.session("colleague", role="orchestrator")
    with at_work(
        KIND, model or (lambda _request: Say("Noted.")), os.path.join(person.root, "agent"), person.environ
    ) as agent:
        agent.ask_person()
        if daemon:
            codex.use_daemon(agent.home)
        agent.install_hooks(*words)
        try:
            with on_screen(agent, "Go on.") as screen:
                desk = Desk(agent, screen, person, colleague)
                if after_a_turn:
                    screen.wait_for("Noted.")
                    desk.await_state("idle")
                yield desk
        finally:
            codex.end_daemon(agent.home)
        assert agent.model.failures == []


DAEMON = pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "alone"])


@pytest.mark.parametrize(
    "daemon", [pytest.param(True, marks=pytest.mark.mechanism, id="daemon"), pytest.param(False, id="alone")]
)
def test_mail_wakes_it_once_and_the_typed_text_stays(person: Shell, daemon: bool) -> None:
    with at_a_desk(person, daemon=daemon) as desk:
        eventually(lambda: desk.presence().get("wake") == {"state": "ready", "by": CODEX}, "it can be woken")
        desk.screen.type(TYPED)
        began_s, allowed_s = time.monotonic(), WITHIN_S * load()
        sent = desk.mail()
        desk.await_text()
        took_s = time.monotonic() - began_s
        print(f"in a request {took_s:.1f} s after the send; allowed {allowed_s:.1f} s")
        assert took_s <= allowed_s
        desk.await_state("idle")
        assert [call.count(TEXT) for call in desk.turns()] == [1]
        assert desk.receipt(sent) == ("hook:codex:UserPromptSubmit", CODEX)
        eventually(lambda: desk.log() == ["woken"], "the line of the log")
        assert any(line.endswith(f" {TYPED}") for line in desk.screen.text().splitlines()), "byte for byte"
        desk.screen.press("Enter")
        eventually(lambda: len(desk.turns("user")) == 2, "its own turn", WOKEN_S_MAX)
        assert TYPED in desk.turns("user")[-1]


@DAEMON
def test_a_burst_is_one_turn(person: Shell, daemon: bool) -> None:
    with at_a_desk(person, daemon=daemon) as desk:
        texts = [f"Lamp number {number} is out." for number in range(10)]
        sent = [desk.mail(text) for text in texts]
        desk.await_text(texts[-1])
        desk.await_state("idle")
        [turn] = desk.turns()
        assert [turn.count(text) for text in texts] == [1] * 10
        assert {desk.receipt(one) for one in sent} == {("hook:codex:UserPromptSubmit", CODEX)}


@DAEMON
def test_at_work_its_own_hooks_bring_the_mail_and_no_turn_follows(person: Shell, daemon: bool) -> None:
    sent: list[str] = []

    def model(_request: Request) -> Turn:
        if not sent:
            sent.append(desk.mail())
        return Say("Noted.")

    with at_a_desk(person, model, daemon=daemon, after_a_turn=False) as desk:
        desk.await_text()
        desk.await_state("idle")
        assert desk.receipt(sent[0]) == ("hook:codex:Stop", None)
        # A second mail has a turn of its own, so by then a turn without mail would have come too.
        desk.mail("And now 4.")
        desk.await_text("And now 4.")
        assert [call.count("And now 4.") for call in desk.turns()] == [1]


@DAEMON
def test_behind_a_question_to_the_person_it_waits(person: Shell, daemon: bool) -> None:
    asked: list[str] = []

    def model(request: Request) -> Turn:
        if not asked and "Go on." in request:
            asked.append("asked")
            return desk.agent.asking_shell("touch made")
        return Say("Noted.")

    with at_a_desk(person, model, daemon=daemon, after_a_turn=False) as desk:
        desk.screen.wait_for("Would you like to run")
        desk.await_state("waiting")
        sent = desk.mail()
        desk.screen.wait_for("Would you like to run")
        desk.screen.press("Enter")
        desk.await_text()
        desk.await_state("idle")
        assert desk.receipt(sent) == ("hook:codex:PostToolUse", None)
        assert desk.turns() == []


@DAEMON
def test_after_esc_it_is_not_woken_and_the_next_prompt_brings_the_mail(person: Shell, daemon: bool) -> None:
    """After Esc Codex begins nothing that is in its queue. What is put there begins a turn after the next one."""
    thinking = threading.Event()

    def model(_request: Request) -> Turn:
        thinking.wait(WOKEN_S_MAX)
        return Say("Noted.")

    hasty = person.like(MAESTRO_WAKE_GRACE_MS="3000")
    with at_a_desk(hasty, model, daemon=daemon, after_a_turn=False) as desk:
        try:
            eventually(lambda: len(desk.turns("user")) == 1, "its turn", WOKEN_S_MAX)
            desk.screen.wait_for("esc to interrupt")
            desk.screen.press("Escape")
            desk.screen.wait_for("interrupted")
        finally:
            thinking.set()
        assert desk.presence()["state"] == "working"
        sent = desk.mail()
        eventually(lambda: desk.log() == ["failed"], "the wake that is due after the grace time", WOKEN_S_MAX)
        assert "broken off" in desk.presence()["wake"]["reason"]
        desk.screen.type("Go on, then.")
        desk.screen.press("Enter")
        desk.await_text()
        desk.await_state("idle")
        assert desk.receipt(sent) == ("hook:codex:UserPromptSubmit", None)
        desk.mail("And now 4.")
        desk.await_text("And now 4.")
        assert len(desk.turns()) == 1


@DAEMON
def test_a_screen_that_is_gone_gets_nothing_and_after_a_resume_it_is_woken(person: Shell, daemon: bool) -> None:
    with at_a_desk(person, daemon=daemon) as desk:
        session = desk.session()
        facts = wake_facts.read(person.data, session)
        assert facts is not None
        assert facts.thread is not None
        os.kill(facts.pid, signal.SIGKILL)
        eventually(lambda: desk.presence()["state"] == "gone", "its end is known", WOKEN_S_MAX)
        sent = desk.mail()
        with on_screen(desk.agent, command=desk.agent.command("resume", facts.thread)) as screen:
            screen.wait_for("Ask Codex to do anything")
            screen.type("Here I am.")
            screen.press("Enter")
            desk.await_text()
            desk.await_state("idle")
            assert desk.session() == session
            assert desk.receipt(sent) in [
                (f"hook:codex:{event}", None) for event in ("SessionStart", "UserPromptSubmit")
            ]
            # The second mail has a turn, so by then the first one would have had it too.
            desk.mail("And now 4.")
            desk.await_text("And now 4.")
            assert len(desk.turns()) == 1
        eventually(lambda: desk.log() == ["woken"], "the line of the log")


@DAEMON
def test_after_a_new_thread_on_its_screen_that_one_is_woken(person: Shell, daemon: bool) -> None:
    with at_a_desk(person, daemon=daemon) as desk:
        first = desk.session()
        desk.screen.type("/new")
        desk.screen.press("Enter")
        desk.screen.wait_for("Ask Codex to do anything")
        desk.screen.type("Begin again.")
        desk.screen.press("Enter")
        eventually(lambda: any("Begin again." in call for call in desk.turns("user")), "the turn", WOKEN_S_MAX)
        with person.client() as client:
            newest = [one["id"] for one in client.sessions() if one.get("agent") == KIND][-1]
            eventually(lambda: client.session(newest)["presence"]["state"] == "idle", "idle", WOKEN_S_MAX)
        if newest != first:
            assert wake_facts.read(person.data, first) is None, "its screen shows another thread"
        with desk.colleague.client() as client:
            client.send(newest, TEXT)
        desk.await_text()
        [turn] = desk.turns()
        assert "Begin again." in turn


def test_two_screens_of_one_daemon_speak_for_the_sessions_of_their_shells(person: Shell) -> None:
    """The daemon runs the hooks of both, with the variables of the first shell."""
    colleague = person.session("colleague", role="orchestrator")
    first, second = person.session("first"), person.session("second")
    root = os.path.join(person.root, "agent")
    with at_work(KIND, lambda _request: Say("Noted."), root, first.environ) as agent:
        agent.ask_person()
        codex.use_daemon(agent.home)
        agent.install_hooks()
        own = [f"{name}={value}" for name, value in second.environ.items() if name.startswith("MAESTRO_SESSION_")]
        try:
            with on_screen(agent, "I am one.") as screen:
                screen.wait_for("Noted.")
                with on_screen(agent, command=["env", *own, *agent.command("I am two.")]):
                    for shell, words in ((second, "I am two."), (first, "I am one.")):
                        _reach(agent, colleague, shell, words)
        finally:
            codex.end_daemon(agent.home)


def _reach(agent: Agent, colleague: Shell, shell: Shell, words: str) -> None:
    """Mail to the session of a shell wakes the thread that was begun in it, and no other."""
    text = f"Lamps, to whom it says: {words}"

    def is_idle() -> bool:
        with shell.anonymous().client() as client:
            return client.session(shell.session_id)["presence"]["state"] == "idle"

    def shown() -> list[bool]:
        return [words in call for call in agent.model.calls if text in call]

    eventually(is_idle, f"{words!r} was answered", WOKEN_S_MAX)
    colleague.send(shell, text)
    eventually(lambda: bool(shown()), text, WOKEN_S_MAX)
    assert set(shown()) == {True}


def test_exec_is_never_queued_to(person: Shell) -> None:
    colleague = person.session("colleague", role="orchestrator")
    sent: list[str] = []

    def model(_request: Request) -> Turn:
        if not sent:
            with colleague.client() as client:
                [own] = [one["id"] for one in client.sessions() if one.get("agent") == KIND]
                assert "wakeBy" not in client.session(own)
                sent.append(client.send(own, TEXT)["id"])
        return Say("Noted.")

    with at_work(KIND, model, os.path.join(person.root, "agent"), person.environ) as agent:
        agent.install_hooks()
        agent.run("Go on.")
    assert len(sent) == 1
    assert wake_facts.sessions(person.data) == []
    assert not os.path.exists(os.path.join(person.data, "logs", "wake.log"))


def test_hooks_that_were_installed_without_it_do_not_wake(person: Shell) -> None:
    with at_a_desk(person, daemon=True, words=("--no-wake",)) as desk:
        assert desk.presence()["wake"]["state"] == "off"
        assert wake_facts.sessions(person.data) == []
