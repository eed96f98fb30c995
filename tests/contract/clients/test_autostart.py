"""Finding and starting a broker: it is started once and detached, and a failure has a typed reason."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from maestro_clients.client import Client
from maestro_clients.processes.broker_process import START_LOCK, START_LOG, ensure, find, may_autostart
from maestro_clients.transports.addresses import listens
from maestro_runtime import paths
from maestro_runtime.traces import update_file
from maestro_schemas.errors import MaestroError
from support.format_1 import Format1
from support.post_office import end_process, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_clients.processes.broker_process import Endpoints
    from support.post_office import PostOffice


def start(office: PostOffice, *, timeout_s: float = 20.0) -> Endpoints:
    return ensure(office.data, office.environ, autostart=True, timeout_s=timeout_s)


def failure(office: PostOffice, *, timeout_s: float = 20.0) -> MaestroError:
    with pytest.raises(MaestroError) as raised:
        start(office, timeout_s=timeout_s)
    return raised.value


def in_place_of_the_broker(office: PostOffice, program: str) -> None:
    """Put another program in place of the broker, as a broken installation does."""
    folder = os.path.join(office.root, "shadow")
    os.makedirs(folder)
    with open(os.path.join(folder, "maestro_broker.py"), "w", encoding="utf-8") as file:
        file.write(program)
    office.environ["PYTHONPATH"] = folder


# --- finding ---------------------------------------------------------------------------------------------------


def test_no_broker_is_found_where_none_runs(post_office: PostOffice) -> None:
    """There is no directory, file or socket; and `find` makes none."""
    assert find(post_office.data) is None
    assert not os.path.exists(post_office.data)


def test_a_running_broker_is_found_and_a_killed_one_is_not(post_office: PostOffice) -> None:
    """The files of a killed broker stay, but nothing listens on its socket."""
    endpoints = post_office.start()
    assert find(post_office.data) == endpoints
    with Client(endpoints.router) as client:
        hello = client.hello()
    assert (hello["pid"], hello["epoch"], hello["version"]) == (endpoints.pid, endpoints.epoch, endpoints.version)
    post_office.kill()
    assert os.path.exists(paths.endpoints_file(post_office.data))
    assert find(post_office.data) is None


@pytest.mark.parametrize(
    "text",
    ["", "router=", "nonsense", "router=ipc:///x\npid=1", "router=ipc:///x\nnotices=ipc:///y\npid=one", "\0\xff=\0"],
)
def test_an_invalid_endpoints_file(post_office: PostOffice, text: str) -> None:
    """It counts as no file."""
    os.makedirs(post_office.data)
    with open(paths.endpoints_file(post_office.data), "w", encoding="latin-1") as file:
        file.write(text)
    assert find(post_office.data) is None


def test_addresses_at_which_nothing_listens(tmp_path: Path) -> None:
    """`listens` answers at once, without an exception."""
    (tmp_path / "file").write_text("")
    for path in ("", "/nonexistent", str(tmp_path), str(tmp_path / "file"), "x" * 300, "a\0b"):
        assert not listens(f"ipc://{path}")
    assert listens("tcp://127.0.0.1:1")


def test_a_busy_listener_counts_as_there(tmp_path: Path) -> None:
    """Its backlog is full because it is slow, not because it has ended."""
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        path = os.path.relpath(tmp_path / "s")
        listener.bind(path)
        listener.listen(0)
        waiting = []
        for _ in range(8):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            waiting.append(client)
            if client.connect_ex(path) == errno.EAGAIN:
                break
        else:
            pytest.skip("this kernel's backlog does not fill")
        assert listens(f"ipc://{path}")
        for client in waiting:
            client.close()


# --- starting --------------------------------------------------------------------------------------------------


def test_a_missing_broker_is_started_detached(
    post_office: PostOffice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has a session of its own, no parent here, no agent's identity, and not the caller's directory."""
    monkeypatch.chdir(tmp_path)
    post_office.environ |= {"MAESTRO_SESSION_ID": "ann", "MAESTRO_SESSION_TOKEN": "secret"}
    endpoints = start(post_office)
    pid = endpoints.pid
    assert os.getsid(pid) != os.getsid(0)
    with open(f"/proc/{pid}/environ", "rb") as file:
        environ = file.read()
    assert b"MAESTRO_DATA_DIR=" in environ
    assert b"MAESTRO_SESSION" not in environ
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        parent = int(file.read().rsplit(")", 1)[1].split()[1])
    assert parent != os.getpid()
    for number in (0, 1, 2):
        assert os.readlink(f"/proc/{pid}/fd/{number}") in ("/dev/null", os.path.join(post_office.data, START_LOG))
    end_process(pid, signal.SIGKILL)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_running_broker_is_left_alone(post_office: PostOffice) -> None:
    """`ensure` returns the running broker, also where starting is not allowed."""
    first = start(post_office)
    assert start(post_office) == first
    assert ensure(post_office.data, post_office.environ, autostart=False) == first


def test_settings_go_with_the_start(post_office: PostOffice) -> None:
    """They are passed as `maestro up --set` passes them."""
    endpoints = ensure(post_office.data, post_office.environ, autostart=True, settings={"rate_limit": "77"})
    with Client(endpoints.router) as client:
        assert client.hello()["limits"]["rate_limit"] == 77


def test_relative_paths_mean_the_same_to_the_broker(post_office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker has another working directory, but resolves them alike."""
    os.makedirs(os.path.join(post_office.root, "here", "modules"))
    monkeypatch.chdir(os.path.join(post_office.root, "here"))
    post_office.environ |= {"MAESTRO_RUNTIME_DIR": "../run", "MAESTRO_CONFIG": "no.toml", "PYTHONPATH": "modules"}
    endpoints = ensure("../data", post_office.environ, autostart=True)
    assert find(post_office.data) == endpoints
    assert os.path.realpath(endpoints.router.removeprefix("ipc://")).startswith(post_office.runtime)


RACER = """
import os, sys
from maestro_clients.processes.broker_process import ensure
print(ensure(os.environ["MAESTRO_DATA_DIR"], os.environ, autostart=True, timeout_s=60.0).pid)
"""


def test_however_many_race_one_broker_starts(post_office: PostOffice) -> None:
    """Many processes find no broker at the same time."""
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER], env=post_office.environ, stdout=subprocess.PIPE, text=True)
        for _ in range(12)
    ]
    pids = {racer.communicate(timeout=90)[0].strip() for racer in racers}
    assert pids == {str(post_office.pid)}
    with open(os.path.join(post_office.data, "logs", "broker.log"), encoding="utf-8") as file:
        assert sum(" serves " in line for line in file) == 1


def test_after_a_kill_the_next_one_is_started(post_office: PostOffice) -> None:
    """The next broker starts on the files of the killed one."""
    first = start(post_office)
    post_office.kill()
    second = start(post_office)
    assert second.pid != first.pid
    assert second.epoch != first.epoch
    assert second.router == first.router


# --- waiting for another starter -------------------------------------------------------------------------------


def hold_start_lock(office: PostOffice) -> int:
    os.makedirs(office.data, exist_ok=True)
    fd = os.open(os.path.join(office.data, START_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_starter_without_the_lock_waits_for_its_holder(post_office: PostOffice, *, succeeds: bool) -> None:
    """It waits until the broker serves, or until the lock is released without one."""
    fd = hold_start_lock(post_office)
    found: list[Endpoints] = []
    waiter = threading.Thread(target=lambda: found.append(start(post_office)))
    waiter.start()
    waiter.join(0.2)
    assert waiter.is_alive()
    if succeeds:
        endpoints = post_office.start()
        waiter.join(20.0)
        os.close(fd)
        assert found == [endpoints]
    else:
        os.close(fd)
        waiter.join(20.0)
        assert found == [find(post_office.data)]


def test_the_wait_for_a_hanging_starter_ends(post_office: PostOffice) -> None:
    """The typed error says that another process holds the lock."""
    fd = hold_start_lock(post_office)
    began_s = time.monotonic()
    error = failure(post_office, timeout_s=0.3)
    assert time.monotonic() - began_s < 2.0
    os.close(fd)
    assert error.code == "TIMEOUT"
    assert "another process" in error.message


def test_a_data_directory_that_is_locked_and_not_served(post_office: PostOffice) -> None:
    """The lock's holder may be about to serve, so the client waits for a while."""
    os.makedirs(post_office.data)
    fd = os.open(os.path.join(post_office.data, "broker.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(fd, b"4711\n")
    error = failure(post_office, timeout_s=2.0)
    assert error.code == "DATA_DIR_LOCKED"
    assert "4711" in error.message
    os.unlink(os.path.join(post_office.data, START_LOG))
    found: list[Endpoints] = []
    waiter = threading.Thread(target=lambda: found.append(start(post_office)))
    waiter.start()
    # The started broker saw the lock and ended. Its starter still waits.
    eventually(lambda: _start_log_has(post_office, "4711"), "the started broker ended")
    os.close(fd)
    endpoints = post_office.start()
    waiter.join(20.0)
    assert found == [endpoints]


def _start_log_has(office: PostOffice, text: str) -> bool:
    try:
        with open(os.path.join(office.data, START_LOG), encoding="utf-8") as file:
            return text in file.read()
    except FileNotFoundError:
        return False


# --- failures of a start ---------------------------------------------------------------------------------------


def test_without_autostart_no_broker_is_started(post_office: PostOffice) -> None:
    """The error names the next step, and nothing is created."""
    with pytest.raises(MaestroError) as raised:
        ensure(post_office.data, post_office.environ, autostart=False)
    assert raised.value.code == "BROKER_UNREACHABLE"
    assert "maestro up" in raised.value.hint
    assert not os.path.exists(post_office.data)


@pytest.mark.parametrize(("value", "may"), [("", True), ("1", True), ("0", False), (" No ", False), ("off", False)])
def test_the_variable_that_turns_it_off(value: str, *, may: bool) -> None:
    """Without MAESTRO_AUTOSTART a start is allowed."""
    assert may_autostart({"MAESTRO_AUTOSTART": value}) is may
    assert may_autostart({})


def test_a_data_directory_that_cannot_be_made(post_office: PostOffice) -> None:
    """The error names the path, the reason and the next step."""
    os.makedirs(post_office.root, exist_ok=True)
    with open(post_office.data, "w", encoding="utf-8") as file:
        file.write("in the way")
    error = failure(post_office)
    assert error.code == "DATA_DIR_UNUSABLE"
    assert post_office.data in error.message
    assert "MAESTRO_DATA_DIR" in error.hint


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [("MAESTRO_RUNTIME_DIR", "/tmp/" + "x" * 100, "PATH_TOO_LONG"), ("MAESTRO_RETENTION", "soon", "BAD_SETTING")],
)
def test_the_brokers_error_arrives_typed(post_office: PostOffice, variable: str, value: str, code: str) -> None:
    """It is read from the pipe, not from the broker's log."""
    post_office.environ[variable] = value
    error = failure(post_office)
    assert error.code == code
    assert error.hint


def test_another_data_format_arrives_typed(post_office: PostOffice) -> None:
    """The data directory is not changed."""
    os.makedirs(post_office.data)
    path = os.path.join(post_office.data, "format")
    with open(path, "w", encoding="utf-8") as file:
        file.write("maestro-data 99\n")
    assert failure(post_office).code == "FORMAT_UNSUPPORTED"
    with open(path, encoding="utf-8") as file:
        assert file.read() == "maestro-data 99\n"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("raise SystemExit('no such thing as luck')", "no such thing as luck"),
        ("", "ended before it served"),
        ("import os, sys; os.write(int(sys.argv[-1]), b'error {not json')", "not json"),
        ("import os, sys; os.write(int(sys.argv[-1]), b'what?\\n')", "ended before it served"),
    ],
    ids=["dies", "ends", "garbled", "other words"],
)
def test_a_broker_that_ends_before_it_serves(post_office: PostOffice, program: str, expected: str) -> None:
    """The start fails with AUTOSTART_FAILED and the last line that the process printed."""
    in_place_of_the_broker(post_office, program)
    error = failure(post_office)
    assert error.code == "AUTOSTART_FAILED"
    assert expected in error.message
    assert START_LOG in error.hint


def test_a_broker_that_says_nothing(post_office: PostOffice) -> None:
    """The client leaves the broker running, and the error says that it was started."""
    pid_file = os.path.join(post_office.root, "pid")
    in_place_of_the_broker(
        post_office,
        f"import os, signal\nopen({pid_file + '.new'!r}, 'w').write(str(os.getpid()))\n"
        f"os.rename({pid_file + '.new'!r}, {pid_file!r})\nsignal.pause()\n",
    )
    error = failure(post_office, timeout_s=1.0)
    assert error.code == "TIMEOUT"
    assert error.retryable
    eventually(lambda: os.path.exists(pid_file), "it runs")
    with open(pid_file, encoding="utf-8") as file:
        end_process(int(file.read()), signal.SIGKILL)


def test_a_broker_that_says_ready_and_is_not(post_office: PostOffice) -> None:
    """The typed error comes when the time is over."""
    in_place_of_the_broker(post_office, "import os, sys; os.write(int(sys.argv[-1]), b'ready\\n')")
    error = failure(post_office, timeout_s=2.0)
    assert error.code == "TIMEOUT"
    assert "socket" in error.message


def test_a_process_that_cannot_be_started(post_office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter is missing, or the system has no process left."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    error = failure(post_office)
    assert error.code == "AUTOSTART_FAILED"
    assert "nonexistent" in error.message

    def no_process(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "run", no_process)
    assert failure(post_office).code == "AUTOSTART_FAILED"


def test_a_start_log_that_cannot_be_written(post_office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk does not prevent the start; a directory in the log's place does."""
    os.makedirs(os.path.join(post_office.data, START_LOG))
    error = failure(post_office)
    assert error.code == "AUTOSTART_FAILED"
    os.rmdir(os.path.join(post_office.data, START_LOG))
    real = os.open

    def full(path: str, flags: int, mode: int = 0o777) -> int:
        if path.endswith(START_LOG):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    assert start(post_office).pid == post_office.pid


# --- an update of the data --------------------------------------------------------------------------------------


def test_up_waits_for_a_long_update_and_says_how_far_it_is(post_office: PostOffice) -> None:
    """Every other start gives up in time and names the update. The broker goes on, whatever its starter does."""
    Format1(post_office.data).fill(3_000, 20)
    command = [sys.executable, "-m", "maestro_cli", "up", "--no-http"]
    up = subprocess.Popen(command, env=post_office.environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        eventually(lambda: update_file.read(post_office.data) is not None, "the update begins", 30.0)
        with open(os.path.join(post_office.data, "broker.lock"), encoding="ascii") as file:
            broker = int(file.read().split()[0])
        os.kill(broker, signal.SIGSTOP)
        try:
            assert up.stderr is not None
            assert "data format 1 to 2" in up.stderr.readline()
            late = failure(post_office, timeout_s=0.1)
            assert (late.code, late.retryable) == ("TIMEOUT", True)
            assert "data format 1 to 2" in late.message
            assert "`maestro up` waits" in late.hint
            command = [sys.executable, "-m", "maestro_cli", "status"]
            status = subprocess.run(command, env=post_office.environ, capture_output=True, text=True, check=False)
            assert (status.returncode, "data format 1 to 2" in status.stderr) == (6, True), status.stderr
        finally:
            os.kill(broker, signal.SIGCONT)
        out, errors = up.communicate(timeout=60.0)
        assert up.returncode == 0, errors
        assert f"Started the broker: pid {broker}" in out
        assert not os.path.exists(os.path.join(post_office.data, "update-progress"))
    finally:
        if up.poll() is None:
            up.kill()
            up.communicate()
        post_office.stop()
