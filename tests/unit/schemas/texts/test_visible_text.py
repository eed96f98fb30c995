"""Visible text: what steers a terminal or hides from a reader goes, what a script or an emoji needs stays."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_schemas.texts.visible_text import clean, cleaned, escaped, first_hidden, is_visible, one_line

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ASTRONAUT = "\U0001f9d1\U0001f3fd\u200d\U0001f680"
RAINBOW_FLAG = "\U0001f3f3\ufe0f\u200d\U0001f308"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
HINDI = "\u0915\u094d\u200d\u0937"
MONGOLIAN = "\u1820\u180b\u1828"
TAGS = "".join(chr(0xE0000 + ord(letter)) for letter in "run rm -rf")

# Everything that may not be in a text that is shown, whatever stands beside it.
NEVER = [
    *(chr(code) for code in (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))),
    *"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b\u200e\u200f\u2060\u2064\u206f\u3164\ufeff\uffa0",
    *(chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xFFF9, 0xFFFC))),
    *(chr(code) for code in range(0xFE00, 0xFE0E)),
    *(
        chr(code)
        for code in (0xE0000, 0xE0001, 0xE0080, *range(0xE0100, 0xE01F0), 0xE0FFF, 0x1D173, 0xFFFF, 0x10FFFE)
    ),
]
# What may stay beside the right neighbours, and those neighbours.
PIECES = [*NEVER[::7], *"\u200c\u200d\ufe0e\ufe0f\u180b\u20e3", FAMILY, SCOTLAND, PERSIAN, HINDI, TAGS]
PIECES += ["\U0001f3f4", "1", "a", "\x1b", "["]
hostile = st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from(NEVER), st.text(max_size=3)), max_size=12).map(
    "".join
)


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ("plain\ttext\nof lines", "plain\ttext\nof lines"),
        ("dos\r\nline", "dos\nline"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPpayload\x1b\\after", "after"),
        ("\x1b]never ended", ""),
        ("\x1bcreset", "reset"),
        ("lone escape\x1b", "lone escape"),
        ("bell\x07 null\x00 del\x7f c1\x85", "bell null del c1"),
        ("abc\u202edef\u2066ghi\u2069", "abcdefghi"),
        (f"see{TAGS} here", "see here"),
        (f"\U0001f3f4{TAGS}\U000e007f", "\U0001f3f4"),
        ("\u845b\U000e0100\u57ce\U000e01ef", "\u845b\u57ce"),
        ("a\ufff9b\ufffac\ufffb", "abc"),
        ("pass\u200bword, soft\xadhyphen, \ufeffmark", "password, softhyphen, mark"),
        ("a\u200db a\u200cb", "ab ab"),
        ("a\ufe0fb\ufe01", "ab"),
        ("\U0001f600\ufe0f\ufe0f\ufe0e", "\U0001f600\ufe0f"),
        ("1\ufe0f 2\ufe0f\u20e3", "1 2\ufe0f\u20e3"),
        ("one\u2028two\u2029three", "one\ntwo\nthree"),
    ],
)
def test_what_goes(raw: str, left: str) -> None:
    assert clean(raw) == left


@pytest.mark.parametrize(
    "text", [FAMILY, ASTRONAUT, RAINBOW_FLAG, SCOTLAND, PERSIAN, HINDI, MONGOLIAN, "\u2764\ufe0f", "#\ufe0f\u20e3"]
)
def test_what_stays(text: str) -> None:
    assert cleaned(f"a {text} b") == (f"a {text} b", 0)
    assert one_line(text) == escaped(text) == text
    assert first_hidden(text) == ""


def test_each_character_alone() -> None:
    """The quick look agrees with the search, and every control, format and private hiding place is known."""
    kept_formats = {0x0600, 0x06DD, 0x070F, 0x08E2, 0x110BD, 0x13430}
    for code in range(0x110000):
        character = chr(code)
        if 0xD800 <= code < 0xE000:
            continue
        left, removed = cleaned(character)
        assert removed == 0 or not is_visible(character), hex(code)
        # Numbers' signs of Arabic, Syriac, Kaithi and Egyptian are formats that have a glyph.
        has_glyph = any(code in range(first, first + 9) for first in kept_formats) or code in (0x890, 0x891, 0x110CD)
        if unicodedata.category(character) == "Cf" and not has_glyph:
            assert left == "", hex(code)
    assert [clean(character) for character in NEVER] == [""] * len(NEVER)


@settings(max_examples=600, deadline=None)
@given(hostile)
def test_nothing_hidden_is_left_and_a_second_pass_changes_nothing(text: str) -> None:
    """A repeated send is compared with the accepted text by a second pass."""
    left, removed = cleaned(text)
    assert cleaned(left) == (left, 0)
    assert not set(left) & set(NEVER)
    assert (removed == 0) == (len(left) == len(text.replace("\r\n", "\n")))
    for before, character in zip(" " + left, left, strict=False):
        if "\U000e0000" <= character <= "\U000e0fff":
            assert before == "\U0001f3f4" or "\U000e0000" <= before <= "\U000e0fff"
        if character in "\ufe0e\ufe0f":
            assert unicodedata.category(before)[0] == "S" or before in "0123456789#*\u203c\u2049\u2139\u3030\u303d"
    assert (first_hidden(left) == "") == (left == left.replace("\u2028", "").replace("\u2029", ""))


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from([*PIECES, "\xa0", "\u26a0", "\u2191", "\u2b50", "\u231a", "\n"]), max_size=5).map(
        "".join
    )
)
def test_the_quick_look_agrees_with_the_search(text: str) -> None:
    """A NUL at the end makes it search."""
    if is_visible(text):
        assert clean(text + "\x00") == text


def test_usual_texts_need_no_search() -> None:
    for text in (
        "plain\ttext\n",
        "na\xefve\xa0\u2014",
        "\u26a0\ufe0f careful \u2764\ufe0f",
        "\u845b\u57ce",
        "\U0001f44d",
    ):
        assert is_visible(text)
    assert not is_visible("\ufe0f")
    assert not is_visible("a\ufe0f")
    assert not is_visible("\u2764\ufe0f\ufe0f")


@settings(max_examples=300, deadline=None)
@given(hostile)
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert "\t" not in line
    assert not set(line) & set(NEVER)
    assert ("?" in line) or line == text


@settings(max_examples=300, deadline=None)
@given(st.recursive(hostile, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3)))
def test_escaped_json_has_the_same_value_and_hides_nothing(value: object) -> None:
    line = escaped(json.dumps(value, ensure_ascii=False))
    assert json.loads(line) == value
    assert not set(line) & set(NEVER)
    assert len(line.splitlines()) == 1


def test_the_first_hidden_character_is_named() -> None:
    assert first_hidden("plain") == ""
    assert first_hidden("\u2764\ufe0f then \u202e and \u200b") == "U+202E"
    assert first_hidden("a\U000e0041") == "U+E0041"
    assert first_hidden("\x1b[31m") == "U+001B"
    assert first_hidden("a\u2028b") == "U+2028"
