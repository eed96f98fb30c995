"""Snippets: the marks are where the words stand, whatever the characters before them."""

from __future__ import annotations

import pytest

from maestro_broker.index import snippets
from maestro_broker.index.snippets import CLOSE, ELLIPSIS, OPEN


def marked(snippet: str, marks: snippets.Marks) -> list[str]:
    return [snippet[begin:end] for begin, end in marks]


def test_marks_of_full_text() -> None:
    line, marks = snippets.of_full_text(f"😀 a {OPEN}red{CLOSE}\n{OPEN}cart{CLOSE} b 購物", ("購",))
    assert line == "😀 a red cart b 購物"
    assert marked(line, marks) == ["red", "cart", "購"]


def test_a_snippet_of_long_words_is_cut() -> None:
    line, marks = snippets.of_full_text("x" * 900 + f" {OPEN}cart{CLOSE} " + "y" * 900, ())
    assert len(line) < 300
    assert marked(line, marks) == ["cart"]
    line, marks = snippets.of_full_text("x" * 900, ())
    assert (line[0], line[-1], marks) == ("x", ELLIPSIS, ())


@pytest.mark.parametrize(
    ("text", "found", "words"),
    [
        ("a Cart and a cart", ("cart",), ["Cart", "cart"]),
        ("one\ttwo\u2028three", ("two",), ["two"]),
        ("abab", ("ab", "aba"), ["abab"]),
        ("İstanbul cart", ("cart",), ["cart"]),
        ("nothing", (), []),
        ("nothing", ("cart",), []),
    ],
)
def test_marks_of_parts(text: str, found: tuple[str, ...], words: list[str]) -> None:
    line, marks = snippets.of_text(text, found)
    assert marked(line, marks) == words
    assert not set(line) & set("\n\t\u2028")


def test_a_long_text_is_shown_around_the_first_found() -> None:
    line, marks = snippets.of_text("x " * 500 + "cart" + " y" * 500, ("cart",))
    assert line.startswith(ELLIPSIS)
    assert line.endswith(ELLIPSIS)
    assert marked(line, marks) == ["cart"]
