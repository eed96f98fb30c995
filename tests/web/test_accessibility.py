"""Accessibility: axe-core finds nothing on any page, light and dark, at three widths."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from support import components

from .install import directory

if TYPE_CHECKING:
    from support.browser import Chromium, Window
    from support.gateways import Gateway
    from support.team import Team

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The names in braces are those of the team and of its messages.
PAGES = (
    "/ui/",
    "/ui/inbox",
    "/ui/threads",
    "/ui/s/{ben}",
    "/ui/c/{lead}/{ben}",
    "/ui/t/{red}",
    "/ui/g/reviews",
    "/ui/m/{red}",
    "/ui/search",
    "/ui/search?q=rounding",
    "/ui/search?q=form:ann",
    "/ui/stats",
    "/ui/health",
    "/ui/no-such-page",
)


def axe() -> str:
    """The source of axe-core."""
    path = os.path.join(directory(), "node_modules", "axe-core", "axe.min.js")
    if not os.path.exists(path):
        components.missing("axe-core is not installed (python3 tests/web/install.py)")
    with open(path, encoding="utf-8") as file:
        return file.read()


def faults(window: Window, where: str) -> list[str]:
    """What axe-core says of the page as it is."""
    page = window.page
    page.evaluate(axe())
    found: dict[str, Any] = page.evaluate(
        "(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})", RULES
    )
    return [
        f"{where}: {each['id']}: {each['help']}: {[node['html'][:160] for node in each['nodes']][:3]}"
        for each in found["violations"]
    ]


LIGHT, DARK = False, True
# Every rule meets every page in these two; the rest of the matrix is `just web --all`.
SHORT = [("wide", LIGHT), ("narrow", DARK)]
CASES = [
    pytest.param(
        size,
        dark,
        id=f"{size}-{'dark' if dark else 'light'}",
        marks=[] if (size, dark) in SHORT else [pytest.mark.long],
    )
    for size in ("wide", "half", "narrow")
    for dark in (LIGHT, DARK)
]


@pytest.mark.parametrize(("size", "dark"), CASES)
def test_no_page_has_a_fault(chromium: Chromium, window_gateway: Gateway, team: Team, size: str, dark: bool) -> None:
    said = team.work()
    window = chromium.window(window_gateway, size=size, dark=dark, still=True)
    found: list[str] = []
    for path in PAGES:
        window.open(path.format(**said, **team.ids))
        found += faults(window, path)
    page = window.open("/ui/inbox")
    page.click(".composer.line")
    page.fill("#compose-to", "@wor")
    found += faults(window, "the list of receivers")
    page.keyboard.press("Enter")
    page.fill("#compose-text", "Release freeze.")
    page.wait_for_selector(".reach h3")
    found += faults(window, "the composer")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.goto(window.url.rstrip("/") + "/ui/search")
    page.fill("#search", "is:un")
    page.wait_for_selector("#search-list li")
    found += faults(window, "the list of operators")
    page.goto(window.url.rstrip("/") + "/ui/stats")
    page.click("text=as a table")
    found += faults(window, "the figures as a table")
    if size == "wide":
        page = window.open("/ui/")
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        page.wait_for_selector("aside.pane")
        found += faults(window, "the detail pane")
    page = window.open("/ui/")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    found += faults(window, "the list of keys")
    window.close()
    assert found == []


def test_axe_finds_a_fault(chromium: Chromium, window_gateway: Gateway, team: Team) -> None:
    window = chromium.window(window_gateway)
    page = window.open("/ui/")
    page.evaluate("document.body.append(document.createElement('button'))")
    assert any("button-name" in fault for fault in faults(window, "a button without a name"))
    window.close()
