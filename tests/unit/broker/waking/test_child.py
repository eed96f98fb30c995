"""One command of the waker: real processes, which end with it, in time, or with the broker."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from maestro_broker.waking import child as child_module
from maestro_broker.waking.child import WakeChild
from maestro_broker.waking.steps import CommandEnd, WakeCommand

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 20.0


def shell(script: str, **environ: str) -> WakeCommand:
    return WakeCommand(("/bin/sh", "-c", script), environ)


def ended(child: WakeChild) -> CommandEnd:
    """Wait as the waker does: for its descriptor, or for the end of its time."""
    while True:
        select.select([child.fd], [], [], child.wait_s)
        found = child.end()
        if found is not None:
            return found


def wait_gone(pid: int) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while os.path.exists(f"/proc/{pid}") and _state(pid) not in "ZX":
        assert time.monotonic() < until_s, f"{pid} still runs"
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def test_it_gets_its_words_its_environment_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_SESSION_TOKEN", "secret")
    script = (
        'env | sort | grep -v -e ^_= -e ^PWD= -e ^SHLVL= -e ^OLDPWD=; readlink /proc/self/fd/0; pwd; echo "$1" >&2'
    )
    command = WakeCommand(("/bin/sh", "-c", script, "sh", "$(id); `id` * 'x"), {"CODEX_HOME": "/h"})
    found = ended(WakeChild(command, "/usr/bin:/bin"))
    assert found.code == 0
    assert found.out.splitlines() == [
        "CODEX_HOME=/h",
        "LC_CTYPE=C.UTF-8",
        "PATH=/usr/bin:/bin",
        "/dev/null",
        "/",
        "$(id); `id` * 'x",
    ]


def test_no_descriptor_of_the_broker_goes_to_it() -> None:
    with open(os.devnull, "rb") as held:
        os.set_inheritable(held.fileno(), True)
        found = ended(WakeChild(shell("ls /proc/self/fd | wc -l"), os.defpath))
    # Three, and the one with which `ls` reads the folder.
    assert found == CommandEnd(0, "4\n")


def test_its_exit_code_and_the_end_of_what_it_prints_are_kept() -> None:
    found = ended(WakeChild(shell("yes line | head -n 200000; echo last; exit 7"), os.defpath))
    assert found.code == 7
    assert found.out.endswith("line\nlast\n")
    assert len(found.out) <= 4_096


def test_a_program_that_is_not_there_is_a_failure_with_its_name() -> None:
    found = ended(WakeChild(WakeCommand(("/no/such/program",), {}), os.defpath))
    assert found == CommandEnd(127, "/no/such/program: No such file or directory\n")


def test_it_ends_in_time_with_all_that_it_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "COMMAND_S_MAX", 0.5)
    began = tmp_path / "began"
    child = WakeChild(shell(f"sleep 600 & echo $! > {began}.new; mv {began}.new {began}; wait"), os.defpath)
    found = ended(child)
    assert found.code is None
    wait_gone(int(began.read_text()))


def test_what_it_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    found = ended(WakeChild(shell(f"trap '' HUP; sleep 600 & echo $! > {tmp_path}/pid"), os.defpath))
    assert found.code == 0
    wait_gone(int((tmp_path / "pid").read_text()))


def test_it_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    ended(WakeChild(shell("true"), os.defpath))
    WakeChild(shell("sleep 600"), os.defpath).kill()
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_a_descriptor_left_no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def refused(pid: int, flags: int = 0) -> int:
        started.append(pid)
        raise OSError(24, "Too many open files")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "pidfd_open", refused)
    with pytest.raises(OSError, match="Too many open files"):
        WakeChild(shell("sleep 600"), os.defpath)
    assert [pid for pid in started if os.path.exists(f"/proc/{pid}")] == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_kill_9_of_the_broker_ends_it(tmp_path: Path) -> None:
    begin = f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 600"
    program = f"""
import os, time
from maestro_broker.waking.child import WakeChild
from maestro_broker.waking.steps import WakeCommand
WakeChild(WakeCommand(("/bin/sh", "-c", "{begin}"), {{}}), os.defpath)
print("started", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as broker:
        assert broker.stdout is not None
        assert broker.stdout.readline() == b"started\n"
        until_s = time.monotonic() + PATIENCE_S
        while not (tmp_path / "pid").exists():
            assert time.monotonic() < until_s
            time.sleep(0.01)
        pid = int((tmp_path / "pid").read_text())
        assert _state(pid) not in "ZX"
        broker.send_signal(signal.SIGKILL)
    wait_gone(pid)


def test_a_program_whose_broker_has_ended_already_does_not_start(tmp_path: Path) -> None:
    tied = os.path.join(os.path.dirname(child_module.__file__), "tied.py")
    done = subprocess.run(
        [sys.executable, "-I", "-S", tied, "1", "/bin/touch", str(tmp_path / "made")], check=False, timeout=60
    )
    assert done.returncode == 127
    assert not (tmp_path / "made").exists()
