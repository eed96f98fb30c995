"""Hook state files: which session a link leads to, and which process it belongs to."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks import state_files
from maestro_cli.hooks.state_files import SessionLink

if TYPE_CHECKING:
    import pathlib


def test_a_link_is_read_as_it_was_written(tmp_path: pathlib.Path) -> None:
    state_files.write_link(str(tmp_path), "codex", "own", SessionLink("sess_1", "secret", made=True, pid=os.getpid()))
    found = state_files.read_link(str(tmp_path), "codex", "own")
    assert found is not None
    assert found._replace(started_ticks=0) == SessionLink("sess_1", "secret", made=True, pid=os.getpid())
    assert state_files.link_of_process(str(tmp_path), "codex", os.getpid()) == found
    assert state_files.link_of_process(str(tmp_path), "codex", os.getppid()) is None


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc here")
@pytest.mark.parametrize("started_ticks", ["1\n", "", "x\n"])
def test_another_process_with_the_same_pid_has_no_link(tmp_path: pathlib.Path, started_ticks: str) -> None:
    path = state_files.link_path(str(tmp_path), "codex", "own")
    state_files.write_link(str(tmp_path), "codex", "own", SessionLink("sess_1", pid=os.getpid()))
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    assert len(lines) == 5
    with open(path, "w", encoding="utf-8") as file:
        file.writelines([*lines[:4], started_ticks])
    assert state_files.read_link(str(tmp_path), "codex", "own") is not None, "the session's own id still leads to it"
    assert state_files.link_of_process(str(tmp_path), "codex", os.getpid()) is None


def test_a_process_that_has_ended_has_no_link(tmp_path: pathlib.Path) -> None:
    with subprocess.Popen(["true"]) as process:
        state_files.write_link(str(tmp_path), "codex", "own", SessionLink("sess_1", pid=process.pid))
    found = state_files.link_of_process(str(tmp_path), "codex", process.pid)
    assert found is None or not os.path.exists("/proc/self/stat")
