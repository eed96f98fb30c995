"""Screens: a real agent's interactive screen, in a terminal multiplexer of the test's own.

Rule: the agent runs as for a person, who sees what `text` returns and presses keys. It ends with the block, together
with the server, which belongs to the test alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from support import components
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.clients import Agent

_SHOWN_S_MAX = 60.0
_COLUMNS, _ROWS = 120, 40


class Screen:
    """The screen of one agent."""

    def __init__(self, agent: Agent, command: list[str], name: str) -> None:
        self._socket = os.path.join(agent.home, name)
        self._environ = agent.environ
        size = ["-x", str(_COLUMNS), "-y", str(_ROWS)]
        # Without the user's own settings of tmux.
        self._tmux("-f", os.devnull, "new-session", "-d", *size, "-c", agent.work, *command)

    def text(self) -> str:
        """What the person sees."""
        return self._tmux("capture-pane", "-p")

    def wait_for(self, text: str) -> None:
        """Wait until the person sees this text."""
        try:
            eventually(lambda: text in self.text(), f"{text!r} on the screen", _SHOWN_S_MAX)
        except AssertionError:
            raise AssertionError(f"no {text!r} on the screen:\n{self.text()}") from None

    def press(self, key: str) -> None:
        """Press a key, by tmux's name of it."""
        self._tmux("send-keys", key)

    def type(self, text: str) -> None:
        """Type a text, and wait until the person sees it."""
        self._tmux("send-keys", "-l", "--", text)
        self.wait_for(text)

    def prompt(self, text: str) -> None:
        """Type a prompt and enter it, once the person sees it: an Enter that comes at once is a part of a paste."""
        self.type(text)
        eventually(lambda: f"\u276f {text}" in self.typed(), f"{text!r} in the prompt", _SHOWN_S_MAX)
        self.press("Enter")

    def typed(self) -> str:
        """The last row that has a prompt, which is the one that the person types in."""
        return next((row.replace("\xa0", " ") for row in reversed(self.text().splitlines()) if "\u276f" in row), "")

    def pid(self) -> int:
        """The agent's process."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    def close(self) -> None:
        """End the server, and with it the agent."""
        with contextlib.suppress(subprocess.CalledProcessError):  # the agent has ended, and the server with it
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


@contextlib.contextmanager
def on_screen(
    agent: Agent, prompt: str = "", *more: str, command: list[str] | None = None, name: str = "tmux"
) -> Iterator[Screen]:
    """An agent that a person has started with this prompt, if any, or by this command. `more`: other arguments.
    `name`: of the screen, where a test has several of one agent."""
    components.require_tools("tmux")
    screen = Screen(agent, command or agent.interactive(prompt, *more), name)
    try:
        yield screen
    finally:
        screen.close()
