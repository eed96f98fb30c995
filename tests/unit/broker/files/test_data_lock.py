"""The lock of a data directory."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from typing import TYPE_CHECKING

import pytest

from maestro_broker.files.data_lock import DataLock
from maestro_runtime.process_identity import pid_start
from maestro_runtime.traces import lock_file
from maestro_schemas.errors import FatalError, MaestroError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_lock_has_one_holder(tmp_path: Path) -> None:
    """The error of the second names the pid of the first. The second waits only for a broker that is stopping."""
    first, second = DataLock(str(tmp_path)), DataLock(str(tmp_path))
    first.acquire(0.0)
    with pytest.raises(MaestroError) as caught:
        second.acquire(0.05)
    assert caught.value.code == "DATA_DIR_LOCKED"
    assert caught.value.details == {"pid": os.getpid()}
    first.announce_stop()
    with pytest.raises(MaestroError):
        second.acquire(0.05)
    waiting = threading.Thread(target=second.acquire, args=(10.0,))
    waiting.start()
    first.release()
    first.release()
    waiting.join(10.0)
    assert lock_file.holder(str(tmp_path)) == (os.getpid(), pid_start(os.getpid()), False)
    second.release()
    second.announce_stop()
    with pytest.raises(MaestroError) as caught:
        DataLock(str(tmp_path / "nowhere")).acquire(0.0)
    assert caught.value.code == "DATA_DIR_UNUSABLE"


@pytest.mark.parametrize("change", ["removed", "replaced", "moved", "gone"])
def test_a_lock_counts_only_at_its_path(tmp_path: Path, change: str) -> None:
    """Another broker could lock the file that is there now."""
    data = tmp_path / "data"
    data.mkdir()
    lock = DataLock(str(data))
    lock.acquire(0.0)
    lock.check_held()
    if change == "moved":
        data.rename(tmp_path / "elsewhere")
        data.mkdir()
        (data / "broker.lock").write_bytes((tmp_path / "elsewhere" / "broker.lock").read_bytes())
    else:
        (data / "broker.lock").unlink()
        if change == "replaced":
            (data / "broker.lock").touch()
        if change == "gone":
            data.rmdir()
    with pytest.raises(FatalError, match=re.escape(str(data))):
        lock.check_held()
    lock.release()


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, flock, path = DataLock(str(tmp_path)), fcntl.flock, tmp_path / "broker.lock"

    def late(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    lock.acquire(0.0)
    lock.check_held()


def test_a_process_that_looks_is_no_broker(tmp_path: Path) -> None:
    """It takes the lock for a moment."""
    path = tmp_path / "broker.lock"
    path.write_bytes(b"1 other/start/1\n")
    with open(path, "rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        waiting = threading.Thread(target=DataLock(str(tmp_path)).acquire, args=(0.0,))
        waiting.start()
    waiting.join(10.0)
    assert lock_file.holder(str(tmp_path)) is not None
