"""One wake: who claims it, and when the agent's own turn brings the mail instead."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from maestro_broker.waking.steps import Wake
from maestro_runtime import hook_state
from maestro_runtime.hook_state import HookState
from maestro_runtime.wake_facts import WakeFacts

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_runtime.hook_state import State

FACTS = WakeFacts("tmux:keys", 5, None)


def wake_file(data: Path) -> str:
    folder = data / "messages" / "by-receiver" / "bob"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / ".wake")


def due(data: Path, content: str = "idle\n") -> Wake:
    with open(wake_file(data), "w", encoding="ascii") as file:
        file.write(content)
    return Wake(str(data), "bob", FACTS)


def test_exactly_one_claims_a_wake(tmp_path: Path) -> None:
    first, second = due(tmp_path), Wake(str(tmp_path), "bob", FACTS)
    assert (first.is_void, second.is_void) == (False, False)
    assert [first.claim(), second.claim()] == [True, False]
    assert (first.is_void, second.is_void) == (True, True)


@pytest.mark.parametrize(
    ("state", "content", "is_busy"),
    [
        ("working", "idle\n", True),
        ("waiting", "idle\n", True),
        ("idle", "idle\n", False),
        ("left", "idle\n", False),
        # The broker has found the sign too old.
        ("working", "any\n", False),
        ("waiting", "any", False),
    ],
)
def test_an_agent_at_work_needs_no_wake(tmp_path: Path, state: State, content: str, is_busy: bool) -> None:
    wake = due(tmp_path, content)
    assert not wake.is_busy, "it has given no sign"
    hook_state.write(hook_state.path(str(tmp_path), "bob"), HookState(state, "Stop", "codex"))
    assert wake.is_busy is is_busy
    assert wake.is_at_work is (state in ("working", "waiting"))


def test_what_is_no_file_is_no_wake_and_is_not_waited_for(tmp_path: Path) -> None:
    path = wake_file(tmp_path)
    os.mkfifo(path)
    assert Wake(str(tmp_path), "bob", FACTS).is_void
    os.unlink(path)
    os.mkdir(path)
    assert Wake(str(tmp_path), "bob", FACTS).is_void


def test_a_failure_takes_the_wake_away_and_says_why(tmp_path: Path) -> None:
    wake = due(tmp_path)
    assert wake.busy() == ("bob", "tmux:keys", "busy", None, False)
    assert wake.void() == ("bob", "tmux:keys", "void", None, False)
    assert wake.woken() == ("bob", "tmux:keys", "woken", None, False)
    assert not wake.is_void
    assert wake.failed("no pane", is_lasting=True) == ("bob", "tmux:keys", "failed", "no pane", True)
    assert wake.is_void
