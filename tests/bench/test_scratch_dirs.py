"""Scratch directories: what a process leaves, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from support import scratch_dirs

if TYPE_CHECKING:
    from pathlib import Path

_MAKES = """\
import sys, time
sys.path[:0] = sys.argv[2:]
from support import scratch_dirs
scratch_dirs.end_in_order()
path = scratch_dirs.make("mt-", sys.argv[1])
scratch_dirs.spread(path)
open(path + "/file", "w").close()
print(path, flush=True)
sys.stdin.readline()
raise RuntimeError
"""


def _started(base: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-c", _MAKES, str(base), *sys.path]
    streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, text=True, **streams)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _end(process: subprocess.Popen[str], number: int | None) -> int:
    if number is not None:
        process.send_signal(number)
    process.communicate("\n", timeout=20)
    return process.returncode


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_process_that_is_stopped_leaves_nothing(tmp_path: Path, number: int | None) -> None:
    process, path = _started(tmp_path)
    assert os.path.exists(f"{path}/file")
    assert _end(process, number) != 0
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_removed_by_a_later_one(tmp_path: Path) -> None:
    """What a living process has stays, and so does what another program made."""
    living, kept = _started(tmp_path)
    killed, left = _started(tmp_path)
    (tmp_path / "mt-foreign").mkdir()
    _end(killed, signal.SIGKILL)
    assert scratch_dirs.remove_left("mt-", str(tmp_path)) == [], "it may be new, and not locked yet"
    assert scratch_dirs.remove_left("mt-", str(tmp_path), young_s=0.0) == [left]
    assert sorted(os.listdir(tmp_path)) == sorted(["mt-foreign", os.path.basename(kept)])
    _end(living, None)
    assert os.listdir(tmp_path) == ["mt-foreign"]
