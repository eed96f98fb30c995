"""End note: the reason of a broker's end, where its data directory's loss does not reach."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from maestro_runtime.traces import end_note

if TYPE_CHECKING:
    from pathlib import Path


def test_a_note_is_kept_and_removed(tmp_path: Path) -> None:
    runtime = str(tmp_path / "run" / "x")
    assert end_note.read(runtime) is None
    path = end_note.write(runtime, "the directory is gone:\n\tsee above \udcff", pid=7, now="2026-01-01 10:00")
    assert path == os.path.join(runtime, "ended")
    assert end_note.read(runtime) == "2026-01-01 10:00 pid 7: the directory is gone: see above \\udcff"
    assert os.stat(path).st_mode & 0o777 == 0o600
    end_note.remove(runtime)
    end_note.remove(runtime)
    assert end_note.read(runtime) is None


def test_without_a_place_the_system_has_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert end_note.write(str(tmp_path / "file" / "x"), "gone", pid=7, now="") is None
    os.chmod(tmp_path, 0o777)
    assert end_note.write(str(tmp_path), "gone", pid=7, now="") is None, "others may write there"


def test_another_users_note_is_not_read(tmp_path: Path) -> None:
    runtime = str(tmp_path / "run")
    assert end_note.write(runtime, "gone", pid=7, now="")
    os.chmod(runtime, 0o777)
    assert end_note.read(runtime) is None
    shutil.rmtree(runtime)
