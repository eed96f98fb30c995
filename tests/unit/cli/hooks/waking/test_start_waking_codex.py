"""What a start of Codex says about waking it: only a process with a screen can be woken."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli.context import CommandContext
from maestro_cli.hooks import agents
from maestro_cli.hooks.payload import HookInput
from maestro_cli.hooks.waking import codex, start_waking
from maestro_runtime import wake_facts
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import CODEX

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_cli.hooks.waking.start_waking import StartWaking

THREAD = HookInput(session="01a22be6-fce2-78d2-8e80-9473d6f1ee81")


def at_start(data: Path, *, installed: bool | None = True) -> StartWaking:
    environ = {"MAESTRO_CONFIG": str(data / "config.toml"), "HOME": str(data), "PATH": os.defpath}
    context = CommandContext(environ, str(data), "bob", None)
    return start_waking.at_start(context, agents.CODEX, "bob", THREAD, os.getpid(), installed=installed)


def with_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is taken for a Codex on a screen."""
    own = codex._Process(os.getpid(), ("codex",), sys.executable, has_terminal=True)
    monkeypatch.setattr(codex, "_process", lambda _pid: own)


def test_a_codex_with_a_screen_is_woken_by_its_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_screen(monkeypatch)
    assert at_start(tmp_path) == ({"wakeBy": CODEX}, "", "")
    assert wake_facts.sessions(str(tmp_path)) == ["bob"]


def test_codex_exec_is_not(tmp_path: Path) -> None:
    assert at_start(tmp_path).fields == {"wakeBy": ""}
    assert wake_facts.sessions(str(tmp_path)) == []


def test_codex_exec_below_a_codex_with_a_screen_lets_that_one_be_woken(tmp_path: Path) -> None:
    facts = WakeFacts(CODEX, os.getppid(), pid_start(os.getppid()), thread=THREAD.session)
    wake_facts.write(str(tmp_path), "bob", facts)
    assert at_start(tmp_path).fields == {}
    wake_facts.write(str(tmp_path), "bob", facts._replace(pid_start="another/4026531836/1"))
    assert at_start(tmp_path).fields == {"wakeBy": ""}


@pytest.mark.parametrize("installed", [False, None])
def test_hooks_that_were_installed_without_it_note_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool | None
) -> None:
    with_screen(monkeypatch)
    assert at_start(tmp_path, installed=installed).fields == {"wakeBy": ""}
    assert wake_facts.sessions(str(tmp_path)) == []
