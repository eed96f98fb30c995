"""The disk: syncing and measuring a file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from maestro_broker.files import disk

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_system_is_synced_and_measured(tmp_path: Path) -> None:
    disk.sync_file_system(str(tmp_path))
    assert disk.free_bytes(str(tmp_path)) > 0
    with pytest.raises(OSError, match="No such file"):
        disk.sync_file_system(str(tmp_path / "nowhere"))
