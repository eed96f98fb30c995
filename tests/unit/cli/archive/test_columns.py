"""Lines that fit a terminal."""

from __future__ import annotations

import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.archive import columns


@given(st.text(max_size=40), st.integers(1, 30))
def test_a_cut_line_fits(text: str, width: int) -> None:
    cut = columns.cut(text, width)
    assert columns.shown_width(cut) <= max(width, 1)
    assert cut == text or cut.endswith("…")
    assert columns.cut(text, None) == text


def test_wide_characters_take_two_columns() -> None:
    assert columns.shown_width("abc") == 3
    assert columns.shown_width("漢字") == 4
    assert columns.shown_width("e\u0301") == 1
    assert columns.cut("漢字漢字", 5) == "漢字…"


def test_bars() -> None:
    assert columns.bar(0, 10) == columns.bar(5, 0) == ""
    assert columns.bar(10, 10) == "█" * 20
    assert columns.bar(1, 1_000_000) == "▏"
    assert columns.bar(5, 10, 3) == "█▌"


def test_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert columns.bar(1, 2, 4) == "##"
    assert columns.bar(1, 1_000, 4) == "#"
    assert columns.cut("abcdef", 5) == "ab..."


def test_a_table_gives_way_in_its_first_column() -> None:
    rows = [("NAME", "COUNT"), ("a" * 30, "1,000"), ("b", "2")]
    assert columns.table([]) == []
    assert columns.table(rows, frozenset({1})) == [f"NAME{' ' * 28}COUNT", f"{'a' * 30}  1,000", f"b{' ' * 35}2"]
    assert max(map(len, columns.table(rows, frozenset({1}), 20))) == 20
    assert columns.table(rows, width=3)[1] == "aaaaaaa…  1,000"


def test_the_width_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert columns.terminal_width({"COLUMNS": "40"}) is None
    monkeypatch.setattr(sys, "stdout", None)
    assert columns.terminal_width({}) is None
    master, slave = os.openpty()
    try:
        with open(slave, "w", encoding="utf-8", closefd=False) as terminal:
            monkeypatch.setattr(sys, "stdout", terminal)
            assert columns.terminal_width({"COLUMNS": "40"}) == 40
            # A new terminal has no size.
            assert columns.terminal_width({"COLUMNS": "wide"}) == columns.WIDTH
            monkeypatch.setattr(os, "get_terminal_size", _refuse)
            assert columns.terminal_width({}) == columns.WIDTH
            monkeypatch.undo()
    finally:
        os.close(master)
        os.close(slave)


def _refuse(_fd: int) -> os.terminal_size:
    raise OSError(25, "not a terminal")
