"""A real broker wakes Codex by a command. A program of the test stands where the client's own would be; the real one
is in tests/agents/test_codex_wake.py."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_runtime import hook_state, wake_facts
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import CODEX, NOTICE
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

THREAD = "01a22be6-fce2-78d2-8e80-9473d6f1ee81"


class Codex:
    """A process with a session, and what its hooks have noted of it."""

    def __init__(self, office: PostOffice, session: str = "bob") -> None:
        self.office = office
        self.session = session
        self.process = subprocess.Popen(["sleep", "600"])
        self.start = pid_start(self.process.pid)
        self.root = office.root
        self.program = os.path.join(self.root, f"codex-{session}")
        self.ran = os.path.join(self.root, f"ran-{session}")
        self.answers("true")

    def answers(self, script: str) -> None:
        """What the program does, beside noting its words."""
        aside = f"{self.program}.new"
        with open(aside, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\necho "$@" >> {self.ran}\n{script}\n')
        os.chmod(aside, 0o700)
        os.rename(aside, self.program)

    def begin(self) -> None:
        """What the hooks do at its start and at the end of its first turn."""
        pid, start = self.process.pid, self.start
        facts = WakeFacts(CODEX, pid, start, thread=THREAD, program=self.program, home=self.root)
        wake_facts.write(self.office.data, self.session, facts)
        with Client(self.office.router()) as operator:
            operator.start_session(self.session)
        with Client(self.office.router(), Caller(self.session)) as own:
            own.touch_session(agent="codex", pid=pid, pidStart=start, wakeBy=CODEX, agentSessionId=THREAD)
        self.sign("idle", "Stop")

    def sign(self, state: Any, event: str) -> None:
        path = hook_state.path(self.office.data, self.session)
        hook_state.write(path, HookState(state, event, "codex", self.process.pid, self.start))

    def runs(self) -> list[str]:
        """The words of each run of the program."""
        if not os.path.exists(self.ran):
            return []
        with open(self.ran, encoding="utf-8") as file:
            return file.read().splitlines()

    def await_runs(self, count: int) -> None:
        eventually(lambda: len(self.runs()) == count, f"{count} runs")

    @property
    def wake(self) -> dict[str, Any]:
        with Client(self.office.router()) as operator:
            return dict(operator.session(self.session)["presence"].get("wake", {}))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def bob(open_office: PostOffice) -> Iterator[Codex]:
    made = Codex(open_office)
    made.begin()
    yield made
    made.close()


def send(office: PostOffice, text: str = "hello") -> None:
    with office.client("ann") as ann:
        ann.send("bob", text)


def hanging(bob: Codex, office: PostOffice) -> int:
    """A command that does not end; its pid."""
    path = os.path.join(bob.root, "pid")
    bob.answers(f"echo $$ > {path}.new; mv {path}.new {path}; exec sleep 600")
    send(office)
    eventually(lambda: os.path.exists(path), "the command")
    with open(path, encoding="utf-8") as file:
        return int(file.read())


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_mail_to_an_idle_codex_runs_its_command_once(open_office: PostOffice, bob: Codex) -> None:
    for number in range(5):
        send(open_office, f"The secret is {number}.")
    bob.await_runs(1)
    [words] = bob.runs()
    assert words.startswith(f"queue --thread {THREAD} --message {NOTICE}")
    assert "secret" not in words
    assert bob.wake["state"] == "woken"
    log = os.path.join(open_office.data, "logs", "wake.log")
    eventually(lambda: os.path.exists(log), "a line in the log")
    assert os.stat(log).st_mode & 0o777 == 0o600


def test_what_codex_says_is_where_the_sender_looks(open_office: PostOffice, bob: Codex) -> None:
    bob.answers("echo 'Error: no rollout found' >&2; exit 1")
    send(open_office)
    eventually(lambda: bob.wake.get("reason") is not None, "the reason")
    assert bob.wake["reason"] == "`codex queue` ended with 1: Error: no rollout found"


def test_a_codex_without_a_queue_is_asked_once(open_office: PostOffice, bob: Codex) -> None:
    bob.answers("echo \"error: unexpected argument '--thread' found\" >&2; exit 2")
    send(open_office)
    eventually(lambda: bob.wake.get("state") == "unanswered", "the failure")
    assert "update Codex" in bob.wake["reason"]
    # Its next sign makes another wake due.
    bob.sign("working", "UserPromptSubmit")
    bob.sign("idle", "Stop")
    other = Codex(open_office, "cas")
    try:
        other.begin()
        with open_office.client("ann") as ann:
            ann.send("cas", "hello")
        other.await_runs(1)
    finally:
        other.close()
    eventually(lambda: bob.wake.get("state") == "unanswered", "the failure again")
    assert len(bob.runs()) == 1


def test_a_stop_of_the_broker_ends_a_command_that_hangs(open_office: PostOffice, bob: Codex) -> None:
    pid = hanging(bob, open_office)
    began_s = time.monotonic()
    open_office.stop()
    assert is_gone(pid)
    assert time.monotonic() - began_s < 10, "it does not wait for the command's own bound"


def test_kill_9_of_the_broker_ends_a_command_that_hangs(open_office: PostOffice, bob: Codex) -> None:
    pid = hanging(bob, open_office)
    open_office.kill()
    eventually(lambda: is_gone(pid), "the end of the command")


def test_mail_moves_on_while_a_command_hangs(open_office: PostOffice, bob: Codex) -> None:
    pid = hanging(bob, open_office)
    with open_office.client("ann") as ann:
        for number in range(200):
            ann.send("ann", str(number))
    assert not is_gone(pid), "it still hangs"
