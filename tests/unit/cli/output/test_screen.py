"""Texts of several lines on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from maestro_cli.output import screen

if TYPE_CHECKING:
    import pytest

_TEXT = "msg_1 from ann, 12:00:00, just now\n  | The tests of the shop are red since noon."


def test_elsewhere_a_text_is_as_it_is() -> None:
    assert screen.fit(_TEXT) == _TEXT


def test_on_a_terminal_it_is_wrapped_and_the_bar_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "24")
    assert screen.fit(_TEXT).split("\n") == [
        "msg_1 from ann,",
        "    12:00:00, just now",
        "  | The tests of the",
        "  | shop are red since",
        "  | noon.",
    ]
