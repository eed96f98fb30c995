"""Pictures: those that the documentation shows are there, small, and each is shown."""

from __future__ import annotations

import glob
import os
import re
from xml.etree import ElementTree as ET

import pytest

_SVG = "{http://www.w3.org/2000/svg}"
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
BYTES_MAX = 150_000
PAGES = [os.path.join(ROOT, "README.md"), *glob.glob(os.path.join(ROOT, "docs", "guide", "*.md"))]
PICTURES = glob.glob(os.path.join(ROOT, "docs", "pictures", "*"))


def test_each_picture_is_a_small_png_or_svg() -> None:
    assert PICTURES
    for path in PICTURES:
        assert os.path.getsize(path) <= BYTES_MAX, path
        if not path.endswith(".svg"):
            with open(path, "rb") as file:
                assert file.read(8) == b"\x89PNG\r\n\x1a\n", path


@pytest.mark.parametrize("path", [path for path in PICTURES if path.endswith(".svg")])
def test_an_svg_needs_nothing_from_elsewhere_and_says_what_it_shows(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    root = ET.fromstring(text)
    names = {element.tag.removeprefix(_SVG) for element in root.iter()}
    assert names <= {"svg", "title", "desc", "style", "rect", "path", "text", "g"}
    assert not re.search(r"url\(|@import|@font-face|href|javascript:|\bon\w+=", text)
    said = {element.tag.removeprefix(_SVG): element.text or "" for element in root}
    assert len(said["title"]) > 10
    assert len(said["desc"]) > 100


def test_the_cast_is_as_long_as_a_reader_waits() -> None:
    """It stands still for those who want no motion."""
    with open(os.path.join(ROOT, "docs", "pictures", "first-minute.svg"), encoding="utf-8") as file:
        text = file.read()
    [seconds] = re.findall(r"animation:([0-9.]+)s", text)
    assert 20 <= float(seconds) <= 40
    assert "prefers-reduced-motion" in text


def test_each_picture_is_shown_with_words_for_those_who_do_not_see_it() -> None:
    shown = set()
    for page in PAGES:
        with open(page, encoding="utf-8") as file:
            for words, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", file.read()):
                assert len(words) > 10, (page, target)
                shown.add(os.path.abspath(os.path.join(os.path.dirname(page), target)))
    assert shown == set(PICTURES)
