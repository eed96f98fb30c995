"""The user's guide: every command on its pages runs, in order, and prints the page's output.

A fence names the terminal of a block: ```sh alice. With `fails=3`, the block's last command ends with exit code 3. A
```text fence after the block has its output; `…` stands for any text, and on a line of its own for any lines. A block
with `skip=REASON` does not run; the reasons are listed here. The port of the examples is replaced by a free one.

Each page is played twice in one home: the second time its names, its mail, its files and its hooks are there already,
and the terminals of the first time are closed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from maestro_clients.processes.broker_process import find
from maestro_clients.processes.gateway_process import stop as stop_gateway
from maestro_schemas.errors import CODES
from support import components
from support.far_office import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
GUIDE = os.path.join(ROOT, "docs", "guide")
TOUR = "how-do-i-get-mail-between-two-agents-in-a-minute.md"
PAGES = sorted(name for name in os.listdir(GUIDE) if name.endswith(".md"))
# What looks like an error code: a call of macOS, and variables of the agents.
NO_CODES = {"F_FULLFSYNC", "CLICOLOR_FORCE", "NO_COLOR", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME"}
# Why a block can't run in a test.
REASONS = {"installs-from-an-index", "needs-systemd", "opens-an-agent"}
# The TCP port in the guide's examples; the next one is for notices. Another program may use it on this machine.
EXAMPLE_PORT = "47610"

_FENCE = re.compile(r"^```(sh|text|toml|python|http|json)?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One block of commands."""

    # Its line on the page.
    line: int
    terminal: str
    options: dict[str, str]
    commands: str
    # The output that the page shows; None where it shows none.
    printed: str | None


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    with open(os.path.join(GUIDE, page), encoding="utf-8") as file:
        text = file.read()
    found: list[Block] = []
    for fence in _FENCE.finditer(text):
        kind, info, content = fence.groups()
        if kind == "sh":
            terminal, *options = info.split() or ["you"]
            if "=" in terminal:
                terminal, options = "you", [terminal, *options]
            line = text.count("\n", 0, fence.start()) + 1
            found.append(Block(line, terminal, dict(o.split("=", 1) for o in options), content, None))
        elif kind == "text" and found:
            found[-1] = found[-1]._replace(printed=content)
    return found


class Terminal:
    """A window with a shell: a bash process that leads the session of its own terminal."""

    def __init__(self, environ: dict[str, str], directory: str) -> None:
        self._screen, keyboard = os.openpty()
        commands, typed = os.pipe()
        self._typed = os.fdopen(typed, "w", encoding="utf-8")
        self._bash = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--norc", "--noprofile", f"/dev/fd/{commands}"],
            stdin=keyboard,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            cwd=directory,
            text=True,
            pass_fds=[commands],
        )
        os.close(keyboard)
        os.close(commands)

    def run(self, commands: str) -> tuple[list[str], str]:
        """Run commands. Returns the exit codes of those that failed, and the output of all of them."""
        mark = uuid.uuid4().hex
        assert self._bash.stdout is not None
        self._typed.write(f"trap 'echo \"{mark} failed $?\"' ERR\n{commands}\ntrap - ERR; echo; echo {mark} done\n")
        self._typed.flush()
        failed: list[str] = []
        printed: list[str] = []
        for line in self._bash.stdout:
            if line.startswith(f"{mark} done"):
                return failed, "".join(printed)[:-1]
            if mark in line:
                failed.append(line.rsplit(" ", 1)[1].strip())
            else:
                printed.append(line)
        raise AssertionError(f"the shell ended: {''.join(printed)}")

    def close(self) -> None:
        assert self._bash.stdout is not None
        self._typed.close()
        self._bash.wait(30)
        self._bash.stdout.close()
        os.close(self._screen)


@contextmanager
def user_environ() -> Iterator[dict[str, str]]:
    """The environment of a user with an empty home directory and `maestro` on the PATH."""
    home = tempfile.mkdtemp(prefix="mg-")
    runtime = tempfile.mkdtemp(prefix="mgr-")
    bin_dir = os.path.join(home, ".local", "bin")
    os.makedirs(bin_dir)
    for name in ("maestro", "maestro-messaging"):
        with open(os.path.join(bin_dir, name), "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec {sys.executable} -m maestro_cli "$@"\n')
        os.chmod(file.name, 0o755)
    environ = {
        "HOME": home,
        "PATH": f"{bin_dir}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": runtime,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "MAESTRO_HTTP_PORT": "0",
        **{name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "COV_"))},
    }
    try:
        yield environ
    finally:
        data = os.path.join(home, ".local", "share", "maestro")
        stop_gateway(data)
        if find(data) is not None:
            subprocess.run([os.path.join(bin_dir, "maestro"), "down"], env=environ, check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(runtime, ignore_errors=True)


def matches(wanted: str, printed: str) -> bool:
    """Whether the output matches the page's text."""
    pattern = ""
    for line in wanted.splitlines():
        if line == "…":
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("…")) + r"\n"
    return re.fullmatch(pattern, printed if printed.endswith("\n") else printed + "\n") is not None


def play(page: str, environ: dict[str, str], port: str) -> None:
    """Run a page's blocks, each in its terminal, and compare what they print."""
    work = os.path.join(environ["HOME"], "work")
    os.makedirs(work, exist_ok=True)
    terminals: dict[str, Terminal] = {}
    try:
        for block in blocks(page):
            if "skip" in block.options:
                assert block.options["skip"] in REASONS
                continue
            where = f"{page}:{block.line}"
            if block.terminal not in terminals:
                terminals[block.terminal] = Terminal(environ, work)
            failed, printed = terminals[block.terminal].run(block.commands.replace(EXAMPLE_PORT, port))
            wanted = [block.options["fails"]] if "fails" in block.options else []
            assert failed == wanted, f"{where} failed with {failed}:\n{block.commands}\n{printed}"
            if block.printed is not None:
                assert matches(block.printed.replace(EXAMPLE_PORT, port), printed), f"{where} printed:\n{printed}"
    finally:
        for terminal in terminals.values():
            terminal.close()


@pytest.mark.parametrize("page", PAGES)
def test_each_command_prints_what_the_page_shows(page: str) -> None:
    """Twice: a page must also work where it was played before."""
    with user_environ() as environ:
        port = str(free_ports())
        play(page, environ, port)
        play(page, environ, port)


def test_the_tour_works_word_for_word_on_two_days() -> None:
    """In one home, in which the first day has left its sessions, its mail and its names."""
    tomorrows = tomorrow()
    with user_environ() as environ:
        port = str(free_ports())
        play(TOUR, environ, port)
        # The evening: terminals are closed, and the machine is switched off.
        subprocess.run(["maestro", "down"], env=environ, check=True, capture_output=True)
        play(TOUR, {**environ, **tomorrows}, port)


def tomorrow() -> dict[str, str]:
    """The variables with which a process, and all that it starts, sees the clock of tomorrow."""
    return {"LD_PRELOAD": components.faketime_library(), "FAKETIME": "+1d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def test_most_blocks_run() -> None:
    found = [block for page in PAGES for block in blocks(page)]
    skipped = [block for block in found if "skip" in block.options]
    assert len(found) - len(skipped) > 20
    assert len(skipped) <= 6


@pytest.mark.parametrize("page", PAGES)
def test_each_error_code_exists(page: str) -> None:
    with open(os.path.join(GUIDE, page), encoding="utf-8") as file:
        named = re.findall(r"`([A-Z]{3,}(?:_[A-Z]+)+)`", file.read())
    assert {code for code in named if not code.startswith("MAESTRO_")} - set(CODES) <= NO_CODES
