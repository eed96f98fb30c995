"""User files: what a killed command left is known by its name, and no other file is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from maestro_runtime import user_files

if TYPE_CHECKING:
    from pathlib import Path


def test_only_new_texts_of_processes_that_ended_are_unfinished(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    path = tmp_path / "a[1].json"
    names = (
        f"a[1].json.{ended.pid}.new",
        f"a[1].json.{os.getpid()}.new",
        "a[1].json.9999999999.new",
        "a[1].json.new",
        "a[1].json.0.new",
        f"b.json.{ended.pid}.new",
        f"a1.json.{ended.pid}.new",
    )
    for name in names:
        (tmp_path / name).write_text("")
    assert user_files.unfinished(str(path)) == sorted(str(tmp_path / name) for name in (names[0], names[2]))
    assert user_files.unfinished(str(tmp_path / "none" / "a")) == []
    os.symlink(path, tmp_path / "link")
    assert len(user_files.unfinished(str(tmp_path / "link"))) == 2
    (tmp_path / names[0]).unlink()
    os.symlink("elsewhere", tmp_path / names[0])
    os.mkdir(tmp_path / f"a[1].json.{ended.pid}1.new")
    assert user_files.unfinished(str(path)) == [str(tmp_path / names[2])]
