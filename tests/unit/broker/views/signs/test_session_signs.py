"""Signs from real files and processes, and what they cost."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from maestro_broker.core.model.session_registry import SessionState
from maestro_broker.core.model.signs import NO_SIGNS, HookSign, Signs
from maestro_broker.views.signs import session_signs
from maestro_broker.views.signs.session_signs import SessionSigns
from maestro_runtime import hook_state
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_schemas.sessions import Session, StoredSession

if TYPE_CHECKING:
    from pathlib import Path


def state(*, key: str | None = None, agent: str | None = "codex", pid: int | None = None) -> SessionState:
    start = pid_start(pid) if pid else None
    session = Session(
        id="bob", role="worker", project_id="p", status="idle", started_at=1, last_activity=1, agent=agent, pid=pid
    )
    from msgspec.structs import replace

    return SessionState(StoredSession(session=replace(session, pid_start=start), key=key))


def test_an_agent_that_is_killed_is_seen_at_the_next_question(tmp_path: Path) -> None:
    signs = SessionSigns(str(tmp_path))
    with subprocess.Popen(["sleep", "60"]) as agent:
        bob = state(pid=agent.pid)
        assert signs(bob, 1) == Signs(True)
        sign = HookState("working", "PostToolUse", "codex", agent.pid, pid_start(agent.pid))
        file = hook_state.path(str(tmp_path), "bob")
        hook_state.write(file, sign)
        os.utime(file, (7, 7))
        assert signs(bob, 1) == Signs(True), "one turn of the loop asks once"
        assert signs(bob, 2) == Signs(True, HookSign("working", 7_000, True, event="PostToolUse"))
        agent.kill()
    assert signs(bob, 3) == Signs(False, HookSign("working", 7_000, False, event="PostToolUse"))


def test_the_agent_may_be_another_process_than_the_sessions(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as agent:
        sign = HookState("waiting", "Notification", "gemini-cli", agent.pid, pid_start(agent.pid), "ToolPermission")
        hook_state.write(hook_state.path(str(tmp_path), "bob"), sign)
        agent.kill()
    found = SessionSigns(str(tmp_path))(state(pid=os.getpid()), 1)
    assert found.alive is True
    assert found.hook is not None
    assert (found.hook.alive, found.hook.detail) == (False, "ToolPermission")


@pytest.mark.parametrize("bob", [state(agent=None), state(key="laptop", pid=1)])
def test_nothing_is_read_without_agent_and_process_nor_of_another_machine(
    tmp_path: Path, bob: SessionState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("something was read")

    monkeypatch.setattr(hook_state, "read", read)
    monkeypatch.setattr(session_signs, "is_alive", read)
    assert SessionSigns(str(tmp_path))(bob, 1) is NO_SIGNS


@pytest.mark.parametrize(
    ("ahead_ms", "at_ms"), [(0, 7_000), (900, 7_000), (3_600_000, 3_607_000), (-3_600_000, 7_000)]
)
def test_a_sign_is_not_old_because_the_clock_was_set_back(tmp_path: Path, ahead_ms: int, at_ms: int) -> None:
    ahead = [ahead_ms]
    signs = SessionSigns(str(tmp_path), lambda: ahead[0])
    file = hook_state.path(str(tmp_path), "bob")
    hook_state.write(file, HookState("working", "PostToolUse", "codex", os.getpid(), pid_start(os.getpid())))
    os.utime(file, (7, 7))
    bob = state(pid=os.getpid())
    assert [signs.read(bob).signs.hook] == [HookSign("working", at_ms, True, event="PostToolUse")]
    # The clocks drift, and the same sign keeps its time.
    ahead[0] += 20
    assert [signs.read(bob).signs.hook] == [HookSign("working", at_ms, True, event="PostToolUse")]
