"""Links of hooks: which of an agent's processes a session belongs to."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks import session_links
from maestro_cli.hooks.session_links import SessionLink

if TYPE_CHECKING:
    import pathlib


def test_a_link_as_it_was_written(tmp_path: pathlib.Path) -> None:
    session_links.write(str(tmp_path), "codex", "own", SessionLink("sess_1", "secret", made=True, pid=os.getpid()))
    found = session_links.read(str(tmp_path), "codex", "own")
    assert found is not None
    assert found._replace(began=0) == SessionLink("sess_1", "secret", made=True, pid=os.getpid())
    assert session_links.of_process(str(tmp_path), "codex", os.getpid()) == found
    assert session_links.of_process(str(tmp_path), "codex", os.getppid()) is None


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc here")
@pytest.mark.parametrize("began", ["1\n", "", "x\n"])
def test_another_process_with_the_same_number_has_none(tmp_path: pathlib.Path, began: str) -> None:
    path = session_links.path(str(tmp_path), "codex", "own")
    session_links.write(str(tmp_path), "codex", "own", SessionLink("sess_1", pid=os.getpid()))
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    assert len(lines) == 5
    with open(path, "w", encoding="utf-8") as file:
        file.writelines([*lines[:4], began])
    assert session_links.read(str(tmp_path), "codex", "own") is not None, "the session's own id still leads to it"
    assert session_links.of_process(str(tmp_path), "codex", os.getpid()) is None


def test_a_process_that_is_gone(tmp_path: pathlib.Path) -> None:
    with subprocess.Popen(["true"]) as process:
        session_links.write(str(tmp_path), "codex", "own", SessionLink("sess_1", pid=process.pid))
    found = session_links.of_process(str(tmp_path), "codex", process.pid)
    assert found is None or not os.path.exists("/proc/self/stat")
