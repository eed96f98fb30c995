"""Waking Codex: each guard, and what is said where it can't be woken. The commands are not run here."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.waking import codex_queue
from maestro_broker.waking.steps import CommandEnd, Wake, WakeCommand, WakeOutcome, WakePause
from maestro_runtime import hook_state, wake_facts
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import CODEX, NOTICE

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_broker.waking.steps import Steps

THREAD = "01a22be6-fce2-78d2-8e80-9473d6f1ee81"
BROKER = {"HOME": "/home/ann", "PATH": "/usr/bin", "MAESTRO_SESSION_TOKEN": "secret", "CODEX_HOME": "/elsewhere"}


class Scene:
    """A session with a wake that is due."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.program = data / "codex"
        self.program.touch()
        self.home = data / "home"
        self.home.mkdir()
        self.file = data / "messages" / "by-receiver" / "bob" / ".wake"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("idle\n")
        self.facts = WakeFacts(
            CODEX,
            os.getpid(),
            pid_start(os.getpid()),
            thread=THREAD,
            program=str(self.program),
            home=str(self.home),
        )

    def steps(self, **changed: Any) -> Steps:
        self.facts = self.facts._replace(**changed)
        wake_facts.write(str(self.data), "bob", self.facts)
        return codex_queue.steps(Wake(str(self.data), "bob", self.facts), BROKER)

    def sign(self, state: Any) -> None:
        hook_state.write(hook_state.path(str(self.data), "bob"), HookState(state, "Stop", "codex"))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def outcome(steps: Steps, sent: CommandEnd | None = None) -> WakeOutcome:
    with pytest.raises(StopIteration) as done:
        steps.send(sent)
    found = done.value.value
    assert isinstance(found, WakeOutcome)
    return found


def test_the_words_are_fixed_and_a_hook_knows_them() -> None:
    assert NOTICE in codex_queue.WORDS


def test_the_command_has_the_thread_the_words_and_a_clean_environment(scene: Scene) -> None:
    steps = scene.steps()
    assert next(steps) == WakeCommand(
        (str(scene.program), "queue", "--thread", THREAD, "--message", codex_queue.WORDS),
        {"CODEX_HOME": str(scene.home), "HOME": "/home/ann"},
    )
    assert not scene.file.exists(), "it is claimed before it is carried out"
    assert outcome(steps, CommandEnd(0, "Queued message")) == ("bob", CODEX, "woken", None, False)


def test_the_folder_of_its_databases_is_passed_on(scene: Scene) -> None:
    command = next(scene.steps(database="/srv/db"))
    assert isinstance(command, WakeCommand)
    assert command.environ["CODEX_SQLITE_HOME"] == "/srv/db"


def test_a_daemon_is_given_time_since_it_begins_the_turn_at_once(scene: Scene) -> None:
    steps = scene.steps(socket="/run/codex")
    assert next(steps) == WakePause(2.0)
    assert isinstance(next(steps), WakeCommand)


def test_a_wake_that_is_taken_back_in_that_time_starts_nothing(scene: Scene) -> None:
    steps = scene.steps(socket="/run/codex")
    next(steps)
    scene.file.unlink()
    assert outcome(steps).result == "void"


def test_a_turn_that_begins_in_that_time_brings_the_mail(scene: Scene) -> None:
    steps = scene.steps(socket="/run/codex")
    next(steps)
    scene.sign("working")
    assert outcome(steps).result == "busy"
    assert scene.file.exists(), "the broker asks again"


@pytest.mark.parametrize("state", ["working", "waiting"])
def test_a_turn_that_was_broken_off_is_not_woken(scene: Scene, state: str) -> None:
    """Codex would keep the words until after the next prompt."""
    scene.sign(state)
    scene.file.write_text("any\n")
    found = outcome(scene.steps())
    assert (found.result, found.is_lasting) == ("failed", True)
    assert not scene.file.exists()


def test_of_two_that_try_one_finds_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wake, "claim", lambda _self: False)
    assert outcome(scene.steps()).result == "void"


def test_a_screen_that_is_gone_gets_nothing(scene: Scene) -> None:
    found = outcome(scene.steps(pid_start="another/4026531836/1"))
    assert (found.result, found.is_lasting) == ("failed", True)
    assert "has ended" in str(found.reason)
    assert wake_facts.sessions(str(scene.data)) == [], "stale"
    assert not scene.file.exists()


def test_a_process_that_can_not_be_seen_gets_nothing(scene: Scene) -> None:
    found = outcome(scene.steps(pid_start=None))
    assert (found.result, found.is_lasting) == ("failed", True)
    assert "can't see" in str(found.reason)
    assert wake_facts.sessions(str(scene.data)) == ["bob"], "another broker may see it"


@pytest.mark.parametrize(
    "changed",
    [
        {"thread": None},
        {"thread": "the-name-of-a-thread"},
        {"thread": f"{THREAD}x"},
        {"thread": "--resume"},
        {"program": None},
        {"home": None},
    ],
)
def test_what_names_no_thread_gets_nothing(scene: Scene, changed: dict[str, Any]) -> None:
    found = outcome(scene.steps(**changed))
    assert (found.result, found.is_lasting) == ("failed", True)
    assert not scene.file.exists()


def test_a_program_that_is_gone_is_said(scene: Scene) -> None:
    scene.program.unlink()
    found = outcome(scene.steps())
    assert (found.result, found.is_lasting) == ("failed", True)
    assert str(scene.program) in str(found.reason)


def test_an_old_program_is_tried_once_and_a_new_one_at_its_path_again(scene: Scene) -> None:
    steps = scene.steps()
    next(steps)
    found = outcome(steps, CommandEnd(2, "error: unexpected argument '--thread' found"))
    assert (found.result, found.is_lasting) == ("failed", True)
    assert "update Codex" in str(found.reason)
    scene.file.write_text("idle\n")
    assert outcome(scene.steps()) == found, "without another try"
    os.utime(scene.program, (5, 5))
    scene.file.write_text("idle\n")
    assert isinstance(next(scene.steps()), WakeCommand)


def test_what_is_kept_of_old_programs_has_a_bound(scene: Scene) -> None:
    for at in range(200):
        os.utime(scene.program, (at, at))
        scene.file.write_text("idle\n")
        steps = scene.steps()
        next(steps)
        outcome(steps, CommandEnd(2, ""))
    assert len(codex_queue._old) <= 64


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (
            CommandEnd(1, "WARNING: x\nError: no rollout found\n\n"),
            "`codex queue` ended with 1: Error: no rollout found",
        ),
        (
            CommandEnd(1, "WARNING: x\nError: no database\n\nStack backtrace:\n  0: <unknown>\n"),
            "`codex queue` ended with 1: Error: no database",
        ),
        (CommandEnd(1, "killed\n"), "`codex queue` ended with 1: killed"),
        (CommandEnd(1, ""), "`codex queue` ended with 1: it said nothing"),
        (CommandEnd(None, ""), "`codex queue` did not end in time, and was killed"),
        (CommandEnd(None, "Too many open files"), "Too many open files"),
    ],
)
def test_a_failure_says_what_codex_said(scene: Scene, end: CommandEnd, reason: str) -> None:
    steps = scene.steps()
    next(steps)
    assert outcome(steps, end) == ("bob", CODEX, "failed", reason, False)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_broker_in_a_sandbox_says_so(scene: Scene, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A sandbox refuses to write, whatever the folder's mode says."""

    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    steps = scene.steps(database="/srv/db")
    next(steps)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        found = outcome(steps, CommandEnd(1, "Error: unable to open database file"))
    assert "sandbox" in str(found.reason)
    assert "maestro down, then maestro up" in str(found.reason)
    assert not found.is_lasting


def test_a_file_system_without_such_files_is_no_sandbox(scene: Scene) -> None:
    steps = scene.steps(database="/proc")
    next(steps)
    assert "sandbox" not in str(outcome(steps, CommandEnd(1, "Error: x")).reason)
