"""Two agents' shells in a terminal multiplexer talk to each other."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from support import components
from support.cli_shell import open_shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli_shell import Shell

_PATIENCE_S = 40.0


class Terminal:
    """A tmux server with one window for each shell."""

    def __init__(self, person: Shell) -> None:
        self._socket = os.path.join(person.root, "tmux")
        self._environ = person.environ
        self._tmux("new-session", "-d", "-s", "test", "-x", "150", "-y", "40", "-n", "alice", "sh")
        self._tmux("new-window", "-t", "test", "-n", "bob", "sh")
        for window in ("alice", "bob"):
            maestro = shlex.join([sys.executable, "-m", "maestro_cli"])
            self.type(window, f"maestro() {{ {maestro} \"$@\"; }}; PS1='$ '; clear")

    def type(self, window: str, line: str) -> None:
        """Type a line and press Enter."""
        self._tmux("send-keys", "-t", f"test:{window}", "-l", line)
        self._tmux("send-keys", "-t", f"test:{window}", "Enter")

    def press(self, window: str, key: str) -> None:
        """Press one key."""
        self._tmux("send-keys", "-t", f"test:{window}", key)

    def wait_for(self, window: str, text: str) -> str:
        """Wait until a line of the screen begins with `text`; the screen."""
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            screen = self._tmux("capture-pane", "-p", "-J", "-t", f"test:{window}")
            if any(line.removeprefix("$ ").startswith(text) for line in screen.splitlines()):
                return screen
            assert time.monotonic() < give_up, f"no line starts with {text!r} in:\n{screen}"
            # A terminal offers no event to wait for, so this polls, within the time above.
            time.sleep(0.1)

    def close(self) -> None:
        """End the server and the shells."""
        self._tmux("kill-server")

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-S", self._socket, *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    components.require_tools("tmux")
    with open_shell() as person:
        opened = Terminal(person)
        try:
            yield opened
        finally:
            opened.close()


def test_two_shells_talk_to_each_other(terminal: Terminal) -> None:
    for window, role in (("alice", "orchestrator"), ("bob", "worker")):
        terminal.type(window, f'eval "$(maestro session start --name {window} --role {role} --export)"; echo ready')
        terminal.wait_for(window, "ready")
    terminal.type("bob", "maestro inbox --watch")
    terminal.wait_for("bob", "maestro: watching the inbox of sess_")

    terminal.type("alice", "maestro session send --to bob --message 'Review `main`, \"please\" 👍' --type request")
    terminal.wait_for("alice", "Sent to bob (")
    screen = terminal.wait_for("bob", '  | Review `main`, "please"')
    asked = next(line.split()[0] for line in screen.splitlines() if " from alice (" in line)

    terminal.press("bob", "C-c")
    terminal.type("bob", "echo code $?")
    terminal.wait_for("bob", "code 130")
    terminal.type("bob", f"maestro send --to alice --reply-to {asked} -m 'Done.'")
    terminal.wait_for("bob", "Sent to alice (")

    terminal.type("alice", "clear; maestro inbox")
    screen = terminal.wait_for("alice", "  | Done.")
    assert f"  in reply to {asked}" in screen
    assert " from bob (worker, sess_" in screen
