"""Tables at any width."""

from __future__ import annotations

import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.output import marks, tables
from maestro_cli.output.tables import Column, table
from maestro_cli.output.wrapping import shown_width
from maestro_schemas.texts.visible_text import one_line

_CELLS = st.text(st.sampled_from("ab c漢e\u0301👩\u200d❤\ufe0f\n\t\x1b[1m"), max_size=60)


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column(
            f"T{number}",
            draw(st.integers(0, 4)),
            right=draw(st.booleans()),
            least=draw(st.integers(2, 20)),
            wraps=draw(st.booleans()),
        )
        for number in range(draw(st.integers(1, 8)))
    ]
    # The first letters of a cell say which it is.
    rows = [
        [f"{number}{index}" + draw(_CELLS) for index in range(len(columns))]
        for number in range(draw(st.integers(0, 4)))
    ]
    return columns, rows


@given(_tables(), st.integers(20, 200))
def test_no_line_is_wider_and_no_cell_of_priority_0_is_lost(
    made: tuple[list[Column], list[list[str]]], width: int
) -> None:
    columns, rows = made
    lines = table(columns, rows, width)
    assert max(map(shown_width, lines)) <= width
    assert not any("\n" in line or "\t" in line or "\x1b" in line for line in lines)
    text = "\n".join(lines)
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            assert column.priority or cell[:1] in text
    for column, cell in zip(columns, rows[0] if rows else [], strict=bool(rows)):
        assert column.priority or cell[:2] in text


@given(_tables())
def test_without_a_terminal_each_cell_is_whole(made: tuple[list[Column], list[list[str]]]) -> None:
    columns, rows = made
    lines = table(columns, rows, None)
    assert len(lines) == len(rows) + 1
    for line, row in zip(lines[1:], rows, strict=True):
        assert all(one_line(cell).rstrip() in line for cell in row)


_WHO = (
    Column("NAME", least=10),
    Column("STATE"),
    Column("NEW", 1, right=True),
    Column("DIRECTORY", 3, least=12),
    Column("AGENT", 2),
)
_ROWS = [
    ("ann", "working", "1,200", "/data/ann/projects/shop", "claude"),
    ("a-long-name-of-a-session", "idle", "", "/", "codex"),
]


def test_the_least_important_columns_go_first() -> None:
    whole = table(_WHO, _ROWS, 100)
    assert whole == table(_WHO, _ROWS, None)
    assert whole[0] == "NAME                      STATE      NEW  DIRECTORY                AGENT"
    # The directory is cut before anything is left out.
    assert table(_WHO, _ROWS, 70)[1] == "ann                       working  1,200  /data/ann/projects/…  claude"
    assert table(_WHO, _ROWS, 50)[0] == "NAME                      STATE      NEW  AGENT"
    assert table(_WHO, _ROWS, 40)[0] == "NAME              STATE      NEW  AGENT"
    assert table(_WHO, _ROWS, 36)[0] == "NAME                  STATE      NEW"
    assert table(_WHO, _ROWS, 30)[2] == "a-long-name-o…  idle"
    assert table(_WHO[:2], [("a" * 30, "working")], 20) == ["NAME         STATE", "aaaaaaaaaa…  working"]


def test_where_not_even_those_fit_a_row_takes_several_lines() -> None:
    columns = (Column("NAME", least=10), Column("STATE", least=10), Column("WHY", least=20, wraps=True))
    rows = [("ann-of-the-shop", "unanswered", "its agent is gone, so its mail waits")]
    assert table(columns, rows, 20) == [
        "NAME  STATE  WHY",
        "ann-of-the-shop",
        "  unanswered",
        "  its agent is gone,",
        "  so its mail waits",
    ]
    assert table(columns, rows, 50) == [
        "NAME             STATE       WHY",
        "ann-of-the-shop  unanswered  its agent is gone, so",
        "                             its mail waits",
    ]


def test_on_a_terminal_a_column_that_says_nothing_is_left_out() -> None:
    rows = [("ann", "-", ""), ("ben", "-", "")]
    columns = [Column("NAME"), Column("AGENT", 1), Column("WHY")]
    assert table(columns, rows, 80) == ["NAME  WHY", "ann", "ben"]
    assert table(columns, rows, None)[0] == "NAME  AGENT  WHY"
    assert table(columns, [], 80) == ["NAME  AGENT  WHY"]


def test_a_table_without_titles_or_rows() -> None:
    assert table([Column("")], [], 80) == []
    assert table([Column("NAME")], [], 80) == ["NAME"]
    assert table([Column(""), Column("", right=True)], [("a", "1"), ("bb", "20")], 80) == ["a    1", "bb  20"]


def test_a_style_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    red = f"{marks.STYLE}31mgone{marks.STYLE}0m"
    assert table([Column("A"), Column("B")], [(red, "x"), ("idle", "y")], 80)[1:] == [f"{red}  x", "idle  y"]
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert table([Column("A")], [("x",)], 80)[0] == f"{marks.STYLE}2mA{marks.STYLE}0m"


def test_the_width_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert tables.terminal_width({"COLUMNS": "40"}) is None
    monkeypatch.setattr(sys, "stdout", None)
    assert tables.terminal_width({}) is None
    master, slave = os.openpty()
    try:
        with open(slave, "w", encoding="utf-8", closefd=False) as terminal:
            monkeypatch.setattr(sys, "stdout", terminal)
            assert tables.terminal_width({"COLUMNS": "40"}) == 40
            # A new terminal has no size.
            assert tables.terminal_width({"COLUMNS": "wide"}) == tables.WIDTH
            monkeypatch.setattr(os, "get_terminal_size", _refuse)
            assert tables.terminal_width({}) == tables.WIDTH
            monkeypatch.undo()
    finally:
        os.close(master)
        os.close(slave)


def _refuse(_fd: int) -> os.terminal_size:
    raise OSError(25, "not a terminal")
