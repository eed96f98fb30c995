"""`maestro session nudge`: keys are allowed for one session whose agent is in a terminal, and forbidden again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_runtime import hook_state, wake_facts
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_schemas.texts.waking import CLAUDE_CODE, NOTICE, TMUX
from support import components, line_editor
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli_shell import Shell


class Pane:
    """A program with a prompt, in a tmux of the test's own, that stands for the agent of a session."""

    def __init__(self, person: Shell, session: str) -> None:
        self._socket = os.path.join(person.root, "tmux")
        self.entered = os.path.join(person.root, "entered")
        command = [sys.executable, line_editor.__file__, self.entered]
        self.tmux("-f", os.devnull, "new-session", "-d", "-x", "80", "-y", "20", *command)
        self.id, pid = self.tmux("display-message", "-p", "#{pane_id} #{pane_pid}").split()
        self.pid = int(pid)
        eventually(lambda: line_editor.PLACEHOLDER in self.tmux("capture-pane", "-p"), "a prompt", 30.0)
        sign(person, session, self.pid)

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *words],
            env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.strip()

    def lines(self) -> list[str]:
        if not os.path.exists(self.entered):
            return []
        with open(self.entered, encoding="utf-8") as file:
            return file.read().splitlines()


def sign(person: Shell, session: str, pid: int) -> None:
    """What the hooks of a start and of a turn's end say."""
    with person.client() as client:
        client.touch_session(session, agent="gemini-cli", pid=pid, pidStart=pid_start(pid))
    found = HookState("idle", "AfterAgent", "gemini-cli", pid, pid_start(pid))
    hook_state.write(hook_state.path(person.data, session), found)


def wake_of(person: Shell, session: str) -> Any:
    """What is known of the session's wakes."""
    with person.client() as client:
        return client.session(session).get("presence", {}).get("wake")


@pytest.fixture
def gem(person: Shell) -> Shell:
    """The session of an agent that nothing wakes."""
    components.require_tools("tmux")
    return person.session("gem")


@pytest.fixture
def pane(person: Shell, gem: Shell) -> Iterator[Pane]:
    found = Pane(person, gem.session_id)
    try:
        yield found
    finally:
        found.tmux("kill-server")


def test_keys_are_allowed_and_forbidden_again(person: Shell, gem: Shell, pane: Pane) -> None:
    said = person.done("session", "nudge", "tmux", "gem").out
    assert "Mail wakes gem by keys in tmux" in said
    assert "maestro session nudge off gem" in said
    facts = wake_facts.read(person.data, gem.session_id)
    assert facts is not None
    assert (facts.by, facts.pid, facts.pane) == (TMUX, pane.pid, pane.id)
    eventually(lambda: wake_of(person, gem.session_id) == {"state": "ready", "by": TMUX}, "ready")
    assert "No keys are typed for gem" in person.done("session", "nudge", "off", "gem").out
    assert wake_facts.read(person.data, gem.session_id) is None
    assert wake_of(person, gem.session_id) is None


def test_mail_types_the_words_and_the_sender_is_promised_no_more(person: Shell, gem: Shell, pane: Pane) -> None:
    alice = person.session("alice", role="orchestrator")
    with alice.client() as client:
        assert client.send(gem.session_id, "one")["reach"] == "prompt"
    found = json.loads(gem.done("session", "nudge", "tmux", "--json").out)
    assert found["wakeBy"] == TMUX
    with alice.client() as client:
        assert client.send(gem.session_id, "two")["reach"] == "wake"
    eventually(lambda: pane.lines() == [NOTICE], "the words", 40.0)


def test_an_agent_that_is_woken_in_its_own_way_needs_no_keys(person: Shell, gem: Shell, pane: Pane) -> None:
    with gem.client() as client:
        client.touch_session(gem.session_id, wakeBy=CLAUDE_CODE)
    ran = person.run("session", "nudge", "tmux", "gem")
    assert ran.code == exit_codes.REFUSED
    assert f"{CLAUDE_CODE} wakes its agent already" in ran.err
    person.done("session", "nudge", "off", "gem")
    with gem.client() as client:
        assert client.session(gem.session_id)["wakeBy"] == CLAUDE_CODE


def test_a_session_without_an_agent_is_refused(person: Shell, gem: Shell) -> None:
    ran = person.run("session", "nudge", "tmux", "gem")
    assert ran.code == exit_codes.REFUSED
    assert "no agent runs in" in ran.err
    assert "maestro hooks install AGENT" in ran.err


def test_an_agent_outside_of_tmux_is_refused(person: Shell, gem: Shell) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TMUX")}
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, env=clean, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        sign(person, gem.session_id, agent.pid)
        ran = person.run("session", "nudge", "tmux", "gem")
        agent.communicate(b"\n")
    assert ran.code == exit_codes.REFUSED
    assert "runs in no pane of tmux" in ran.err
    assert wake_facts.read(person.data, gem.session_id) is None


def test_an_agent_allows_and_forbids_keys_for_itself_alone(person: Shell, gem: Shell, pane: Pane) -> None:
    other = person.session("other").like(CLAUDECODE="1")
    for allowed in (False, True):
        if allowed:
            gem.like(CLAUDECODE="1").done("session", "nudge", "tmux")
        before = wake_facts.read(person.data, gem.session_id)
        for word in ("tmux", "off"):
            ran = other.run("session", "nudge", word, "gem")
            assert (ran.code, "may not change" in ran.err) == (exit_codes.REFUSED, True)
        assert wake_facts.read(person.data, gem.session_id) == before
        assert (before is not None) == allowed
    assert before is not None
    assert (before.pid, before.pane) == (pane.pid, pane.id)


def test_an_unknown_terminal_is_refused(person: Shell) -> None:
    assert person.run("session", "nudge", "screen", "gem").code == exit_codes.USAGE
