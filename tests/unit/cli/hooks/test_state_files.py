"""Hook state files: which session a link leads to, and which processes use it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks import state_files
from maestro_cli.hooks.state_files import AgentProcess, SessionLink
from maestro_runtime import hook_state

if TYPE_CHECKING:
    import pathlib


def of(pid: int) -> AgentProcess:
    process = AgentProcess.of(pid)
    assert process is not None
    return process


def test_a_link_is_read_as_it_was_written(tmp_path: pathlib.Path) -> None:
    own, above = of(os.getpid()), of(os.getppid())
    for link in (
        SessionLink("sess_1", "secret", made=True, processes=(own, AgentProcess(7, None))),
        SessionLink("sess_1", "secret", made=True, exported=True, processes=(own,)),
        SessionLink("sess_1"),
    ):
        state_files.write_link(str(tmp_path), "codex", "own", link)
        assert state_files.read_link(str(tmp_path), "codex", "own") == link
        found = state_files.link_of_process(str(tmp_path), "codex", own)
        assert found == (link if link.processes else None)
        assert state_files.link_of_process(str(tmp_path), "codex", above) is None
    assert AgentProcess.of(0) is None
    path = state_files.link_path(str(tmp_path), "codex", "own")
    assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc here")
@pytest.mark.parametrize("line", ["{} boot/1/1\n", "{}\n", "{} \n", "x y\n", "", "1234567890 -\n"])
def test_another_process_with_the_same_pid_has_no_link(tmp_path: pathlib.Path, line: str) -> None:
    """Also a line of an earlier version, which had the pid and the start on two lines."""
    path = state_files.link_path(str(tmp_path), "codex", "own")
    own = of(os.getpid())
    state_files.write_link(str(tmp_path), "codex", "own", SessionLink("sess_1", processes=(own,)))
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    assert len(lines) == 4
    with open(path, "w", encoding="utf-8") as file:
        file.writelines([*lines[:3], line.format(os.getpid())])
    assert state_files.read_link(str(tmp_path), "codex", "own") is not None, "the session's own id still leads to it"
    assert state_files.link_of_process(str(tmp_path), "codex", own) is None
    assert state_files.others_in(str(tmp_path), "sess_1", own) == []


def test_processes_that_have_ended_leave_a_link_and_others_stay(tmp_path: pathlib.Path) -> None:
    own, data = of(os.getpid()), str(tmp_path)
    with subprocess.Popen(["sleep", "60"]) as agent:
        other = of(agent.pid)
        link = SessionLink("sess_1", made=True).used_by(other).used_by(own)
        assert link.processes == (own, other)
        assert link.used_by(own).processes == (own, other)
        assert link.used_by(None).processes == (own, other)
        state_files.write_link(data, "codex", "one", link)
        state_files.write_link(data, "gemini-cli", "two", SessionLink("sess_1", processes=(other,)))
        state_files.write_link(data, "gemini-cli", "three", SessionLink("sess_2", processes=(other,)))
        assert state_files.others_in(data, "sess_1", own) == [other]
        assert state_files.others_in(data, "sess_1", other) == [own]
        assert state_files.others_in(data, "sess_2", other) == []
        assert sorted(state_files.others_in(data, "sess_1", None)) == sorted([own, other])
        agent.kill()
    assert state_files.others_in(data, "sess_1", own) == []
    assert link.used_by(own).processes == (own,)


def test_links_and_states_of_a_month_ago_are_deleted(tmp_path: pathlib.Path) -> None:
    data = str(tmp_path)
    state_files.write_link(data, "codex", "old", SessionLink("old"))
    hook_state.write(hook_state.path(data, "old"), hook_state.HookState("idle", "Stop", "codex"))
    for path in (state_files.link_path(data, "codex", "old"), hook_state.path(data, "old")):
        os.utime(path, (5, 5))
    hook_state.write(hook_state.path(data, "new"), hook_state.HookState("idle", "Stop", "codex"))
    state_files.write_link(data, "codex", "new", SessionLink("new"))
    assert os.listdir(os.path.dirname(state_files.link_path(data, "codex", "new"))) == ["new"]
    assert os.listdir(os.path.dirname(hook_state.path(data, "new"))) == ["new"]
