"""The input file of a Qwen Code: what of its command line counts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks.waking import qwen_code
from maestro_runtime import wake_facts
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import QWEN_CODE, TMUX

if TYPE_CHECKING:
    from pathlib import Path

WAIT = "print(flush=True); input()"


def noted(data: str, folder: Path, *words: str) -> WakeFacts | None:
    """What is noted of a process with these words."""
    command = [sys.executable, "-c", WAIT, *words]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        can = qwen_code.note(data, "bob", process.pid)
        found = wake_facts.read(data, "bob")
        assert can == (found is not None and found.by == QWEN_CODE)
        if can:
            assert found is not None
            assert (found.pid, found.pid_start) == (process.pid, pid_start(process.pid))
        process.communicate(b"\n")
    return found


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("--input-file", "in.jsonl"), "in.jsonl"),
        (("--input-file=in.jsonl", "-i", "Hello"), "in.jsonl"),
        (("--inputFile", "in.jsonl"), "in.jsonl"),
        (("--input-file", "one", "--input-file", "two"), "two"),
        (("--input-file", "a folder/ä.jsonl"), "a folder/ä.jsonl"),
        (("--input-file",), ""),
        (("--input-file=",), ""),
        (("--input-files", "x"), ""),
        (("--", "--input-file", "x"), ""),
        (("-p", "hello"), ""),
    ],
)
def test_the_file_that_the_command_line_names(tmp_path: Path, words: tuple[str, ...], file: str) -> None:
    found = noted(str(tmp_path / "data"), tmp_path, *words)
    assert (found.file if found is not None else None) == (os.path.join(tmp_path, file) if file else None)


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    found = noted(str(tmp_path / "data"), tmp_path, "--input-file", "/srv/in.jsonl")
    assert found is not None
    assert found.file == "/srv/in.jsonl"


def test_a_start_without_the_option_forgets_the_file_of_before(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    assert noted(data, tmp_path, "--input-file", "in.jsonl") is not None
    assert noted(data, tmp_path) is None


def test_keys_that_its_user_has_allowed_stay(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    allowed = WakeFacts(TMUX, 1, None, program="/usr/bin/tmux", socket="/tmp/tmux", pane="%1")
    wake_facts.write(data, "bob", allowed)
    assert noted(data, tmp_path) == allowed


def test_no_process_has_no_file(tmp_path: Path) -> None:
    assert not qwen_code.note(str(tmp_path), "bob", 0)
    assert not qwen_code.note(str(tmp_path), "bob", 1 << 22)
