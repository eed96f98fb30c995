"""The guide's index: every page once, under its own title, and a page's file is named as its question."""

from __future__ import annotations

import os
import re

import pytest

GUIDE = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3, "docs", "guide"))
PAGES = sorted(name for name in os.listdir(GUIDE) if name.endswith(".md") and name != "README.md")
# Pages to look something up in.
REFERENCE = ["commands.md", "files.md", "http.md", "json.md", "limits.md", "rights.md", "settings.md"]
# Two screens are about ninety lines; a table or a list of calls may take more.
LINES_MAX = 130


def text(page: str) -> str:
    with open(os.path.join(GUIDE, page), encoding="utf-8") as file:
        return file.read()


def title(page: str) -> str:
    first = text(page).partition("\n")[0]
    assert first.startswith("# ")
    return first[2:]


def test_the_index_has_each_page_once() -> None:
    index = text("README.md")
    linked = re.findall(r"^- \[(.+)\]\(([a-z-]+\.md)\)", index, re.MULTILINE)
    assert sorted(page for _, page in linked) == PAGES
    assert [(name, page) for name, page in linked if page not in REFERENCE] == [
        (title(page), page) for _, page in linked if page not in REFERENCE
    ]


def test_the_index_is_grouped() -> None:
    assert re.findall(r"^## (.+)$", text("README.md"), re.MULTILINE) == [
        "Begin",
        "Every day",
        "When something is odd",
        "Other ways in",
        "Run it well",
        "Reference",
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in REFERENCE])
def test_a_file_is_named_as_its_question(page: str) -> None:
    name = re.sub(r"[^a-z0-9]+", "-", title(page).lower().replace("'", "")).strip("-")
    assert page == f"{name}.md"


@pytest.mark.parametrize("page", PAGES)
def test_a_block_names_its_terminal_where_there_are_several(page: str) -> None:
    """On the page too: a forge does not show what stands behind the fence."""
    blocks = re.findall(r"^```sh([^\n]*)\n(.*?)\n", text(page), re.MULTILINE)
    named = [
        (words[0] if words and "=" not in words[0] else "you", first)
        for words, first in ((info.split(), first) for info, first in blocks if "skip=" not in info)
    ]
    if len({name for name, _ in named}) > 1:
        assert [first for _, first in named] == [f"# {name}" for name, _ in named]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in REFERENCE])
def test_a_page_stays_short(page: str) -> None:
    assert text(page).count("\n") <= LINES_MAX
