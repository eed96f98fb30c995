"""Words: where a text is, and what a hint can be copied as."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.addressing import words
from maestro_schemas.errors import MaestroError


@pytest.mark.parametrize(
    ("given_words", "options", "found"),
    [
        (("bob", "x"), (None, None, None), (["bob"], "x", None)),
        (("bob", None), (None, "x", None), (["bob"], "x", None)),
        (("bob", None), (None, None, "f"), (["bob"], None, "f")),
        (("x", None), (["bob", "ann"], None, None), (["bob", "ann"], "x", None)),
        (("bob", "-"), (None, None, None), (["bob"], None, "-")),
        (("bob", ""), (None, None, None), (["bob"], "", None)),
    ],
)
def test_what_stands_without_an_option(
    given_words: tuple[str | None, str | None],
    options: tuple[list[str] | None, str | None, str | None],
    found: tuple[list[str] | None, str | None, str | None],
) -> None:
    assert words.send_words(given_words, *options) == found


@pytest.mark.parametrize(
    ("given_words", "options"),
    [
        (("ann", "x"), (["bob"], None, None)),
        (("bob", "x"), (None, "y", None)),
        (("bob", "x"), (None, None, "y")),
        (("x", None), (["bob"], "y", None)),
        (("bob", "-"), (None, None, "y")),
    ],
)
def test_two_texts_or_receivers(
    given_words: tuple[str | None, str | None], options: tuple[list[str] | None, str | None, str | None]
) -> None:
    with pytest.raises(MaestroError) as caught:
        words.send_words(given_words, *options)
    assert caught.value.code == "INVALID"


@given(st.text(max_size=200))
def test_a_quoted_text_is_one_word_for_the_shell(text: str) -> None:
    assert shlex.split(words.quoted(text)) == [text]


def test_a_long_text_is_not_repeated() -> None:
    assert words.quoted("x" * 201) == '"..."'
