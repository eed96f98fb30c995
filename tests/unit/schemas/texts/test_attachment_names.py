"""The names that attached files get beside their message."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_schemas.limits import ATTACHMENT_NAME_BYTES_MAX
from maestro_schemas.texts.attachment_names import safe_names
from maestro_schemas.texts.visible_text import clean

if TYPE_CHECKING:
    from pathlib import Path


def one(path: str) -> str:
    [name] = safe_names([path])
    return name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("cart.patch", "cart.patch"),
        ("/srv/ann/shop/cart.patch", "cart.patch"),
        ("../../etc/passwd", "passwd"),
        ("..", "file"),
        ("../", "file"),
        ("/", "file"),
        ("", "file"),
        ("notes/", "notes"),
        ("C:\\Users\\ann\\shot.png", "shot.png"),
        (".gitignore", "gitignore"),
        ("...hidden.txt", "hidden.txt"),
        ("--force", "force"),
        ("-rf", "rf"),
        (" - .x", "x"),
        ("trailing. ", "trailing"),
        ("two\nlines\tand tab.txt", "two lines and tab.txt"),
        ("red\x1b[31m.txt", "red.txt"),
        ("nul\x00.txt", "nul.txt"),
        ("right\u202eto-left.exe", "rightto-left.exe"),
        ("zero\u200bwidth.md", "zerowidth.md"),
        ("\u202e", "file"),
        ("größe ✅.txt", "größe ✅.txt"),
        ("raw\udcff.bin", "raw_.bin"),
        ("archive.tar.gz", "archive.tar.gz"),
        ("sentence. " + "x" * 40, "sentence. " + "x" * 40),
    ],
)
def test_a_name_is_made_safe(path: str, name: str) -> None:
    assert one(path) == name


def test_a_long_name_keeps_its_extension() -> None:
    assert one("x" * 300 + ".patch") == "x" * 114 + ".patch"
    assert one("ü" * 300 + ".patch") == "ü" * 57 + ".patch"
    assert one("x" * 300) == "x" * ATTACHMENT_NAME_BYTES_MAX
    assert one("a." + "x" * 300) == "a." + "x" * 118


def test_a_cut_leaves_no_half_of_a_character_and_no_blank_at_the_end() -> None:
    assert one("x" * 113 + "✅y.txt") == "x" * 113 + "✅.txt"
    assert one("x" * 114 + "✅y.txt") == "x" * 114 + ".txt"
    assert one("x" * 115 + " y.txt") == "x" * 115 + ".txt"


def test_the_second_file_of_a_name_gets_a_number() -> None:
    assert safe_names(["a/x.txt", "b/x.txt", "c/X.TXT"]) == ("x.txt", "x(2).txt", "X(3).TXT")
    assert safe_names(["x", "x", "x"]) == ("x", "x(2)", "x(3)")
    assert safe_names(["x(2)", "x", "x"]) == ("x(2)", "x", "x(3)")
    assert safe_names(["Ä.md", "a\u0308.md"]) == ("Ä.md", "a\u0308(2).md")
    assert safe_names(["y" * 300, "y" * 300])[1] == "y" * 117 + "(2)"


@given(st.lists(st.text(max_size=200), max_size=6))
def test_what_comes_out_is_safe_different_and_stays_as_it_is(paths: list[str]) -> None:
    names = safe_names(paths)
    assert len(names) == len(paths)
    assert len({name.casefold() for name in names}) == len(names)
    assert safe_names(names) == names
    for name in names:
        assert name
        assert name == os.path.basename(name)
        assert len(name.encode()) <= ATTACHMENT_NAME_BYTES_MAX
        assert name[0] not in ".- "
        assert name.isprintable() or clean(name) == name
        assert "\n" not in name
        assert "\0" not in name


@given(st.text(max_size=200))
def test_a_file_can_have_the_name(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    folder: Path = tmp_path_factory.mktemp("named")
    (folder / one(path)).write_bytes(b"")
    assert os.listdir(folder) == [one(path)]
