"""Doctor's checks of waking find each fault: in the script, in the client, and in what turns wakes off."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli.context import CommandContext
from maestro_cli.doctor import wake_checks
from maestro_cli.hooks import agents, shell_script

if TYPE_CHECKING:
    from pathlib import Path

NOTICE = shell_script.WAKE_NOTICE


def context(**environ: str) -> CommandContext:
    return CommandContext({"MAESTRO_CONFIG": "/nowhere/config.toml", **environ}, "/nowhere", None, None)


def found(
    lines: dict[str, str], where: CommandContext, program: str = "claude", *, is_current: bool = True
) -> list[tuple[str, str, str]]:
    """State, text and repair of each finding."""
    install = "maestro hooks install claude-code"
    findings = wake_checks.of_hooks(agents.CLAUDE_CODE, lines, program, where, install, is_current=is_current)
    return [(finding.state, finding.what, finding.repair) for finding in findings]


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The command lines of an installation."""
    data = str(tmp_path / "data")
    os.mkdir(data, 0o700)
    script = shell_script.write(data, sys.executable)
    return {
        "SessionStart": shell_script.command(script, "claude-code", "SessionStart", shell_script.WAKE),
        "FileChanged": shell_script.command(script, "claude-code", "FileChanged"),
    }


@pytest.fixture
def where() -> CommandContext:
    return context(PATH=os.environ["PATH"])


def test_an_installation_that_wakes(installed: dict[str, str], where: CommandContext) -> None:
    [(state, what, _)] = found(installed, where)
    assert (state, "by claude-code:FileChanged" in what, "costs a turn" in what) == ("ok", True, True)
    assert wake_checks.must_watch(agents.CLAUDE_CODE, installed["SessionStart"])


def test_one_of_an_earlier_version_has_its_command(installed: dict[str, str], where: CommandContext) -> None:
    old = shell_script.command("/x/hooks/maestro-hook", "claude-code", "SessionStart")
    [(state, what, repair)] = found({"SessionStart": old}, where)
    assert (state, "an earlier version" in what) == ("warning", True)
    assert repair.startswith("maestro hooks install claude-code brings it up to date")
    assert not wake_checks.must_watch(agents.CLAUDE_CODE, old)


def test_entries_of_another_version_promise_nothing(installed: dict[str, str], where: CommandContext) -> None:
    [(state, what, repair)] = found(installed, where, is_current=False)
    assert (state, "not known whether" in what, repair) == ("warning", True, "maestro hooks install claude-code")


def test_one_without_wakes_is_a_choice(installed: dict[str, str], where: CommandContext) -> None:
    without = shell_script.command("/x/hooks/maestro-hook", "claude-code", "SessionStart", shell_script.NO_WAKE)
    assert found({"SessionStart": without}, where) == [
        ("ok", "mail does not wake it from idle: installed with --no-wake", "")
    ]
    assert list(wake_checks.of_hooks(agents.GEMINI_CLI, {}, "gemini", where, "", is_current=True)) == [], (
        "nothing wakes it"
    )


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [("MAESTRO_WAKE", "off", "MAESTRO_WAKE or the config file"), ("MAESTRO_BROKER", "tcp://h:1", "another machine")],
)
def test_what_turns_wakes_off_in_this_shell(installed: dict[str, str], variable: str, value: str, why: str) -> None:
    [(state, what, _)] = found(installed, context(**{variable: value}))
    assert (state, why in what) == ("ok", True)


def test_a_system_without_wakes(
    installed: dict[str, str], where: CommandContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert found(installed, where) == [("ok", "mail does not wake it from idle: agents are woken on Linux only", "")]
    assert not wake_checks.must_watch(agents.CLAUDE_CODE, installed["SessionStart"])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("exit 0", "with an idle agent, it ends with exit code 0"),
        (f"echo '{NOTICE}' >&2; exit 2", "with an idle agent, it does not claim the wake by removing its file"),
        (
            f'rm -f "$MAESTRO_DATA_DIR"/messages/by-receiver/*/.wake; echo "{NOTICE}" >&2; exit 2',
            "with an agent at work, it ends with exit code 2",
        ),
        ("echo mail; exit 2", "it ends with exit code 2 and prints 5 bytes"),
    ],
)
def test_a_script_that_does_otherwise(
    installed: dict[str, str], where: CommandContext, line: str, fault: str
) -> None:
    [(state, what, repair)] = found({**installed, "FileChanged": line}, where)
    assert (state, repair) == ("failed", "maestro hooks install claude-code")
    assert fault in what


def test_settings_without_the_entry(installed: dict[str, str], where: CommandContext) -> None:
    [(state, what, _)] = found({"SessionStart": installed["SessionStart"]}, where)
    assert (state, what) == ("failed", "its settings have no FileChanged hook of ours")


@pytest.mark.parametrize(
    ("printed", "state"),
    [
        ("2.1.330 (Claude Code)", "ok"),
        ("2.1.83", "ok"),
        ("2.1.82 (Claude Code)", "warning"),
        ("2.0.400", "warning"),
        ("?", "ok"),
    ],
)
def test_the_version_of_the_client(installed: dict[str, str], tmp_path: Path, printed: str, state: str) -> None:
    program = tmp_path / "claude"
    program.write_text(f"#!/bin/sh\necho '{printed}'\n")
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    [(seen, what, _)] = found(installed, context(PATH=path), "claude")
    assert seen == state
    assert ("is older than 2.1.83" in what) is (state == "warning")
