"""Preferences: what the page does for a person who wants no motion or forced colours, and that it needs no network.

What a picture shows in other colours is read from the browser's own computed style here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page, Route

    from support.browser import Chromium, Window
    from support.gateways import Gateway
    from support.team import Team

VIEWS = ("/ui/", "/ui/inbox", "/ui/threads", "/ui/m/{red}", "/ui/search?q=rounding", "/ui/stats", "/ui/health")
_MOVES = "() => document.getAnimations().map((one) => one.animationName ?? one.transitionProperty)"
# The colours that are on the screen, of what carries a meaning.
_COLOUR = "([at, name]) => getComputedStyle(document.querySelector(at))[name]"


@pytest.fixture
def window(chromium: Chromium, window_gateway: Gateway) -> Iterator[Window]:
    """A window of a person without wishes; at its end it must not have done wrong."""
    made = chromium.window(window_gateway)
    yield made
    problems = list(made.problems)
    made.close()
    assert problems == []


def moved(page: Page) -> list[str]:
    """The names of the animations that began, once they are known to the page."""
    found: list[str] = page.evaluate("() => window.began")
    return found


_LISTEN = """() => {
  window.began = [];
  document.addEventListener("animationstart", (event) => window.began.push(event.animationName));
}"""


def test_a_new_row_fades_once_and_with_no_motion_never(window: Window, team: Team) -> None:
    team.post("ann", "ben", "the first")
    page = window.open()
    page.evaluate(_LISTEN)
    team.post("ann", "ben", "the second")
    eventually(lambda: moved(page) == ["fresh"], "the ground of the new row fades")
    page.emulate_media(reduced_motion="reduce")
    team.post("ann", "ben", "the third")
    expect(page.locator("[data-row]")).to_have_count(3)
    assert page.evaluate(_MOVES) == []
    assert moved(page) == ["fresh"]


def test_nothing_moves_on_any_page_for_a_person_who_wants_no_motion(window: Window, team: Team) -> None:
    said = team.work()
    window.page.emulate_media(reduced_motion="reduce")
    for path in VIEWS:
        page = window.open(path.format(**said))
        assert page.evaluate(_MOVES) == [], path
        transitions = page.evaluate(
            "() => [...document.querySelectorAll('*')].filter((one) => getComputedStyle(one).transitionDuration"
            ".split(', ').some((each) => parseFloat(each) > 0)).length"
        )
        assert transitions == 0, path


def test_forced_colours_keep_what_the_colours_say(window: Window, team: Team) -> None:
    """Icons have the colour of text, the ! of who waits is cut out of its icon, and a row that is urgent or selected
    has an edge."""
    team.work()
    page = window.page
    page.emulate_media(forced_colors="active")
    window.open()

    def colour(at: str, name: str) -> str:
        return str(page.evaluate(_COLOUR, [at, name]))

    page.evaluate(
        """() => { for (const name of ["CanvasText", "Canvas", "Highlight"]) {
             const one = document.createElement("i"); one.id = `is-${name}`; one.style.color = name;
             one.style.setProperty("forced-color-adjust", "none"); document.body.append(one); } }"""
    )
    text, ground, highlight = (colour(f"#is-{name}", "color") for name in ("CanvasText", "Canvas", "Highlight"))
    assert len({text, ground}) == 2
    assert colour(".side .i-waiting .fill", "fill") == text
    assert colour(".side .i-waiting .cut", "stroke") == ground
    assert colour(".side .i-working .stroke, .side .i-working .fill", "stroke") in {text, "none"}
    urgent = page.evaluate(
        "() => { const found = getComputedStyle(document.querySelector('.row.urgent'), '::before');"
        " return [found.borderLeftStyle, found.borderLeftWidth, found.borderLeftColor]; }"
    )
    assert urgent == ["solid", "2px", text]
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_selector(".row.selected")
    assert colour(".row.selected", "outlineStyle") == "solid"
    assert colour(".row.selected", "outlineColor") == highlight
    assert colour(".place[aria-current]", "outlineStyle") == "solid"
    # What is sent is a button with an edge.
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.wait_for_selector(".send")
    assert colour(".send", "borderTopStyle") == "solid"


def test_every_view_works_without_a_network(window: Window, team: Team) -> None:
    """All that leaves for another place than this gateway is cut off; each view is drawn all the same."""
    said = team.work()
    page = window.page
    own = re.escape(window.url.rstrip("/"))
    away: list[str] = []

    def cut_off(route: Route) -> None:
        away.append(route.request.url)
        route.abort()

    page.context.route(lambda url: re.match(rf"({own}/|{own.replace('http', 'ws', 1)}/)", url) is None, cut_off)
    for path in (*VIEWS, "/ui/t/{red}", "/ui/g/reviews"):
        window.open(path.format(**said))
        assert page.locator("main").inner_text().strip(), path
        fonts = page.evaluate("() => [...document.fonts].map((one) => one.family)")
        assert fonts == [], "a font of its own would be fetched"
    assert away == []
    assert {one.partition("/ui")[0].rstrip("/") for one in window.requests if "/ui/" in one} <= {
        window.url.rstrip("/"),
        f"{window.url.rstrip('/')}/web",
    }


def test_what_the_cli_sends_is_there_within_300_ms(window: Window, team: Team) -> None:
    """From the acceptance, which a command waits for, until the row is laid out: the median of ten."""
    page = window.open()
    page.evaluate(
        """async () => { const {app} = await import("/web/ui/app.js"); window.waited = [];
             const shown = (id, since) => document.querySelector(`[data-row="${id}"]`)
               ? (document.querySelector(".scroll").scrollHeight, window.waited.push(Date.now() - since))
               : requestAnimationFrame(() => shown(id, since));
             app.on("message", ({message}) => shown(message.id, message.createdAt)); }"""
    )
    maestro = os.path.join(os.path.dirname(sys.executable), "maestro")
    environ = {**team.office.environ, "MAESTRO_SESSION_ID": team.ids["ann"]}
    for number in range(10):
        command = [maestro, "send", "--to", team.ids["ben"], "--message", f"Number {number}."]
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        expect(page.locator("[data-row] .text").last).to_have_text(f"Number {number}.")
    waited = sorted(page.evaluate("() => window.waited"))
    print("from acceptance to the row, ms:", waited)
    assert len(waited) == 10
    assert waited[5] < 300
