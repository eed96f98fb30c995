"""Address file: there while the broker serves, and true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from maestro_broker.files.address_file import AddressFile
from maestro_clients.processes.broker_process import read_endpoints
from maestro_runtime import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

LINES = {"router": "ipc:///r", "notices": "ipc:///n", "pid": 7, "epoch": "e", "version": "1"}


def test_it_is_there_while_the_broker_serves(tmp_path: Path) -> None:
    data = str(tmp_path)
    address = AddressFile(data, None)
    address.withdraw()
    assert not address.restore()
    address.publish(LINES)
    assert read_endpoints(data) == ("ipc:///r", "ipc:///n", 7, "e", "1")
    assert not address.restore()
    address.withdraw()
    assert (read_endpoints(data), address.restore()) == (None, False)


def test_with_socket_activation_the_sockets_stay_the_address(tmp_path: Path) -> None:
    address = AddressFile(str(tmp_path), ("ipc:///r", "ipc:///n"))
    address.publish(LINES)
    address.withdraw()
    found = read_endpoints(str(tmp_path))
    assert found is not None
    assert found[:3] == ("ipc:///r", "ipc:///n", 0)


def test_a_change_in_the_moment_after_the_rename_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is not yet known to be right when it has its name."""
    path, sync = tmp_path / "endpoints", atomic_file.sync_directory

    def spoil(directory: str) -> None:
        sync(directory)
        path.write_bytes(b"router=ipc:///nowhere\n")

    address = AddressFile(str(tmp_path), None)
    with monkeypatch.context() as spoiled:
        spoiled.setattr(atomic_file, "sync_directory", spoil)
        address.publish(LINES)
    assert address.restore()
    assert read_endpoints(str(tmp_path)) == ("ipc:///r", "ipc:///n", 7, "e", "1")
    assert not address.restore()


@pytest.mark.parametrize("change", ["removed", "overwritten", "replaced", "emptied"])
def test_it_is_written_again(tmp_path: Path, change: str) -> None:
    path = tmp_path / "endpoints"
    address = AddressFile(str(tmp_path), None)
    address.publish(LINES)
    before = path.read_bytes()
    if change == "overwritten":
        path.write_bytes(before.replace(b"7", b"8"))
    elif change == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
        if change == "replaced":
            path.write_bytes(before)
    assert address.restore()
    assert (path.read_bytes(), address.restore()) == (before, False)
