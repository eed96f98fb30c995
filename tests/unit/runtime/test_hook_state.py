"""The file with a hook's last sign: torn, foreign and misplaced ones count as none, and no reader waits."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_runtime import hook_state
from maestro_runtime.hook_state import HookState

if TYPE_CHECKING:
    from pathlib import Path

SIGN = HookState("waiting", "PermissionRequest", "codex", 77, "boot/1/2", "permission:Bash")


@pytest.fixture
def file(tmp_path: Path) -> str:
    return hook_state.path(str(tmp_path), "bob")


def put(file: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as opened:
        opened.write(content)


def test_a_sign_is_read_as_it_was_written_and_its_time_is_that_of_the_file(file: str) -> None:
    assert hook_state.read(file) is None
    hook_state.write(file, SIGN)
    os.utime(file, (5, 5))
    assert hook_state.read(file) == SIGN._replace(at_ms=5_000)
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(file)).st_mode & 0o777 == 0o700


def test_a_shorter_sign_over_a_longer_one(file: str) -> None:
    hook_state.write(file, SIGN)
    short = HookState("idle", "Stop", "codex")
    hook_state.write(file, short)
    found = hook_state.read(file)
    assert found is not None
    assert found._replace(at_ms=0) == short
    with open(file, "rb") as opened:
        assert opened.readline() == b"idle\n"


def test_every_beginning_of_a_sign_is_none_and_the_whole_is_one(file: str) -> None:
    """A machine that lost its power leaves any part of the two lines."""
    hook_state.write(file, SIGN)
    with open(file, "rb") as opened:
        whole = opened.read()
    for length in range(len(whole)):
        put(file, whole[:length])
        assert hook_state.read(file) is None, whole[:length]
    assert hook_state.parse(whole, 7) == SIGN._replace(at_ms=7)
    assert hook_state.parse(bytes(len(whole)), 7) is None


@pytest.mark.parametrize(
    "content",
    [
        b"dead\nStop codex 1 - -\n",
        b"idle\nStop codex 1 -\n",
        b"idle\nStop codex 1 - - -\n",
        b"idle\nStop  1 - -\n",
        b"idle\nStop co\x1bdex 1 - -\n",
        b"idle\nStop c\xc3\xb6dex 1 - " + b"x" * 129 + b"\n",
        b"idle\n" + b"x" * 600 + b"\n",
        b"idle Stop codex 1 - -\n",
    ],
)
def test_what_no_hook_writes_is_no_sign(file: str, content: bytes) -> None:
    put(file, content)
    assert hook_state.read(file) is None


@pytest.mark.parametrize("pid", [b"-1", b"x", b"12345678901234567890"])
def test_a_pid_that_can_be_none_is_unknown(file: str, pid: bytes) -> None:
    put(file, b"working\nStop codex " + pid + b" - -\n")
    found = hook_state.read(file)
    assert found is not None
    assert found.pid == 0


def test_what_is_no_file_of_this_user_is_not_read_and_not_waited_for(file: str, tmp_path: Path) -> None:
    os.makedirs(os.path.dirname(file))
    os.mkfifo(file)
    assert hook_state.read(file) is None
    os.unlink(file)
    os.mkdir(file)
    assert hook_state.read(file) is None
    os.rmdir(file)
    elsewhere = str(tmp_path / "elsewhere")
    hook_state.write(elsewhere, SIGN)
    os.symlink(elsewhere, file)
    assert hook_state.read(file) is None
    with pytest.raises(OSError, match="symbolic"):
        hook_state.write(file, SIGN)
    os.symlink("loop", str(tmp_path / "loop"))
    assert hook_state.read(str(tmp_path / "loop")) is None


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root: the file of another user")
def test_the_file_of_another_user_is_no_sign(file: str) -> None:
    hook_state.write(file, SIGN)
    os.chown(file, 12345, 12345)
    assert hook_state.read(file) is None


def test_a_reader_beside_a_writer_sees_a_whole_sign_each_time(file: str) -> None:
    """The writer does not empty the file first."""
    hook_state.write(file, SIGN)
    code = """
import sys
from maestro_runtime import hook_state
from maestro_runtime.hook_state import HookState
one = HookState("waiting", "PermissionRequest", "codex", 77, "boot/1/2", "permission:Bash")
other = HookState("idle", "Stop", "codex")
for _ in range(5_000):
    hook_state.write(sys.argv[1], other)
    hook_state.write(sys.argv[1], one)
"""
    with subprocess.Popen([sys.executable, "-c", code, file]) as writer:
        looked = 0
        while writer.poll() is None:
            found = hook_state.read(file)
            assert found is not None
            assert found._replace(at_ms=0) in (SIGN, HookState("idle", "Stop", "codex"))
            looked += 1
    assert looked > 100
