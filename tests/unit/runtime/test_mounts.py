"""The kind of a file system, and what is wrong with some kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_runtime import mounts

if TYPE_CHECKING:
    from pathlib import Path


def test_the_kind_is_found_and_doubtful_kinds_have_a_warning(tmp_path: Path) -> None:
    assert mounts.file_system(str(tmp_path)) != "unknown"
    assert mounts.file_system("/proc") == "proc"
    assert mounts.file_system("/", str(tmp_path / "none")) == "unknown"
    assert mounts.doubt("ext4") is None
    assert "power" in (mounts.doubt("tmpfs") or "")
    assert "server" in (mounts.doubt("nfs4") or "")
