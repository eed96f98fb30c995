"""The site of the documents: it builds without a warning, has a search, and asks no other host for anything."""

from __future__ import annotations

import html.parser
import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.browser import Chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
GUIDE = os.path.join(ROOT, "docs", "guide")
# What makes a browser load something, as (element, attribute).
_LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
    "object": "data",
}


def recipe() -> list[str]:
    """The command of `just docs`."""
    with open(os.path.join(ROOT, "Justfile"), encoding="utf-8") as file:
        found = re.search(r"^docs:\n +(.+)$", file.read(), re.MULTILINE)
    assert found is not None
    return shlex.split(found[1].replace("{{ python }}", sys.executable).replace("{{ root }}", ROOT))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A built site."""
    made = str(tmp_path_factory.mktemp("site"))
    command = [
        word.replace("build/docs", f"{made}/docs").replace("build/doctrees", f"{made}/trees") for word in recipe()
    ]
    assert f"{made}/docs" in command
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{made}/docs"


def files(site: str, ending: str) -> Iterator[tuple[str, str]]:
    """Each file of the site with this ending, and its text."""
    for directory, _, names in os.walk(site):
        for name in names:
            if name.endswith(ending):
                path = os.path.join(directory, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, site), file.read()


class Loads(html.parser.HTMLParser):
    """Collects what a page makes a browser load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        value = dict(attrs).get(_LOADED.get(tag, ""))
        if value is not None:
            self.found.append(value)


def test_each_page_of_the_guide_is_there_under_its_title(site: str) -> None:
    pages = dict(files(site, ".html"))
    for name in sorted(os.listdir(GUIDE)):
        if name.endswith(".md"):
            page = pages[f"docs/guide/{name.removesuffix('.md')}.html"]
            with open(os.path.join(GUIDE, name), encoding="utf-8") as file:
                title = file.readline().removeprefix("# ").strip()
            assert f"<h1>{html.escape(title, quote=False)}<a " in page
    assert "schemas/PROTOCOL.html" in pages
    assert "docs/decisions/0001-packages-and-imports.html" in pages


def test_the_menu_has_the_groups_of_the_index(site: str) -> None:
    with open(f"{site}/docs/guide/limits.html", encoding="utf-8") as file:
        page = file.read()
    with open(os.path.join(GUIDE, "README.md"), encoding="utf-8") as file:
        groups = re.findall(r"^## (.+)$", file.read(), re.MULTILINE)
    assert re.findall(r'class="caption-text">([^<]+)<', page)[: len(groups)] == groups


def test_the_index_of_the_search_knows_the_words(site: str) -> None:
    with open(f"{site}/searchindex.js", encoding="utf-8") as file:
        index = json.loads(file.read().removeprefix("Search.setIndex(").rstrip().removesuffix(")"))
    assert "docs/guide/i-lost-my-terminal" in index["docnames"]
    number = index["docnames"].index("docs/guide/limits")
    found = index["terms"]["loop_guard"]
    assert number in (found if isinstance(found, list) else [found])


def test_no_page_loads_anything_from_another_host(site: str) -> None:
    foreign = [
        (path, value)
        for path, text in files(site, ".html")
        for value in Loads(text).found
        if re.match(r"(?:[a-z]+:)?//", value)
    ]
    assert foreign == []
    styled = [
        (path, value)
        for path, text in files(site, ".css")
        for value in re.findall(r"(?:url\(|@import)\s*['\"]?((?:[a-z]+:)?//[^'\")]+)", text)
    ]
    assert styled == []


def test_what_would_load_from_another_host_is_noticed() -> None:
    assert Loads('<script src="https://example.org/a.js"></script><a href="https://example.org">').found == [
        "https://example.org/a.js"
    ]


def test_the_search_works_from_the_files_in_a_browser(site: str) -> None:
    with Chromium() as browser:
        window = browser.window(f"file://{site}/search.html?q=terminal")
        window.page.goto(window.url)
        found = window.page.locator("#search-results li a", has_text="I lost my terminal")
        found.first.wait_for()
        found.first.click()
        window.page.locator("h1", has_text="I lost my terminal").wait_for()
        assert [url for url in window.requests if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_narrow_page_is_not_wider_than_its_screen(site: str, *, dark: bool) -> None:
    with Chromium() as browser:
        window = browser.window(f"file://{site}/docs/guide/what-do-i-type.html", size="narrow", dark=dark)
        window.page.goto(window.url)
        assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        seen = window.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", seen)[:3])) < 384) is dark


def test_a_dead_link_fails_the_build(tmp_path: os.PathLike[str]) -> None:
    """With the same settings, on two pages."""
    pages = os.path.join(tmp_path, "docs")
    os.makedirs(pages)
    with open(os.path.join(pages, "README.md"), "w", encoding="utf-8") as file:
        file.write("# A\n\n## B\n\n- [c](c.md)\n")
    with open(os.path.join(pages, "c.md"), "w", encoding="utf-8") as file:
        file.write("# C\n\n[d](README.md#nowhere)\n")
    os.makedirs(os.path.join(pages, "decisions"))
    with open(os.path.join(pages, "decisions", "0001.md"), "w", encoding="utf-8") as file:
        file.write("# 1\n")
    command = [word for word in recipe() if word not in (ROOT, "build/docs")]
    command = [word.replace("build/", f"{tmp_path}/build/") for word in command]
    done = subprocess.run(
        [*command, str(tmp_path), f"{tmp_path}/out"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr
