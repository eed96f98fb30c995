"""Project folder: beside the conversations of Gemini CLI, and nowhere else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks.files.project_folder import of_transcript

if TYPE_CHECKING:
    from pathlib import Path


def test_the_folder_is_beside_the_conversations(tmp_path: Path) -> None:
    (tmp_path / "chats").mkdir()
    assert of_transcript(str(tmp_path / "chats" / "session-1.jsonl")) == str(tmp_path / "maestro-files")


@pytest.mark.parametrize("transcript", ["", "chats/x", "/nowhere/at/all/chats/x", "/tmp/other/x", "/a\0b/chats/x"])
def test_another_path_gives_none(transcript: str) -> None:
    assert of_transcript(transcript) is None


def test_the_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert of_transcript(str(tmp_path / "chats" / "x")) is None
