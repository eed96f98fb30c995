"""Start waking: what is promised of a wake, and where nothing is."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli.context import CommandContext
from maestro_cli.hooks.agents import CLAUDE_CODE, GEMINI_CLI, Agent
from maestro_cli.hooks.payload import HookInput
from maestro_cli.hooks.waking import start_waking
from maestro_cli.hooks.waking.start_waking import StartWaking
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts import waking
from support import components

if TYPE_CHECKING:
    import pathlib

SESSION = "sess_1"


def context(tmp_path: pathlib.Path, **environ: str) -> CommandContext:
    own = {"HOME": str(tmp_path), "MAESTRO_CONFIG": str(tmp_path / "config.toml"), **environ}
    return CommandContext(own, str(tmp_path / "data"), SESSION, None)


def at_start(of: CommandContext, agent: Agent, *, installed: bool | None) -> StartWaking:
    return start_waking.at_start(of, agent, SESSION, HookInput("own"), os.getpid(), installed=installed)


def mailbox(tmp_path: pathlib.Path) -> str:
    return os.path.join(tmp_path, "data", "messages", "by-receiver", SESSION)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of files that change")
def test_an_agent_that_can_be_woken_watches_a_file_in_a_private_folder(tmp_path: pathlib.Path) -> None:
    before = os.umask(0o777)
    try:
        found = at_start(context(tmp_path), CLAUDE_CODE, installed=True)
    finally:
        os.umask(before)
    assert found == StartWaking({"wakeBy": waking.CLAUDE_CODE}, os.path.join(mailbox(tmp_path), waking.WAKE_FILE))
    folder = mailbox(tmp_path)
    while folder != str(tmp_path):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        folder = os.path.dirname(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of files that change")
def test_an_agent_of_another_kind_is_woken_without_a_file_to_watch(tmp_path: pathlib.Path) -> None:
    agent = CLAUDE_CODE._replace(name="other", waker=waking.TMUX)
    found = at_start(context(tmp_path), agent, installed=True)
    assert found == StartWaking({"wakeBy": waking.TMUX})


def test_macos_promises_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = at_start(context(tmp_path), CLAUDE_CODE, installed=True)
    assert found == StartWaking({"wakeBy": ""})
    assert not os.path.exists(mailbox(tmp_path))


def test_a_broker_of_another_machine_is_asked_for_nothing(tmp_path: pathlib.Path) -> None:
    far = context(tmp_path, MAESTRO_BROKER="tcp://10.0.0.1:4567")
    for installed in (True, False, None):
        assert at_start(far, CLAUDE_CODE, installed=installed) == StartWaking({})
    assert not os.path.exists(mailbox(tmp_path))


def test_an_agent_that_nothing_wakes_says_nothing(tmp_path: pathlib.Path) -> None:
    agent = GEMINI_CLI._replace(waker="")
    assert at_start(context(tmp_path), agent, installed=None) == StartWaking({})


def test_hooks_of_an_earlier_version_clear_what_could_wake_and_say_the_next_step(tmp_path: pathlib.Path) -> None:
    found = at_start(context(tmp_path), CLAUDE_CODE, installed=None)
    assert (found.fields, found.watched) == ({"wakeBy": ""}, "")
    assert "maestro hooks install claude-code" in found.note
    assert waking.NOTICE not in found.note, "or a prompt with it would count as woken"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of files that change")
@pytest.mark.parametrize(
    ("variable", "file", "setting"),
    [
        ("", "", None),
        ("off", "", "off"),
        ("OFF ", "", "off"),
        ("", '[hooks]\nwake = "off"\n', "off"),
        ("idle", '[hooks]\nwake = "off"\n', "idle"),
    ],
)
def test_the_setting(tmp_path: pathlib.Path, variable: str, file: str, setting: str | None) -> None:
    if file:
        (tmp_path / "config.toml").write_text(file)
    found = at_start(context(tmp_path, MAESTRO_WAKE=variable), CLAUDE_CODE, installed=True)
    assert found.fields.get("wake") == setting
    assert found.watched


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of files that change")
@pytest.mark.parametrize("file", ['[hooks]\nwake = "never"\n', "[hooks\n", "[hooks]\nwake = 1\n"])
def test_a_mistake_in_the_setting_is_said_and_stops_nothing(tmp_path: pathlib.Path, file: str) -> None:
    (tmp_path / "config.toml").write_text(file)
    found = at_start(context(tmp_path), CLAUDE_CODE, installed=True)
    assert found.fields == {"wakeBy": waking.CLAUDE_CODE}
    assert str(tmp_path / "config.toml") in found.note


@pytest.mark.parametrize("installed", [True, False, None])
def test_root_makes_nothing_in_the_data_directory_of_a_user(tmp_path: pathlib.Path, installed: bool | None) -> None:
    components.require_root("a directory of another user")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 12_345, 12_345)
    with pytest.raises(MaestroError, match="you are root"):
        at_start(context(tmp_path), CLAUDE_CODE, installed=installed)
    assert os.listdir(data) == []
