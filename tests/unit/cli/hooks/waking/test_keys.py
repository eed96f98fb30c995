"""Where an agent's terminal is: what its process says of it, and what a later start renews."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks.waking import keys
from maestro_runtime import wake_facts
from maestro_runtime.process_identity import pid_start
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.waking import QWEN_CODE, TMUX, ZELLIJ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TMUX_VARIABLES = {"TMUX": "/tmp/tm,ux/default,4711,0", "TMUX_PANE": "%7"}
ZELLIJ_VARIABLES = {"ZELLIJ_SESSION_NAME": "work", "ZELLIJ_PANE_ID": "3"}


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("tmux", "zellij"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def process(variables: dict[str, str]) -> Iterator[int]:
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started.pid
        started.communicate(b"\n")


def test_tmux_names_its_socket_and_its_pane(programs: Path) -> None:
    for pid in process(TMUX_VARIABLES):
        found = keys.facts(TMUX, pid)
        assert (found.by, found.pid, found.pid_start) == (TMUX, pid, pid_start(pid))
        assert (found.program, found.socket, found.pane) == (str(programs / "tmux"), "/tmp/tm,ux/default", "%7")


def test_zellij_names_its_session_and_its_pane(programs: Path) -> None:
    for pid in process(ZELLIJ_VARIABLES):
        found = keys.facts(ZELLIJ, pid)
        assert (found.program, found.socket, found.pane) == (str(programs / "zellij"), "work", "3")


@pytest.mark.parametrize("by", [TMUX, ZELLIJ])
@pytest.mark.parametrize("left", [{}, {"TMUX": "/tmp/t,1,0"}, {"TMUX_PANE": "%1"}, {"ZELLIJ_PANE_ID": "1"}])
def test_an_agent_elsewhere_is_refused(by: str, left: dict[str, str]) -> None:
    for pid in process(left):
        with pytest.raises(MaestroError, match=f"process {pid}, runs in no pane"):
            keys.facts(by, pid)


def test_a_process_that_can_t_be_read_is_refused() -> None:
    with pytest.raises(MaestroError, match="runs in no pane"):
        keys.facts(TMUX, 1 << 22)


def test_a_machine_without_the_program_is_refused(programs: Path) -> None:
    (programs / "tmux").unlink()
    with pytest.raises(MaestroError, match="no folder of PATH has tmux"):
        keys.facts(TMUX, os.getpid())


def test_a_later_start_renews_what_was_allowed_and_nothing_else(tmp_path: Path) -> None:
    data = str(tmp_path)
    for pid in process(TMUX_VARIABLES):
        assert keys.renew(data, "bob", pid) is None
        first = keys.facts(TMUX, pid)
        wake_facts.write(data, "bob", first._replace(pid=1, pane="%1"))
        assert keys.renew(data, "bob", pid) == TMUX
        assert wake_facts.read(data, "bob") == first
        wake_facts.write(data, "bob", wake_facts.WakeFacts(QWEN_CODE, pid, None, file="/in"))
        assert keys.renew(data, "bob", pid) is None


def test_a_later_start_elsewhere_is_not_woken_and_the_choice_stays(tmp_path: Path) -> None:
    data = str(tmp_path)
    for pid in process(TMUX_VARIABLES):
        wake_facts.write(data, "bob", keys.facts(TMUX, pid))
    for pid in process({}):
        assert keys.renew(data, "bob", pid) == ""
    for pid in process(TMUX_VARIABLES):
        assert keys.renew(data, "bob", pid) == TMUX
