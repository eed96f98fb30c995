"""Lock file: a holder is believed only while it holds the lock and is the process that it says."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from maestro_runtime.process_identity import pid_start
from maestro_runtime.traces import lock_file
from maestro_runtime.traces.lock_file import LockHolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "holder",
    [
        LockHolder(1, "a/b/3", False),
        LockHolder(4711, None, False),
        LockHolder(9, "a/b/3", True),
        LockHolder(9, None, True),
    ],
)
def test_the_content_is_read_as_it_was_written(holder: LockHolder) -> None:
    assert lock_file.parse(lock_file.encode(holder)) == holder


@pytest.mark.parametrize("content", [b"", b"\n", b"x", b"-1 a", b"\xff\xfe", b"one two three"])
def test_other_content_names_no_holder(content: bytes) -> None:
    assert lock_file.parse(content) is None


def test_an_earlier_broker_wrote_its_pid_alone() -> None:
    assert lock_file.parse(b"4711\n") == LockHolder(4711, None, False)


def test_a_holder_is_found_while_it_holds(tmp_path: Path) -> None:
    data, me = str(tmp_path), os.getpid()
    assert lock_file.holder(data) is None
    fd = os.open(lock_file.path(data), os.O_RDWR | os.O_CREAT)
    os.write(fd, lock_file.encode(LockHolder(me, pid_start(me), False)))
    assert lock_file.holder(data) is None, "the file is there, and no process holds it"
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert lock_file.holder(data) == (me, pid_start(me), False)
    os.close(fd)
    assert lock_file.holder(data) is None


@pytest.mark.parametrize("start", ["another/boot/1", None])
def test_another_process_with_the_pid_is_not_the_holder(tmp_path: Path, start: str | None) -> None:
    data = str(tmp_path)
    fd = os.open(lock_file.path(data), os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(fd, lock_file.encode(LockHolder(os.getpid(), start, False)))
    assert lock_file.holder(data) is None
    os.close(fd)


def test_what_is_no_file_has_no_holder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "broker.lock")
    assert lock_file.holder(str(tmp_path)) is None
    os.unlink(tmp_path / "broker.lock")
    os.mkdir(tmp_path / "broker.lock")
    assert lock_file.holder(str(tmp_path)) is None
