"""Which process shows a thread of Codex, found among real processes with real terminals."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks import state_files
from maestro_cli.hooks.payload import HookInput
from maestro_cli.hooks.state_files import AgentProcess, SessionLink
from maestro_cli.hooks.waking import codex
from maestro_runtime import wake_facts
from maestro_runtime.process_identity import pid_start
from maestro_schemas.texts.waking import CODEX
from support import components

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

THREAD = "01a22be6-fce2-78d2-8e80-9473d6f1ee81"
OTHER = "01a22be7-03e9-7fd0-ba0f-8bd078f4f163"
PATIENCE_S = 20.0
_SHELL = os.path.realpath("/bin/sh")


class Machine:
    """Processes whose program is called `codex`. It is a shell that waits."""

    def __init__(self, root: Path) -> None:
        self.data = str(root / "data")
        self.home = root / "home" / ".codex"
        self.home.mkdir(parents=True)
        self.work = root / "work"
        self.work.mkdir()
        self.program = str(root / "bin" / "codex")
        (root / "bin").mkdir()
        shutil.copy(_SHELL, self.program)
        self.environ = {"HOME": str(root / "home"), "PATH": os.defpath}
        self.hook_environ = {**self.environ, "MAESTRO_DATA_DIR": self.data}
        self._ends = contextlib.ExitStack()

    def start(self, *words: str, terminal: bool = True, work: str | None = None, **environ: str) -> int:
        """A process with these words in its command line; its pid."""
        command = [self.program, "-c", "while :; do read -r x || sleep 600; done", *words]
        master, slave = pty.openpty() if terminal else (-1, -1)
        script = "import os, sys; os.setsid(); os.close(os.open(sys.argv[1], os.O_RDWR)) if sys.argv[1] else None"
        script += "; os.execv(sys.argv[2], sys.argv[2:])"
        process = subprocess.Popen(
            [sys.executable, "-c", script, os.ttyname(slave) if terminal else "", *command],
            env={**self.environ, **environ},
            cwd=work or self.work,
            stdin=slave if terminal else subprocess.DEVNULL,
        )
        self._ends.callback(process.wait)
        self._ends.callback(process.send_signal, signal.SIGKILL)
        if terminal:
            os.close(slave)
            self._ends.callback(os.close, master)
            self._masters = {**getattr(self, "_masters", {}), process.pid: master}
        until_s = time.monotonic() + PATIENCE_S
        # In the middle of an exec, the kernel shows the new program before its words and its environment.
        while os.readlink(f"/proc/{process.pid}/exe") != self.program or not codex._environ_of(process.pid).get(
            "HOME"
        ):
            assert time.monotonic() < until_s
            time.sleep(0.005)
        return process.pid

    def daemon(self) -> int:
        return self.start("app-server", "--listen", "unix://", "--managed-daemon", terminal=False)

    def agent_pid(self, pid: int, thread: str = THREAD, *, begins: bool = True) -> int:
        said = HookInput(session=thread, directory=str(self.work))
        return codex.enter(pid, said, self.hook_environ, begins=begins)

    def note(self, session: str, pid: int, thread: str = THREAD, **environ: str) -> bool:
        return codex.note(self.data, session, HookInput(session=thread), pid, {**self.environ, **environ})

    def close(self) -> None:
        self._ends.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


def test_a_hook_below_its_screen_belongs_to_that(machine: Machine) -> None:
    screen = machine.start("Go on.")
    assert machine.agent_pid(screen) == screen
    assert machine.note("bob", screen)
    facts = wake_facts.read(machine.data, "bob")
    assert facts is not None
    assert facts == (CODEX, screen, pid_start(screen), THREAD, machine.program, str(machine.home)) + (None,) * 4


@pytest.mark.parametrize(
    "words",
    [
        ("exec", "--skip-git-repo-check", "Go on."),
        ("-c", "a=b", "exec", "Go on."),
        ("e", "Go on."),
        ("app-server",),
        ("review",),
        ("mcp-server",),
    ],
)
def test_what_has_no_screen_is_not_woken(machine: Machine, words: tuple[str, ...]) -> None:
    pid = machine.start(*words)
    assert machine.agent_pid(pid) == pid
    assert not machine.note("bob", pid)
    assert wake_facts.sessions(machine.data) == []


@pytest.mark.parametrize(
    "words",
    [(), ("resume", THREAD), ("fork", "--last"), ("--model", "x", "exec the plan"), ("--", "exec"), ("agents",)],
)
def test_what_has_a_screen_is(machine: Machine, words: tuple[str, ...]) -> None:
    assert machine.note("bob", machine.start(*words))


def test_without_a_terminal_there_is_no_screen(machine: Machine) -> None:
    assert not machine.note("bob", machine.start("Go on.", terminal=False))


def test_a_process_that_is_gone_is_not_woken(machine: Machine) -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert machine.agent_pid(process.pid) == process.pid
    assert machine.agent_pid(0) == 0
    assert not machine.note("bob", process.pid)
    assert not machine.note("bob", 0)


def test_a_process_of_another_user_is_not_woken(machine: Machine) -> None:
    components.require_root("starting a process of another user")
    with subprocess.Popen(["sleep", "600"], user=65_534) as process:
        assert not machine.note("bob", process.pid)
        process.kill()


def test_a_daemon_without_a_screen_stands_for_itself_and_is_not_woken(machine: Machine) -> None:
    daemon = machine.daemon()
    assert machine.agent_pid(daemon) == daemon
    assert not machine.note("bob", daemon)


def test_the_screen_of_a_daemon_is_that_of_the_same_home(machine: Machine, tmp_path: Path) -> None:
    daemon, screen = machine.daemon(), machine.start("Go on.")
    machine.start("Go on.", CODEX_HOME=str(tmp_path))
    machine.start("exec", "Go on.")
    assert machine.agent_pid(daemon) == screen


def test_the_screen_of_a_daemon_is_that_of_the_same_directory(machine: Machine, tmp_path: Path) -> None:
    daemon, screen = machine.daemon(), machine.start()
    machine.start(work=str(tmp_path))
    assert machine.agent_pid(daemon) == screen


def test_of_two_screens_it_is_the_one_that_shows_no_other_thread(machine: Machine) -> None:
    daemon, first, second = machine.daemon(), machine.start(), machine.start()
    assert machine.note("ann", first, OTHER)
    assert machine.agent_pid(daemon) == second
    assert machine.agent_pid(daemon, OTHER) == first


def test_of_two_screens_it_is_the_one_with_the_last_key(machine: Machine) -> None:
    daemon, first, second = machine.daemon(), machine.start(), machine.start()
    assert machine.note("ann", second, OTHER)
    long_ago = time.time() - 3_600
    os.utime(os.readlink(f"/proc/{first}/fd/0"), (long_ago, long_ago))
    assert machine.agent_pid(daemon) == second, "a new thread on the same screen"


def test_later_hooks_of_a_daemon_belong_to_the_screen_of_the_link(machine: Machine) -> None:
    daemon, screen = machine.daemon(), machine.start()
    assert machine.agent_pid(daemon, begins=False) == daemon
    link = SessionLink("bob", "token", made=True).used_by(AgentProcess.of(screen))
    state_files.write_link(machine.data, "codex", THREAD, link)
    assert machine.agent_pid(daemon, begins=False) == screen
    assert machine.agent_pid(screen, begins=False) == screen


def test_the_variables_of_the_screen_count_and_not_those_of_the_daemon(machine: Machine) -> None:
    daemon = machine.daemon()
    screen = machine.start(MAESTRO_SESSION_ID="bob", MAESTRO_WAKE="off")
    before = machine.hook_environ | {"MAESTRO_SESSION_ID": "ann", "MAESTRO_SESSION_TOKEN": "hers"}
    machine.hook_environ = dict(before)
    assert machine.agent_pid(screen) == screen
    assert machine.hook_environ == before, "below the screen itself, its variables are there already"
    assert machine.agent_pid(daemon) == screen
    own = {name: value for name, value in machine.hook_environ.items() if name.startswith("MAESTRO_")}
    assert own == {"MAESTRO_DATA_DIR": machine.data, "MAESTRO_SESSION_ID": "bob", "MAESTRO_WAKE": "off"}


def test_a_screen_that_has_ended_still_stands_for_its_agent(machine: Machine) -> None:
    daemon = machine.daemon()
    with subprocess.Popen(["true"]) as ended:
        pass
    link = SessionLink("bob", "token", made=True, processes=(AgentProcess(ended.pid, "a/b/1"),))
    state_files.write_link(machine.data, "codex", THREAD, link)
    assert machine.agent_pid(daemon, begins=False) == ended.pid


def test_a_screen_shows_one_thread_at_a_time(machine: Machine) -> None:
    screen, other = machine.start(), machine.start()
    assert machine.note("ann", screen, OTHER)
    assert machine.note("cas", other, OTHER)
    assert machine.note("bob", screen)
    assert sorted(wake_facts.sessions(machine.data)) == ["bob", "cas"]


def test_the_folder_of_its_databases_and_its_daemon_are_noted(machine: Machine) -> None:
    socket = machine.home / "app-server-control" / "app-server-control.sock"
    socket.parent.mkdir()
    socket.touch()
    assert machine.note("bob", machine.start(), CODEX_SQLITE_HOME="/srv/db")
    facts = wake_facts.read(machine.data, "bob")
    assert facts is not None
    assert (facts.database, facts.socket) == ("/srv/db", str(socket))
    assert machine.note("bob", machine.start(), CODEX_SQLITE_HOME="db", CODEX_HOME=str(machine.home / "sub"))
    facts = wake_facts.read(machine.data, "bob")
    assert facts is not None
    assert (facts.database, facts.home, facts.socket) == (None, str(machine.home / "sub"), None)


def test_a_program_that_an_update_has_replaced_is_looked_for_on_the_path(machine: Machine, tmp_path: Path) -> None:
    screen = machine.start()
    os.unlink(machine.program)
    assert not machine.note("bob", screen), "there is none"
    newer = tmp_path / "newer"
    newer.mkdir()
    shutil.copy(_SHELL, newer / "codex")
    assert machine.note("bob", screen, PATH=str(newer))
    facts = wake_facts.read(machine.data, "bob")
    assert facts is not None
    assert facts.program == str(newer / "codex")


def test_what_can_not_be_kept_is_not_half_kept(machine: Machine) -> None:
    screen = machine.start()
    assert machine.note("bob", screen)
    assert not machine.note("bob", screen, HOME="relative", CODEX_HOME="")
    assert wake_facts.sessions(machine.data) == []
