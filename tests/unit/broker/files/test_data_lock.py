"""The lock of a data directory."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from maestro_broker.files.data_lock import DataLock
from maestro_schemas.errors import MaestroError

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
    assert (tmp_path / "broker.lock").read_text() == f"{os.getpid()}\n"
    second.release()
    second.announce_stop()
    with pytest.raises(MaestroError) as caught:
        DataLock(str(tmp_path / "nowhere")).acquire(0.0)
    assert caught.value.code == "DATA_DIR_UNUSABLE"
