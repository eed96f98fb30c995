"""Newcomer: a person who has an empty home, Claude Code and what the project publishes, and who types.

Rule: the environment is HOME and PATH, what a terminal sets, and what leads Claude Code to the stand-in of its model.
Every line that is typed and every dialog that is answered is counted. `look` is the test's, not the person's.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from agents import claude_code
from agents.clients import find
from agents.colleagues import PROMPT, REPORT
from support.post_office import eventually
from support.tmux_terminal import TmuxTerminal

if TYPE_CHECKING:
    from types import TracebackType

# Two checkouts of one project.
PROJECTS = ("shop", os.path.join("review", "shop"))
# What Maestro calls the agents in them.
NAMES = ("shop", "shop-2")
COLUMNS, ROWS, ROWS_OF_SHELL = 92, 16, 33
_SHOWN_S_MAX = 120.0
_PROMPT = "$ "
_FRAME_S = 0.12


class Newcomer:
    """`typed`: the lines that the person has typed, and `answered` the dialogs. `home` is all that Maestro may write
    to; `seconds`: since the first line."""

    def __init__(self, root: str, url: str) -> None:
        self.root = root
        self.home = os.path.join(root, "home")
        self.typed: list[str] = []
        self.answered = 0
        self._began_s: float | None = None
        tools = os.path.join(root, "tools")
        # As on every desktop. Claude Code writes into them, too.
        desktop = [
            os.path.join(self.home, name) for name in (".config", os.path.join(".local", "share", "applications"))
        ]
        for folder in (tools, *desktop, *(os.path.join(self.home, name) for name in PROJECTS)):
            os.makedirs(folder)
        [claude] = find(claude_code)
        os.symlink(claude, os.path.join(tools, "claude"))
        with open(os.path.join(tools, "python3"), "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        os.chmod(file.name, 0o755)
        self._used_before(url)
        local = os.path.join(self.home, ".local", "bin")
        self.environ = {
            "HOME": self.home,
            "PATH": os.pathsep.join([local, tools, "/usr/bin", "/bin"]),
            "HISTFILE": os.devnull,
            "PS1": _PROMPT,
        }
        # A request to another host reaches the stand-in as its proxy, which refuses it.
        self._of_an_agent = {
            "TMPDIR": root,
            "CLAUDE_CODE_TMPDIR": root,
            **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), url),
            "NO_PROXY": "127.0.0.1,localhost",
            **claude_code.environ(url),
        }
        self.terminals: dict[str, TmuxTerminal] = {}

    def _used_before(self, url: str) -> None:
        """Claude Code has answered the questions of its first start, and has settings of the person's own."""
        folder = os.path.join(self.home, ".claude")
        os.makedirs(folder)
        with open(os.path.join(folder, "settings.json"), "w", encoding="utf-8") as file:
            file.write('{\n  "cleanupPeriodDays": 90, "includeCoAuthoredBy": false\n}\n')
        trusted = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        known = {
            "hasCompletedOnboarding": True,
            "projects": {os.path.join(self.home, name): trusted for name in PROJECTS},
            "customApiKeyResponses": {
                "approved": [claude_code.environ(url)["ANTHROPIC_API_KEY"]],
                "rejected": [],
            },
        }
        with open(os.path.join(self.home, ".claude.json"), "w", encoding="utf-8") as file:
            json.dump(known, file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for terminal in self.terminals.values():
            terminal.__exit__(None, None, None)
        data = os.path.join(self.home, ".local", "share", "maestro")
        from support.cli_shell import stop_broker

        stop_broker(data)

    # --- what the person does ------------------------------------------------------------------------------

    def open_terminal(self, name: str, folder: str = "", *, with_agent: bool, rows: int = ROWS) -> None:
        """Open a terminal, in a folder of the home. `with_agent`: what runs in it reaches the stand-in alone;
        otherwise pip has the settings of who runs the test."""
        more = self._of_an_agent if with_agent else _pip_settings()
        terminal = TmuxTerminal(
            os.path.join(self.root, f"tmux-{name}"),
            {**self.environ, "PROMPT_COMMAND": f"echo $? > {self._status(name)}", **more},
            os.path.join(self.home, folder),
            ["bash", "--norc", "--noprofile", "-i"],
            COLUMNS,
            rows,
        )
        self.terminals[name] = terminal
        eventually(lambda: os.path.exists(self._status(name)), "the shell's first prompt", 30.0)

    def run(self, name: str, line: str) -> str:
        """Type a command, and wait for its end; what it has printed. It must have succeeded."""
        status = self._status(name)
        os.unlink(status)
        self.say(name, line)
        eventually(lambda: os.path.exists(status), f"the end of {line!r}", _SHOWN_S_MAX)
        shown = self.terminals[name].text()
        with open(status, encoding="utf-8") as file:
            assert file.read().strip() == "0", f"{line!r} has failed:\n{shown}"
        return shown

    def _status(self, name: str) -> str:
        """The file in which a shell leaves the exit status of each command, before its next prompt."""
        return os.path.join(self.root, f"status-{name}")

    def say(self, name: str, line: str) -> None:
        """Type a line and enter it, once it is on the screen."""
        if self._began_s is None:
            self._began_s = time.monotonic()
        self.typed.append(line)
        terminal = self.terminals[name]
        for start in range(0, len(line), 3):
            terminal.type(line[start : start + 3])
            threading.Event().wait(0.02)
        # A long line is broken by the terminal.
        self.see(name, line.rsplit(maxsplit=1)[-1][-20:])
        terminal.press("Enter")

    def answer(self, name: str, dialog: str) -> None:
        """Answer a dialog by its second choice: yes, and don't ask again."""
        self.see(name, dialog)
        self.answered += 1
        terminal = self.terminals[name]

        def is_answered() -> bool:
            """A key that comes while the dialog is being drawn is not taken for an answer, so it is pressed again."""
            if dialog not in terminal.text():
                return True
            terminal.press("2")
            threading.Event().wait(1.5)
            return dialog not in terminal.text()

        eventually(is_answered, "the answer is taken", _SHOWN_S_MAX)

    def see(self, name: str, text: str) -> None:
        """Wait until the person sees a text."""
        terminal = self.terminals[name]
        try:
            eventually(lambda: text in terminal.text(), f"{text!r} on the screen", _SHOWN_S_MAX)
        except AssertionError:
            raise AssertionError(f"no {text!r} on the screen of {name}:\n{terminal.text()}") from None

    @property
    def seconds(self) -> float:
        """Since the person has begun to type."""
        assert self._began_s is not None
        return time.monotonic() - self._began_s

    # --- what the test looks at ------------------------------------------------------------------------------

    def look(self, *arguments: str) -> Any:
        """What a command prints with `--json`; it counts as typed by no person."""
        command = ["maestro", *arguments, "--json"]
        done = subprocess.run(
            command, env=self.environ, cwd=self.home, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return found if arguments[0] == "log" else found[0]

    def tree(self) -> dict[str, tuple[int, bytes]]:
        """Every path of the home with its mode and its content; of a link, where it leads."""
        found = {}
        for folder, folders, files in os.walk(self.home):
            for name in [*folders, *files]:
                path = os.path.join(folder, name)
                content = b""
                if os.path.islink(path):
                    content = os.readlink(path).encode()
                elif os.path.isfile(path):
                    with open(path, "rb") as file:
                        content = file.read()
                found[os.path.relpath(path, self.home)] = (os.lstat(path).st_mode, content)
        return found


def _pip_settings() -> dict[str, str]:
    """How pip reaches its index here, and its cache, which is none of the new home's."""
    found = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "proxy" in name.lower()}
    return {"PIP_CACHE_DIR": os.path.expanduser("~/.cache/pip"), "PIP_DISABLE_PIP_VERSION_CHECK": "1", **found}


def first_minute(person: Newcomer, wheel: str) -> None:
    """All that a person types until one agent has the other's answer."""
    person.open_terminal("shell", with_agent=False, rows=ROWS_OF_SHELL)
    person.run("shell", "python3 -m venv ../venv")
    person.run("shell", f"../venv/bin/pip install --quiet ../{wheel}")
    person.run("shell", "../venv/bin/maestro setup --yes")
    for name, folder in zip(("first", "second"), PROJECTS, strict=True):
        person.open_terminal(name, folder, with_agent=True)
        person.say(name, "claude --permission-mode default")
        person.see(name, "for shortcuts")
    eventually(lambda: sorted(_idle(person)) == list(NAMES), "both agents are there", 60.0)
    person.say("first", PROMPT)
    # Claude Code asks its person before the first command of a kind.
    person.answer("first", "Do you want to proceed?")
    person.answer("second", "Do you want to proceed?")
    person.see("first", REPORT)


def _idle(person: Newcomer) -> list[str]:
    return [one.get("name", "") for one in person.look("who") if one["state"] == "idle"]


class Recorder:
    """Keeps what the terminals of a newcomer show, as often as it changes. `frames`: seconds, and each screen with
    its colours."""

    def __init__(self, newcomer: Newcomer) -> None:
        self._newcomer = newcomer
        self.frames: list[tuple[float, dict[str, str]]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _record(self) -> None:
        began_s = time.monotonic()
        while not self._ended.wait(_FRAME_S):
            shown = {}
            for name, terminal in list(self._newcomer.terminals.items()):
                # A terminal that is being opened or has ended shows nothing.
                with contextlib.suppress(subprocess.CalledProcessError):
                    shown[name] = terminal.captured()
            if not self.frames or shown != self.frames[-1][1]:
                self.frames.append((time.monotonic() - began_s, shown))
