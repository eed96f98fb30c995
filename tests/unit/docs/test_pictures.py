"""Pictures: those that the documentation shows are there, small, and each is shown."""

from __future__ import annotations

import glob
import os
import re

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
BYTES_MAX = 150_000
PAGES = [os.path.join(ROOT, "README.md"), *glob.glob(os.path.join(ROOT, "docs", "guide", "*.md"))]
PICTURES = glob.glob(os.path.join(ROOT, "docs", "pictures", "*"))


def test_each_picture_is_a_small_png() -> None:
    assert PICTURES
    for path in PICTURES:
        with open(path, "rb") as file:
            assert file.read(8) == b"\x89PNG\r\n\x1a\n", path
        assert os.path.getsize(path) <= BYTES_MAX, path


def test_each_picture_is_shown_with_words_for_those_who_do_not_see_it() -> None:
    shown = set()
    for page in PAGES:
        with open(page, encoding="utf-8") as file:
            for words, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", file.read()):
                assert len(words) > 10, (page, target)
                shown.add(os.path.abspath(os.path.join(os.path.dirname(page), target)))
    assert shown == set(PICTURES)
