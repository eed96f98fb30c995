"""Texts that fit a terminal."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.output import marks, wrapping
from maestro_cli.output.render import BAR
from maestro_cli.output.styles import unstyled
from maestro_schemas.texts.visible_text import clean

_WIDTHS = st.integers(20, 200)
# Wide characters, marks that combine, emoji of several parts, tabs and blanks.
_TEXTS = st.text(st.sampled_from("ab  \t\n漢字e\u0301❤\ufe0f👩\u200d💻가-/.x"), max_size=400)


@given(_TEXTS | st.text(max_size=200), _WIDTHS)
def test_no_line_behind_the_bar_is_wider_than_the_terminal(text: str, width: int) -> None:
    lines = wrapping.behind_bar(text, width)
    assert all(line.startswith(BAR) and wrapping.shown_width(line) <= width for line in lines)
    # Only blanks are lost.
    kept = "".join(line[len(BAR) :] for line in lines)
    unbound = "".join(line[len(BAR) :] for line in wrapping.behind_bar(text, None))
    assert "".join(kept.split()) == "".join(unbound.split())


@given(_TEXTS)
def test_without_a_terminal_a_text_is_as_it_was(text: str) -> None:
    assert wrapping.behind_bar(text, None) == [BAR + line for line in clean(text).split("\n")]


@given(st.text(max_size=40), st.integers(1, 30))
def test_a_cut_line_fits(text: str, width: int) -> None:
    cut = wrapping.cut(text, width)
    assert wrapping.shown_width(cut) <= width
    assert cut == text or cut.endswith("…")
    assert wrapping.cut(text, None) == text


def test_words_are_kept_whole_where_they_fit() -> None:
    assert wrapping.behind_bar("the quick brown fox jumps", 20) == ["  | the quick brown", "  | fox jumps"]
    assert wrapping.behind_bar("", 20) == ["  | "]
    assert wrapping.behind_bar("one\n\ntwo", 20) == ["  | one", "  | ", "  | two"]
    address = "https://example.org/a/long/address"
    assert wrapping.wrapped(f"see {address}", 20) == ["see", "https://example.org/", "a/long/address"]


def test_lines_of_an_indented_line_are_indented_as_it_is() -> None:
    assert wrapping.wrapped("    return the answer to all", 20) == ["    return the", "    answer to all"]
    assert wrapping.wrapped("- one point of three", 16, "  ") == ["- one point of", "  three"]
    assert wrapping.wrapped("\tx", 20) == ["    x"]
    assert wrapping.wrapped("any", None) == ["any"]


def test_wide_characters_take_two_columns() -> None:
    assert wrapping.shown_width("abc") == 3
    assert wrapping.shown_width("漢字") == 4
    assert wrapping.shown_width("e\u0301") == 1
    assert wrapping.shown_width("❤\ufe0f") == 2
    assert wrapping.cut("漢字漢字", 5) == "漢字…"
    assert wrapping.wrapped("漢字漢字漢", 4) == ["漢字", "漢字", "漢"]
    assert wrapping.padded("漢", 4) + "|" == "漢  |"
    assert wrapping.padded("漢", 4, right=True) == "  漢"
    # A selector is not parted from its symbol.
    assert wrapping.wrapped("aaa❤\ufe0f", 4) == ["aaa", "❤\ufe0f"]


def test_a_style_goes_on_in_the_next_line() -> None:
    red, end = f"{marks.STYLE}31m", f"{marks.STYLE}0m"
    lines = wrapping.wrapped(f"a {red}long warning{end} here", 8)
    assert lines == [f"a {red}long{end}", f"{red}warning{end}", "here"]
    assert list(map(unstyled, lines)) == ["a long", "warning", "here"]
    assert wrapping.cut(f"{red}warning{end}", 5) == f"{red}warn…{end}"
    assert wrapping.shown_width(f"{red}warning{end}") == 7


def test_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert wrapping.cut("abcdef", 5) == "ab..."
    assert not wrapping.is_unicode()


def test_a_path_in_a_line_of_ours_stays_whole() -> None:
    lines = wrapping.fitted(["  file: /a/path/that/is/long/enough.txt here", "  | /behind/the/bar/it/is/broken"], 24)
    assert lines == [
        "  file:",
        "      /a/path/that/is/long/enough.txt",
        "      here",
        "  | /behind/the/bar/it/i",
        "  | s/broken",
    ]
    assert wrapping.fitted(["a" * 30], 24) == ["a" * 24, "    " + "a" * 6]
    assert wrapping.fitted(["as it is"], None) == ["as it is"]


@given(st.lists(st.text(st.sampled_from("ab /|漢\u0301"), max_size=120), max_size=4), _WIDTHS)
def test_lines_of_ours_and_those_behind_the_bar_keep_their_words(texts: list[str], width: int) -> None:
    lines = [("  | " if number % 2 else "  ") + text for number, text in enumerate(texts)]
    found = wrapping.fitted(lines, width)
    assert all(wrapping.shown_width(line) <= width for line in found if "/" not in line)
    assert "".join("".join(found).split()).replace("|", "") == "".join("".join(lines).split()).replace("|", "")


@pytest.mark.parametrize("command", [
    "maestro hooks install claude-code",
    "maestro --help",
    "`maestro send bob \"text\"`",
    "MAESTRO_DATA_DIR=/tmp/a maestro status --all",
    'eval "$(maestro session start --export)"',
    "maestro-messaging uninstall --data",
])  # fmt: skip
@pytest.mark.parametrize("width", [20, 40, 60])
def test_a_command_in_a_text_is_never_broken(command: str, width: int) -> None:
    text = f"  next: Repair the file by hand, then: {command}. Or write to your colleague again and again."
    lines = wrapping.fitted([text], width)
    assert len([line for line in lines if command in line]) == 1
    assert all(len(line) <= width for line in lines if command not in line)
    assert " ".join(" ".join(lines).split()) == text.strip()
