"""A broker that holds the lock and answers no request is named, and stopped, by the pid in its lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from maestro_clients.processes import lock_holder
from maestro_runtime import paths
from maestro_runtime.process_identity import is_alive, pid_start
from maestro_runtime.traces import lock_file
from maestro_runtime.traces.lock_file import LockHolder
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli_shell import Shell


@pytest.fixture
def silent(person: Shell) -> Iterator[int]:
    """The pid of a broker that is suspended, so that it can't bind the sockets again that were removed."""
    person.session("alice")
    pid = person.broker_pid()
    os.kill(pid, signal.SIGSTOP)
    shutil.rmtree(paths.runtime_dir(person.data, person.environ))
    yield pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid, pid_start(pid)), "the broker has ended")


def test_status_names_it(person: Shell, silent: int) -> None:
    ran = person.run("status", "--json")
    error = ran.error()
    assert (ran.code, error["code"], error["details"]) == (
        exit_codes.UNREACHABLE,
        "BROKER_UNREACHABLE",
        {"pid": silent},
    )
    assert f"pid {silent}" in error["message"]
    assert "maestro down" in error["hint"]


def test_doctor_names_it(person: Shell, silent: int) -> None:
    ran = person.run("doctor", "--json")
    [found] = [finding for finding in ran.json()["findings"] if finding["name"] == "broker"]
    assert (ran.code, found["state"]) == (exit_codes.FAILED, "failed")
    assert f"pid {silent}" in found["what"]
    assert "maestro down" in found["repair"]


def test_up_names_it_and_the_command_that_helps(person: Shell, silent: int) -> None:
    error = person.run("up", "--json").error()
    assert error["code"] == "DATA_DIR_LOCKED"
    assert f"pid {silent}" in error["message"]
    assert "maestro down" in error["hint"]


def test_down_stops_it_in_order(person: Shell, silent: int) -> None:
    """It gets SIGTERM, and down waits for its end."""
    down = person.start("down")
    eventually(lambda: _is_pending(silent, signal.SIGTERM), "it has the signal")
    os.kill(silent, signal.SIGCONT)
    out, err = down.communicate(timeout=60)
    assert (down.returncode, out.decode()) == (0, f"The broker (pid {silent}) has stopped.\n"), err
    assert b"by its pid" in err
    assert is_alive(silent, pid_start(silent)) is not True
    with open(os.path.join(person.data, "logs", "broker.log"), encoding="utf-8") as file:
        assert "broker stopped" in file.read().splitlines()[-1]
    assert "No broker runs" in person.done("down").out
    assert person.done("up").code == 0


def test_one_that_ignores_the_request_is_killed(person: Shell, silent: int) -> None:
    holder = lock_holder.stop(person.data, patience_s=0.2)
    assert holder is not None
    assert holder.pid == silent
    assert is_alive(silent, holder.start) is False
    assert lock_holder.stop(person.data) is None


@pytest.mark.slow
def test_down_stops_one_whose_socket_listens_and_does_not_answer(person: Shell) -> None:
    person.session("alice")
    pid = person.broker_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        down = person.start("down", "--json")
        eventually(lambda: _is_pending(pid, signal.SIGTERM), "it has the signal", 60.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    out, err = down.communicate(timeout=60)
    assert (down.returncode, out.decode()) == (0, f'{{"stopped": true, "pid": {pid}}}\n'), err


# --- whom it never signals -----------------------------------------------------------------------------------


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    assert process.poll() is None, "another process was ended"
    process.communicate(b"\n")


@pytest.mark.parametrize("start", ["an/other/1", None])
def test_another_process_with_the_pid_is_left_alone(
    person: Shell, bystander: subprocess.Popen[bytes], start: str | None
) -> None:
    """The pid in the lock is another process's by now, and some process holds the lock."""
    os.makedirs(person.data, 0o700)
    with open(lock_file.path(person.data), "wb") as held:
        held.write(lock_file.encode(LockHolder(bystander.pid, start, is_stopping=False)))
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "No broker runs" in person.done("down").out
        assert person.run("status").code == exit_codes.UNREACHABLE


def test_a_process_that_holds_no_lock_is_left_alone(person: Shell, bystander: subprocess.Popen[bytes]) -> None:
    """The file names it rightly, as that of a broker that was killed does after its pid was given again."""
    os.makedirs(person.data, 0o700)
    with open(lock_file.path(person.data), "wb") as file:
        file.write(lock_file.encode(LockHolder(bystander.pid, pid_start(bystander.pid), is_stopping=False)))
    assert "No broker runs" in person.done("down").out


# --- one that had to end -------------------------------------------------------------------------------------


def test_status_and_doctor_say_why_the_last_one_ended(person: Shell) -> None:
    person.session("alice")
    pid = person.broker_pid()
    os.unlink(lock_file.path(person.data))
    start = pid_start(pid)
    eventually(lambda: is_alive(pid, start) is not True, "the broker has ended")
    message = str(person.run("status", "--json").error()["message"])
    assert f"pid {pid}: " in message
    assert "broker.lock" in message
    [found] = [
        finding for finding in person.run("doctor", "--json").json()["findings"] if finding["name"] == "broker"
    ]
    assert (found["state"], "broker.lock" in found["what"]) == ("warning", True)
    person.done("up")
    person.done("down")
    assert "had to end" not in person.run("status").err


def _is_pending(pid: int, number: signal.Signals) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        masks = [int(line.split()[1], 16) for line in file if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)
