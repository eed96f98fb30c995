"""Which process a pid names: real processes, also dead ones, zombies and those of another namespace."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from maestro_runtime import process_identity
from maestro_runtime.process_identity import is_alive, pid_start, terminal_leader

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc here")


@pytest.fixture
def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


def test_a_process_is_alive_until_it_ends_and_a_zombie_is_not(child: subprocess.Popen[bytes]) -> None:
    start = pid_start(child.pid)
    assert start is not None
    assert is_alive(child.pid, start) is True
    assert pid_start(child.pid) == start
    child.kill()
    # A zombie keeps its pid until its parent asks for it.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert os.path.exists(f"/proc/{child.pid}")
    assert is_alive(child.pid, start) is False
    assert pid_start(child.pid) is None
    child.wait()
    assert is_alive(child.pid, start) is False


def test_another_process_with_the_same_pid_is_not_the_recorded_one(child: subprocess.Popen[bytes]) -> None:
    try:
        start = pid_start(child.pid)
        assert start is not None
        boot, namespace, ticks = start.split("/")
        assert is_alive(child.pid, f"{boot}/{namespace}/{int(ticks) - 1}") is False
        assert is_alive(child.pid, f"00000000-0000/{namespace}/{ticks}") is False, "of an earlier boot"
        assert is_alive(child.pid, f"{boot}/1{namespace}/{ticks}") is None, "of another container"
        assert is_alive(child.pid, "Mon Nov 30 03:24:14 2026") is False
        assert is_alive(child.pid, None) is None, "it may be another one"
    finally:
        child.kill()
        child.wait()
    assert is_alive(child.pid, None) is False


@pytest.mark.parametrize("name", ["a) Z 1 (b", "sleep 1 2 3", ") ) )"])
def test_a_process_may_have_any_name(tmp_path: object, name: str) -> None:
    path = os.path.join(str(tmp_path), name)
    os.symlink(os.path.realpath(sys.executable), path)
    with subprocess.Popen([path, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert is_alive(child.pid, pid_start(child.pid)) is True
        child.communicate(b"\n")


def test_no_process_and_no_pid() -> None:
    assert pid_start(0) is None
    assert is_alive(0, None) is None
    assert is_alive(-1, "a/b/1") is None


def test_the_leader_of_a_terminal() -> None:
    code = "from maestro_runtime import process_identity as p; print(p.terminal_leader())"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    detached = subprocess.run(
        [sys.executable, "-c", code], start_new_session=True, env=environ, capture_output=True, check=True
    )
    assert detached.stdout == b"None\n"
    pid, terminal = pty.fork()
    if not pid:  # pragma: no cover - the child becomes a shell
        os.execve("/bin/sh", ["sh", "-c", f"'{sys.executable}' -c '{code}'; exit 0"], environ)
    heard = b""
    while not heard.endswith(b"\n"):
        heard += os.read(terminal, 100)
    os.close(terminal)
    os.waitpid(pid, 0)
    assert int(heard) == pid
    assert terminal_leader() is None or pid_start(os.getsid(0)) is not None


def test_without_proc_nothing_is_said_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_identity, "_BOOT_ID", "/nonexistent")
    process_identity._boot_id.cache_clear()
    try:
        assert is_alive(os.getpid(), "boot/1/2") is None
        found = pid_start(os.getpid())
        # Where `ps` is, it says when the process started, and does not know the start of a pid that no process has.
        assert is_alive(os.getpid(), found) is (None if found is None else True)
        assert is_alive(4_194_305, "Mon Nov 30 03:24:14 2026") in (None, False)
    finally:
        monkeypatch.undo()
        process_identity._boot_id.cache_clear()


def test_what_proc_hides_is_not_known(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(tmp_path)
    monkeypatch.setattr(process_identity, "_STAT", os.path.join(folder, "{}"))
    os.mkdir(os.path.join(folder, "7"))
    with open(os.path.join(folder, "8"), "w", encoding="ascii") as file:
        file.write("8 (cut) S 1")
    start = pid_start(os.getpid())
    assert start is None
    for pid in (7, 8):
        assert pid_start(pid) is None
        assert is_alive(pid, None) is None
    monkeypatch.setattr(process_identity, "_NAMESPACE", "/nonexistent")
    process_identity._namespace.cache_clear()
    try:
        assert process_identity._namespace() == "0"
    finally:
        monkeypatch.undo()
        process_identity._namespace.cache_clear()
