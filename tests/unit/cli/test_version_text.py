"""Version text: which tokens ask for it, and how much they get."""

from __future__ import annotations

import json

import pytest

from maestro_cli import version_text
from maestro_schemas import __version__


def test_one_line_for_scripts() -> None:
    assert version_text.asked_for(["--version"]) == f"maestro {__version__}"


def test_more_on_request() -> None:
    text = version_text.asked_for(["--version", "--verbose"])
    assert text is not None
    assert [line.rsplit(" ", 1)[0] for line in text.splitlines()] == ["maestro", "Python", "protocol", "data format"]


def test_json_wins_over_more_lines() -> None:
    text = version_text.asked_for(["--version", "--verbose", "--json"])
    assert text is not None
    assert json.loads(text)["version"] == __version__


@pytest.mark.parametrize("tokens", [[], ["inbox", "--version"], ["--version", "inbox"], ["--version", "--help"]])
def test_anything_else_is_not_its_affair(tokens: list[str]) -> None:
    assert version_text.asked_for(tokens) is None
