"""Found agents: by their command or by their settings folder, wherever the agent's own variable puts that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks.agents import AGENTS
from maestro_cli.setup import found_agents
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_cli.hooks.agents import Agent


def names(environ: dict[str, str]) -> list[str]:
    return [one.agent.name for one in found_agents.look({"PATH": "", **environ})]


def test_an_empty_machine_has_none(tmp_path: Path) -> None:
    assert names({"HOME": str(tmp_path)}) == []


@pytest.mark.parametrize(("folder", "agent"), [
    (".claude", "claude-code"),
    (".codex", "codex"),
    (".gemini", "gemini-cli"),
    (".qwen", "qwen-code"),
    (".config/opencode", "opencode"),
])  # fmt: skip
def test_a_settings_folder_is_a_sign(tmp_path: Path, folder: str, agent: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    assert names({"HOME": str(tmp_path)}) == [agent]


@pytest.mark.parametrize(("variable", "below", "agent"), [
    ("CLAUDE_CONFIG_DIR", "", "claude-code"),
    ("CODEX_HOME", "", "codex"),
    ("GEMINI_CLI_HOME", ".gemini", "gemini-cli"),
    ("QWEN_HOME", "", "qwen-code"),
    ("OPENCODE_CONFIG_DIR", "", "opencode"),
    ("XDG_CONFIG_HOME", "opencode", "opencode"),
])  # fmt: skip
def test_the_agent_s_variable_is_honoured(tmp_path: Path, variable: str, below: str, agent: str) -> None:
    (tmp_path / "home").mkdir()
    environ = {"HOME": str(tmp_path / "home"), variable: str(tmp_path / "other")}
    assert names(environ) == []
    (tmp_path / "other" / below).mkdir(parents=True)
    assert names(environ) == [agent]


@pytest.mark.parametrize("agent", AGENTS.values(), ids=lambda agent: agent.name)
def test_a_command_is_a_sign(tmp_path: Path, agent: Agent) -> None:
    program = tmp_path / agent.program
    program.write_text("#!/bin/sh\n")
    environ = {"HOME": str(tmp_path), "PATH": f"/nonexistent{os.pathsep}{tmp_path}"}
    assert names(environ) == [], "it can't be executed"
    program.chmod(0o755)
    [found] = found_agents.look(environ)
    assert (found.agent.name, found.sign) == (agent.name, str(program))


def test_named_agents_need_no_sign(tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    environ = {"HOME": str(tmp_path), "PATH": ""}
    found = found_agents.look(environ, ["gemini-cli", "codex", "codex"])
    assert [(one.agent.name, one.sign) for one in found] == [("gemini-cli", ""), ("codex", str(tmp_path / ".codex"))]
    with pytest.raises(MaestroError, match="no hooks are known for 'vim'"):
        found_agents.look(environ, ["vim"])
