"""Project names: what a session is called that has no name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_clients.processes.project_names import CHARS_MAX, name_base, speakable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("shop", "shop"),
        ("My Shop_v2.0", "my-shop-v2-0"),
        ("--all", "all"),
        (".dotfiles", "dotfiles"),
        ("B\u00fcro", "buro"),
        ("Stra\u00dfe", "strasse"),
        ("\uff33hop\u202e", "shop"),
        ("\u5e97", ""),
        ("...", ""),
        ("", ""),
        ("2048", "2048"),
        ("a-very-long-name-of-some-project", "a-very-long-name-of-some"),
        ("x" * 80, "x" * CHARS_MAX),
        ("ab-" + "x" * 80, "ab-" + "x" * (CHARS_MAX - 3)),
    ],
)
def test_a_name_can_be_said_and_typed(text: str, name: str) -> None:
    assert speakable(text) == name


@given(st.text(max_size=300))
def test_a_name_is_one_word_of_plain_letters(text: str) -> None:
    name = speakable(text)
    assert len(name) <= CHARS_MAX
    assert name == "" or name.replace("-", "").isalnum()
    assert name == name.lower()
    assert name.isascii()
    assert name == name.strip("-")
    assert speakable(name) == name


def test_a_directory_is_called_as_its_project(tmp_path: Path) -> None:
    home = tmp_path / "home"
    inner = home / "Projects" / "Web Shop" / "src" / "api"
    inner.mkdir(parents=True)
    environ = {"HOME": str(home)}
    assert name_base(str(inner), environ) == "api"
    (home / "Projects" / "Web Shop" / ".git").mkdir()
    assert name_base(str(inner), environ) == "web-shop"
    assert name_base(f"{inner}/", environ) == "web-shop"
    # A work tree beside the repository has a file there, and a name of its own.
    other = home / "Projects" / "hotfix"
    other.mkdir()
    (other / ".git").write_text("gitdir: elsewhere\n")
    assert name_base(str(other), environ) == "hotfix"


def test_a_home_that_is_in_git_names_no_project(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "notes").mkdir()
    environ = {"HOME": str(tmp_path)}
    assert name_base(str(tmp_path / "notes"), environ) == "notes"
    assert name_base(str(tmp_path), environ, "claude-code") == "claude-code"


@pytest.mark.parametrize("directory", ["/", "/tmp", "/tmp/", "/var/tmp", "/home/me", "/scratch", "/\u5e97", "", None])
def test_a_directory_of_no_project_leaves_the_agents_name(directory: str | None) -> None:
    environ = {"HOME": "/home/me", "TMPDIR": "/scratch"}
    assert name_base(directory, environ, "claude-code") == "claude-code"
    assert name_base(directory, environ) is None


def test_a_directory_that_is_gone_still_says_its_name() -> None:
    assert name_base("/nowhere/at/all", {}) == "all"
