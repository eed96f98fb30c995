"""Command link: what the user's shell needs, and what is left alone."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli.setup import command_link
from maestro_runtime.traces import footprints

if TYPE_CHECKING:
    from pathlib import Path

OWN = os.path.join(os.path.dirname(sys.executable), "maestro")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin"), "SHELL": "/bin/bash"}


def test_a_link_is_made_and_noted_once(tmp_path: Path, environ: dict[str, str]) -> None:
    data = str(tmp_path / "data")
    link = command_link.plan(environ)
    assert (link.name, link.target, link.other) == ("maestro", OWN, "")
    link.make(data)
    made = tmp_path / "home" / ".local" / "bin" / "maestro"
    assert os.readlink(made) == OWN
    assert command_link.leads_to_own(str(made))
    noted = {(one.kind, one.path) for one in footprints.read(data)}
    assert ("link", str(made)) in noted
    assert ("folder", str(tmp_path / "home")) in noted
    # It is there now, and PATH still does not have it.
    again = command_link.plan(environ)
    assert (again.path, bool(again.advice)) == ("", True)
    environ["PATH"] = str(made.parent)
    there = command_link.plan(environ)
    assert (there.name, there.path, there.advice) == ("maestro", "", "")


def test_a_link_to_another_installation_of_ours_will_do(tmp_path: Path, environ: dict[str, str]) -> None:
    other = tmp_path / "bin" / "maestro"
    other.parent.mkdir()
    other.write_text("#!/opt/venv/bin/python\nfrom maestro_cli.main import leave, main\n")
    other.chmod(0o755)
    assert command_link.plan(environ) == command_link.CommandLink("maestro")
    assert not command_link.leads_to_own(str(other))


def test_where_both_names_are_others_nothing_is_linked(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("maestro", "maestro-messaging"):
        other = tmp_path / "bin" / name
        other.write_text("#!/bin/sh\n")
        other.chmod(0o755)
    link = command_link.plan(environ)
    assert (link.name, link.path, link.other) == ("", "", str(tmp_path / "bin" / "maestro"))
    link.make(str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("shell", "line"), [
    ("/usr/bin/fish", "fish_add_path ~/.local/bin"),
    ("/bin/zsh", ">> ~/.zshrc"),
    ("/bin/bash", ">> ~/.bashrc"),
    ("/bin/dash", ">> ~/.profile"),
])  # fmt: skip
def test_the_line_for_path_is_that_of_the_shell(environ: dict[str, str], shell: str, line: str) -> None:
    assert line in command_link.plan({**environ, "SHELL": shell}).advice


def test_without_shell_the_user_database_says_it() -> None:
    assert command_link.shell_of({"SHELL": ""}) == command_link.shell_of({})
    assert "/" not in command_link.shell_of({})
