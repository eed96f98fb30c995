"""Waking by keys in a real tmux: what is typed where, and everything beside which nothing is typed."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.waking import key_guards, tmux_keys
from maestro_broker.waking.steps import CommandEnd, Wake, WakeCommand, WakeOutcome, WakePause
from maestro_runtime import hook_state, wake_facts
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import NOTICE, TMUX
from support import components, line_editor
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Terminal:
    """A server of tmux of the test's own, with the program in its pane, and a wake that is due."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entered = root / "entered"
        self.entered.touch()
        self.socket = str(root / "tmux")
        self.environ = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "TMUX_TMPDIR": str(root)}
        command = [sys.executable, line_editor.__file__, str(self.entered)]
        self.tmux("-f", os.devnull, "new-session", "-d", "-x", "80", "-y", "20", "-n", "work", *command)
        self.pane, pid = self.tmux("display-message", "-p", "#{pane_id} #{pane_pid}").split()
        self.facts = WakeFacts(
            TMUX, int(pid), pid_start(int(pid)), program=shutil.which("tmux"), socket=self.socket, pane=self.pane
        )
        self.file = root / "messages" / "by-receiver" / "bob" / ".wake"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("idle\n")
        self.await_text(line_editor.PLACEHOLDER)

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self.socket, *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.strip()

    def text(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", self.pane)

    def await_text(self, text: str) -> None:
        eventually(lambda: text in self.text(), f"{text!r} in {self.text()!r}", 20.0)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-t", self.pane, "-l", "--", text)
        self.await_text(text)

    def lines(self) -> list[str]:
        return self.entered.read_text().splitlines()

    def steps(self, **changed: Any) -> Any:
        facts = self.facts._replace(**changed)
        wake_facts.write(str(self.root), "bob", facts)
        return tmux_keys.steps(Wake(str(self.root), "bob", facts), os.environ)

    def wake(self, between: Callable[[int], None] = lambda _pause: None, **changed: Any) -> WakeOutcome:
        """Carry the wake out. A pause between tries is not waited for. `between`: called at each pause with its
        number, and may change what the next look sees."""
        steps = self.steps(**changed)
        sent: CommandEnd | None = None
        pauses = 0
        while True:
            try:
                step = steps.send(sent)
            except StopIteration as end:
                found = end.value
                assert isinstance(found, WakeOutcome)
                return found
            sent = None
            if isinstance(step, WakePause):
                pauses += 1
                between(pauses)
                time.sleep(step.for_s if step.for_s < 1 else 0)
            else:
                assert isinstance(step, WakeCommand)
                done = subprocess.run(
                    step.words,
                    env={"PATH": os.environ["PATH"], **step.environ},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
                sent = CommandEnd(done.returncode, done.stdout.decode())

    def refuses(self, reason: str, **changed: Any) -> WakeOutcome:
        """The outcome of a wake that changes nothing on the screen."""
        before = self.text()
        outcome = self.wake(**changed)
        assert (outcome.result, self.lines(), self.text()) == ("failed", [], before)
        assert reason in (outcome.reason or "")
        return outcome


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    components.require_tools("tmux")
    # Each try looks three times. Two tries show that it is tried again.
    monkeypatch.setattr(key_guards, "TRIES", 2)
    found = Terminal(tmp_path)
    try:
        yield found
    finally:
        found.tmux("kill-server")


def test_an_empty_prompt_is_typed_into_once(terminal: Terminal) -> None:
    assert terminal.wake() == ("bob", TMUX, "woken", None, False)
    eventually(lambda: terminal.lines() == [NOTICE], "the words", 10.0)
    assert not terminal.file.exists()
    assert terminal.wake().result == "void", "the wake was claimed"


def test_a_prompt_that_has_become_empty_again_is_typed_into(terminal: Terminal) -> None:
    terminal.type("half a sen")

    def finish(pause: int) -> None:
        if pause == 1:
            terminal.tmux("send-keys", "-t", terminal.pane, "C-u")
            terminal.await_text(line_editor.PLACEHOLDER)

    assert terminal.wake(finish).result == "woken"
    eventually(lambda: terminal.lines() == [NOTICE], "the words", 10.0)


@pytest.mark.parametrize("typed", ["half a sen", "/", "!", "?", " ", line_editor.PLACEHOLDER.strip(), NOTICE, "> "])
def test_nothing_is_typed_beside_what_a_person_has_typed(terminal: Terminal, typed: str) -> None:
    terminal.tmux("send-keys", "-t", terminal.pane, "-l", "--", typed)
    terminal.await_text("Really" if typed == "?" else f" > {typed}".rstrip())
    if typed == " ":
        eventually(lambda: line_editor.PLACEHOLDER not in terminal.text(), "the blank", 10.0)
    outcome = terminal.refuses("no empty prompt")
    assert not outcome.is_lasting


def test_nothing_is_typed_in_copy_mode(terminal: Terminal) -> None:
    terminal.tmux("copy-mode", "-t", terminal.pane)
    assert not terminal.refuses("copy mode").is_lasting


def test_the_pane_of_another_program_gets_nothing(terminal: Terminal) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        changed = {"pid": other.pid, "pid_start": pid_start(other.pid)}
        assert terminal.refuses("", **changed).is_lasting
        other.kill()


def test_a_pane_that_the_agent_is_not_in_gets_nothing(terminal: Terminal) -> None:
    own = [sys.executable, line_editor.__file__, str(terminal.root / "other")]
    pane = terminal.tmux("new-window", "-d", "-P", "-F", "#{pane_id}", *own)
    eventually(lambda: line_editor.PLACEHOLDER in terminal.tmux("capture-pane", "-p", "-t", pane), "it", 20.0)
    assert terminal.refuses("another terminal than that pane", pane=pane).is_lasting
    assert not (terminal.root / "other").exists()


def test_a_shell_in_the_foreground_gets_nothing(terminal: Terminal) -> None:
    """The agent was stopped by ^Z, and its shell has a prompt that looks like an agent's."""
    rc = terminal.root / "rc"
    rc.write_text("PS1=' > '\nset -m\n")
    pane = terminal.tmux("new-window", "-P", "-F", "#{pane_id}", "bash", "--noprofile", "--rcfile", str(rc))
    terminal.pane = pane
    eventually(lambda: terminal.text() == ">", "a prompt", 20.0)
    terminal.type("sleep 600 &")
    terminal.tmux("send-keys", "-t", pane, "Enter")
    eventually(lambda: terminal.text().endswith(">"), "the next prompt", 20.0)
    shell_pid = terminal.tmux("display-message", "-p", "-t", pane, "#{pane_pid}")
    [pid] = subprocess.run(["pgrep", "-P", shell_pid], capture_output=True, text=True, check=True).stdout.split()
    try:
        changed = {"pid": int(pid), "pid_start": pid_start(int(pid)), "pane": pane}
        assert not terminal.refuses("another program has the terminal", **changed).is_lasting
    finally:
        os.kill(int(pid), signal.SIGKILL)


def test_nothing_is_typed_while_a_person_types(terminal: Terminal) -> None:
    """A person's terminal is attached, and its last key is a moment ago."""
    child, descriptor = pty.fork()
    if child == 0:
        os.execvpe("tmux", ["tmux", "-S", terminal.socket, "attach"], terminal.environ)
    try:
        eventually(lambda: terminal.tmux("list-clients") != "", "a client", 20.0)

        def press(_pause: int) -> None:
            os.write(descriptor, b"x\x15")

        before = terminal.text()
        press(0)
        outcome = terminal.wake(press)
        assert (outcome.result, terminal.lines()) == ("failed", [])
        assert outcome.reason is not None
        assert "a person has just pressed a key" in outcome.reason
        eventually(lambda: terminal.text() == before, "the screen as before", 10.0)
        terminal.file.write_text("idle\n")
        eventually(lambda: time.time() - _pressed_s(terminal) > key_guards.QUIET_S, "a quiet person", 20.0)
        assert terminal.wake().result == "woken", "a person who only looks is no reason"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(descriptor)


def _pressed_s(terminal: Terminal) -> int:
    return int(terminal.tmux("list-clients", "-F", "#{client_activity}"))


def test_enter_is_not_pressed_if_a_person_has_typed_at_the_last_moment(terminal: Terminal) -> None:
    def type_along(pause: int) -> None:
        if pause == 2:
            terminal.type(" and mine")

    outcome = terminal.wake(type_along)
    assert (outcome.result, outcome.is_lasting, terminal.lines()) == ("failed", True, [])
    assert "Enter was not pressed" in (outcome.reason or "")
    assert f" > {NOTICE} and mine" in terminal.text()


def test_a_screen_that_changes_is_not_typed_into(terminal: Terminal) -> None:
    def type_along(pause: int) -> None:
        terminal.tmux("send-keys", "-t", terminal.pane, "x" if pause % 2 else "C-u")
        if pause % 2:
            terminal.await_text(" > x")
        else:
            terminal.await_text(line_editor.PLACEHOLDER)

    outcome = terminal.wake(type_along)
    assert (outcome.result, outcome.reason, terminal.lines()) == ("failed", "its screen changes", [])


@pytest.mark.parametrize("when", [0, 1])
def test_a_turn_that_has_begun_brings_the_mail_by_itself(terminal: Terminal, when: int) -> None:
    def sign(_pause: int = 0) -> None:
        path = hook_state.path(str(terminal.root), "bob")
        hook_state.write(path, HookState("working", "BeforeAgent", "gemini-cli"))

    if when == 0:
        sign()
    outcome = terminal.wake(sign)
    assert (outcome.result, terminal.lines(), terminal.file.exists()) == ("busy", [], True)


def test_a_wake_that_was_taken_back_types_nothing(terminal: Terminal) -> None:
    outcome = terminal.wake(lambda _pause: terminal.file.unlink())
    assert (outcome.result, terminal.lines()) == ("void", [])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"pane": "%99"}, "can't reach its pane"),
        ({"socket": "/nowhere/tmux"}, "can't reach its pane"),
        ({"pane": "0:0.0"}, "names no pane of tmux"),
        ({"pane": None}, "names no pane of tmux"),
        ({"socket": None}, "names no pane of tmux"),
        ({"program": None}, "names no pane of tmux"),
        ({"pid_start": "1"}, "has ended"),
        ({"program": "/bin/echo"}, "says something unexpected"),
    ],
)
def test_facts_that_lead_nowhere_are_refused_for_good(
    terminal: Terminal, changed: dict[str, Any], reason: str
) -> None:
    assert terminal.refuses(reason, **changed).is_lasting


def test_a_command_without_an_answer_is_tried_again(terminal: Terminal) -> None:
    steps = terminal.steps()
    assert isinstance(next(steps), WakeCommand)
    assert steps.send(CommandEnd(None, "")) == WakePause(key_guards.AGAIN_S)
