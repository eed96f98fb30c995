"""Clients: the real agents, found and run.

Rule: each runs on a scratch HOME, on loopback only, for a bounded time; it and what it started end with the test,
as one process group of our own.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import pytest

from agents import claude_code, codex, gemini_cli, opencode, qwen_code
from agents.install import NODE_MIN, directory, node_major
from agents.stand_in import standing_in
from agents.turns import Call
from support import components

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agents.stand_in import Api, Model, StandIn
    from agents.turns import Turn

RUN_S_MAX = 90.0


class Kind(Protocol):
    """What a module such as `claude_code` provides."""

    NAME: str
    PACKAGE: str
    API: Api
    SHELL_TOOL: str
    PROGRAM: str
    SETTINGS: str

    def shell_call(self, command: str) -> dict[str, str]:
        """The arguments of a call of its shell tool."""

    def environ(self, url: str) -> dict[str, str]:
        """The environment that leads it to the scripted model."""

    def prepare(self, home: str, url: str) -> None:
        """Write its settings."""

    def approve(self, program: list[str], environ: dict[str, str], work: str) -> None:
        """Give the hooks in its settings the approval that they need."""

    def prompt(self, text: str, resume: str | None) -> list[str]:
        """The arguments for one turn."""

    def ask_person(self, home: str, work: str) -> None:
        """Change its settings: it starts without questions, and asks a person before it runs a command."""

    def interactive(self, text: str, *more: str) -> list[str]:
        """The arguments for its screen, with a first prompt, if any, and `more`."""

    def asking_call(self, command: str) -> dict[str, Any]:
        """The arguments of a call of its shell tool for which a person is asked."""


KINDS: dict[str, Kind] = {kind.NAME: kind for kind in (claude_code, codex, gemini_cli, qwen_code, opencode)}


class Finished(NamedTuple):
    """One finished run of an agent."""

    code: int
    out: str
    err: str


class Agent:
    """One agent with a HOME, a folder to work in and a model of its own."""

    def __init__(self, kind: Kind, program: list[str], root: str, stand_in: StandIn, environ: dict[str, str]) -> None:
        self.kind = kind
        self.model = stand_in
        self.home = os.path.join(root, "home")
        self.work = os.path.join(root, "work")
        scratch = os.path.join(root, "tmp")
        for folder in (self.home, self.work, scratch):
            os.makedirs(folder)
        kind.prepare(self.home, stand_in.url)
        self._program = program
        # `maestro`, as the model types it, is the one under test; also in Codex's login shell, which sets a new PATH.
        ours = os.path.dirname(sys.executable)
        path = [ours, os.environ.get("PATH", os.defpath)]
        with open(os.path.join(self.home, ".profile"), "w", encoding="utf-8") as file:
            file.write(f"export PATH={shlex.quote(ours)}:$PATH\n")
        self.environ = {
            **{name: value for name, value in environ.items() if name.startswith("MAESTRO_")},
            "PATH": os.pathsep.join(path),
            "HOME": self.home,
            "TMPDIR": scratch,
            "CLAUDE_CODE_TMPDIR": scratch,
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            # A request to another host reaches the stand-in as its proxy, which records and refuses it.
            **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), stand_in.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
            **kind.environ(stand_in.url),
        }

    def shell(self, command: str) -> Call:
        """The turn in which the model runs a shell command."""
        return Call(self.kind.SHELL_TOOL, self.kind.shell_call(command))

    def asking_shell(self, command: str) -> Call:
        """The turn in which the model runs a shell command for which a person is asked."""
        return Call(self.kind.SHELL_TOOL, self.kind.asking_call(command))

    def ask_person(self) -> None:
        """Let it ask a person before it runs a command."""
        self.kind.ask_person(self.home, self.work)

    def interactive(self, prompt: str, *more: str) -> list[str]:
        """The words that start its screen."""
        return self.command(*self.kind.interactive(prompt, *more))

    def command(self, *words: str) -> list[str]:
        """The words that start it with these."""
        return [*self._program, *words]

    def settings(self) -> str:
        """The path of the file that its hooks are in."""
        return os.path.join(self.home, self.kind.SETTINGS)

    def write_hooks(self, commands: dict[str, str], *, approved: bool = True) -> None:
        """Put one command an event into its settings by hand."""
        path = self.settings()
        settings = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                settings = json.load(file)
        settings["hooks"] = {
            event: [{"hooks": [{"type": "command", "command": command}]}] for event, command in commands.items()
        }
        with open(path, "w", encoding="utf-8") as file:
            json.dump(settings, file)
        if approved:
            self.approve_hooks()

    def install_hooks(self, *more: str, without: str = "") -> None:
        """`maestro hooks install`, with `more` options, and the approval that only a person can give; `without`: an
        event to leave out."""
        command = [sys.executable, "-m", "maestro_cli", "hooks", "install", self.kind.NAME, *more]
        done = subprocess.run(
            command, env=self.environ, cwd=self.work, capture_output=True, text=True, timeout=RUN_S_MAX, check=False
        )
        assert done.returncode == 0, done
        if without:
            with open(self.settings(), encoding="utf-8") as file:
                settings = json.load(file)
            del settings["hooks"][without]
            with open(self.settings(), "w", encoding="utf-8") as file:
                json.dump(settings, file)
        self.approve_hooks()

    def approve_hooks(self) -> None:
        """Give the hooks in its settings the approval that they need."""
        self.kind.approve(self._program, self.environ, self.work)

    def start(self, prompt: str, *, resume: str | None = None) -> Running:
        """Start a turn with this prompt and don't wait for its end."""
        command = [*self._program, *self.kind.prompt(prompt, resume)]
        return Running(self, command)

    def run(self, prompt: str, *, resume: str | None = None) -> Finished:
        """Run a turn with this prompt to its end."""
        with self.start(prompt, resume=resume) as running:
            return running.finish()

    def reports(self) -> str:
        """The requests so far, for a person who investigates a failed test."""
        asked = [f"--- request {number}\n{call.pretty()[-3_000:]}" for number, call in enumerate(self.model.calls)]
        return "\n".join(asked)


class Running:
    """The process of a running agent; the end of the block kills it if it is still there."""

    def __init__(self, agent: Agent, command: list[str]) -> None:
        self._agent = agent
        self._process = subprocess.Popen(
            command,
            env=agent.environ,
            cwd=agent.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Its tools and hooks are in its process group, and end with it.
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def finish(self, timeout_s: float = RUN_S_MAX) -> Finished:
        """Wait for its end; it must have succeeded."""
        try:
            out, err = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self._agent.kind.NAME} did not end within {timeout_s:g} s:\n{self._agent.reports()}")
        done = Finished(self._process.returncode, out.decode(), err.decode())
        assert self._agent.model.failures == []
        assert done.code == 0, f"{done}\n{self._agent.reports()}"
        known = getattr(self._agent.kind, "KNOWN_STRAYS", ("none",))
        assert [host for host in self._agent.model.strays if not host.startswith(known)] == [], (
            "it sent requests to other hosts"
        )
        return done


def find(kind: Kind) -> list[str]:
    """The words that start an agent. Skips the test where it is not installed; fails there in CI."""
    found = sorted(glob.glob(os.path.join(directory(), "node_modules", kind.PROGRAM)))
    if not found:
        components.missing(f"{kind.PACKAGE} is not installed in {directory()} (`just agents` does that)")
    if not found[0].endswith(".js"):
        return [found[0]]
    # The node that npm installed, where the machine's is too old.
    carried = sorted(glob.glob(os.path.join(directory(), "node_modules", "node-linux-*", "bin", "node")))
    node = next((one for one in [*carried, "node"] if node_major(one) >= NODE_MIN), None)
    if node is None:
        components.missing(f"{kind.PACKAGE} needs node {NODE_MIN} or newer")
    return [node, found[0]]


@contextlib.contextmanager
def at_work(kind: str, model: Model | Sequence[Turn], root: str, environ: dict[str, str]) -> Iterator[Agent]:
    """An agent for as long as the block runs: below `root`, with the MAESTRO_* of `environ`."""
    found = KINDS[kind]
    program = find(found)
    with standing_in(found.API, model) as stand_in:
        yield Agent(found, program, root, stand_in, environ)
