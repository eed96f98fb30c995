"""What a running step says, and that it says nothing after its end."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from maestro_broker.migration import progress
from maestro_broker.migration.progress import Progress
from maestro_runtime.traces import update_file

if TYPE_CHECKING:
    from pathlib import Path


def test_it_says_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_TELL_S", 0.0)
    data = str(tmp_path)
    with Progress(data, 1) as made:
        assert update_file.read(data) == "data format 1 to 2: it begins"
        made.look()
        made.expect("messages", 12_000)
        made.count("messages", 1_999)
        for _ in range(300):
            made.count("links")
        made.look()
        assert update_file.read(data) == "data format 1 to 2: 1,999 of 12,000 messages, 300 links"
    assert os.listdir(data) == []


def test_it_says_nothing_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="injected"), Progress(str(tmp_path), 1):
        raise OSError("injected")
    assert update_file.read(str(tmp_path)) is None


def test_a_service_manager_gives_it_the_time_that_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd ends a service that has not started within 90 s, unless the service asks for more."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        with Progress(str(tmp_path), 1):
            heard = manager.recv(1_000).decode().splitlines()
    assert heard == ["EXTEND_TIMEOUT_USEC=600000000", "STATUS=data format 1 to 2: it begins"]
