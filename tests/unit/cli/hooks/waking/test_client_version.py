"""Client version: which version counts as too old for the hook that wakes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks.agents import CLAUDE_CODE, GEMINI_CLI
from maestro_cli.hooks.waking import client_version

if TYPE_CHECKING:
    import pathlib


def says(tmp_path: pathlib.Path, body: str, mode: int = 0o755) -> dict[str, str]:
    program = tmp_path / "claude"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(mode)
    return {"PATH": f"{tmp_path}{os.pathsep}{os.defpath}"}


@pytest.mark.parametrize(
    ("said", "old"),
    [
        ("2.1.330 (Claude Code)", ""),
        ("2.1.83 (Claude Code)", ""),
        ("2.1.82 (Claude Code)", "2.1.82"),
        ("2.0.999", "2.0.999"),
        ("10.0.0", ""),
        ("no version", ""),
        ("", ""),
    ],
)
def test_a_version_before_the_floor_is_too_old(tmp_path: pathlib.Path, said: str, old: str) -> None:
    assert client_version.too_old(CLAUDE_CODE, says(tmp_path, f"echo '{said}'")) == old


def test_a_version_that_is_not_known_counts_as_new_enough(tmp_path: pathlib.Path) -> None:
    assert client_version.too_old(CLAUDE_CODE, {"PATH": str(tmp_path)}) == ""
    assert client_version.too_old(CLAUDE_CODE, {}) == ""
    assert client_version.too_old(CLAUDE_CODE, says(tmp_path, "exit 3")) == ""
    program = tmp_path / "claude"
    program.write_bytes(b"\x7fELF no program")
    assert client_version.too_old(CLAUDE_CODE, {"PATH": str(tmp_path)}) == ""


def test_an_agent_without_such_a_hook_is_not_asked(tmp_path: pathlib.Path) -> None:
    assert client_version.too_old(GEMINI_CLI, says(tmp_path, "echo 0.0.1")) == ""
    assert client_version.floor(GEMINI_CLI) == ""
    assert client_version.floor(CLAUDE_CODE) == "2.1.83"
