"""Waking Qwen Code: the line that is added to its input file, and the files that get none."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.waking import input_file
from maestro_broker.waking.steps import Wake, WakeOutcome
from maestro_runtime import hook_state, wake_facts
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import NOTICE, QWEN_CODE
from support import components

if TYPE_CHECKING:
    from pathlib import Path

LINE = json.dumps({"type": "submit", "text": input_file.WORDS}) + "\n"


class Scene:
    """A session with a wake that is due, and an input file."""

    def __init__(self, data: Path) -> None:
        self.data = str(data)
        self.input = data / "input.jsonl"
        self.file = data / "messages" / "by-receiver" / "bob" / ".wake"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("idle\n")
        self.facts = WakeFacts(QWEN_CODE, os.getpid(), pid_start(os.getpid()), file=str(self.input))

    def wake(self, **changed: Any) -> WakeOutcome:
        facts = self.facts._replace(**changed)
        wake_facts.write(self.data, "bob", facts)
        steps = input_file.steps(Wake(self.data, "bob", facts), {})
        next(steps)
        with pytest.raises(StopIteration) as done:
            next(steps)
        found = done.value.value
        assert isinstance(found, WakeOutcome)
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_words_are_fixed_and_a_hook_knows_them() -> None:
    assert NOTICE in input_file.WORDS


@pytest.mark.parametrize(
    ("before", "after"), [(None, LINE), ("", LINE), ("{}\n", "{}\n" + LINE), ("{", "{\n" + LINE)]
)
def test_one_line_is_added_at_the_end(scene: Scene, before: str | None, after: str) -> None:
    if before is not None:
        scene.input.write_text(before)
    assert scene.wake() == ("bob", QWEN_CODE, "woken", None, False)
    assert scene.input.read_text() == after
    assert not scene.file.exists(), "it was claimed"
    assert scene.wake().result == "void"
    assert scene.input.read_text() == after


def test_a_new_file_is_its_users_alone(scene: Scene) -> None:
    scene.wake()
    assert scene.input.stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(scene: Scene) -> None:
    other = scene.input.with_name("other")
    other.touch()
    scene.input.symlink_to(other)
    outcome = scene.wake()
    assert (outcome.result, outcome.is_lasting, other.read_text()) == ("failed", True, "")


def test_a_second_name_of_another_file_gets_nothing(scene: Scene) -> None:
    other = scene.input.with_name("other")
    other.touch()
    os.link(other, scene.input)
    outcome = scene.wake()
    assert (outcome.result, outcome.is_lasting, other.read_text()) == ("failed", True, "")
    assert "hard link" in str(outcome.reason)


@pytest.mark.parametrize("kind", ["fifo", "directory", "foreign", "large", "no folder"])
def test_another_kind_of_file_gets_nothing(scene: Scene, kind: str) -> None:
    changed: dict[str, Any] = {}
    if kind == "fifo":
        os.mkfifo(scene.input)
    elif kind == "directory":
        scene.input.mkdir()
    elif kind == "foreign":
        components.require_root("a file of another user")
        scene.input.touch()
        os.chown(scene.input, 61_001, 61_001)
    elif kind == "large":
        with scene.input.open("wb") as file:
            file.truncate(input_file.FILE_BYTES_MAX + 1)
    else:
        changed = {"file": str(scene.input.with_name("none") / "file")}
    outcome = scene.wake(**changed)
    assert (outcome.result, outcome.is_lasting) == ("failed", True)
    assert not scene.file.exists(), "it would wake nothing"
    if kind == "large":
        assert f"{input_file.FILE_BYTES_MAX:,} are the most" in (outcome.reason or "")
        assert scene.input.stat().st_size == input_file.FILE_BYTES_MAX + 1


def test_a_process_that_has_ended_gets_nothing_and_its_facts_go(scene: Scene) -> None:
    outcome = scene.wake(pid_start="1")
    assert (outcome.result, outcome.is_lasting, outcome.reason) == ("failed", True, "its Qwen Code has ended")
    assert not scene.input.exists()
    assert wake_facts.read(scene.data, "bob") is None


def test_a_process_that_is_not_seen_gets_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_file, "is_alive", lambda _pid, _start: None)
    assert "can't see its process" in (scene.wake().reason or "")


def test_facts_without_a_file_are_refused(scene: Scene) -> None:
    assert scene.wake(file=None).is_lasting


def test_a_turn_that_runs_brings_the_mail_by_itself(scene: Scene) -> None:
    path = hook_state.path(scene.data, "bob")
    hook_state.write(path, HookState("working", "UserPromptSubmit", "qwen-code"))
    assert scene.wake().result == "busy"
    assert scene.file.exists()
    assert not scene.input.exists()


def test_a_full_disk_is_said_and_tried_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _line: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    steps = input_file.steps(Wake(scene.data, "bob", scene.facts), {})
    next(steps)
    with pytest.raises(StopIteration) as done:
        next(steps)
    assert (done.value.value.result, done.value.value.is_lasting) == ("failed", False)
    assert "No space left on device" in done.value.value.reason
