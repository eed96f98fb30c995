"""The search page: operators that complete themselves, hits, pages, refusals and nothing found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.browser import Chromium, Window
    from support.gateways import Gateway
    from support.team import Team

FIELD = "#search"


@pytest.fixture
def window(chromium: Chromium, window_gateway: Gateway, team: Team) -> Iterator[Window]:
    window = chromium.window(window_gateway, still=True)
    yield window
    assert [problem for problem in window.problems if "status of 4" not in problem] == []
    window.close()


def test_a_search_shows_its_hits_with_marks(window: Window, team: Team) -> None:
    said = team.work()
    page = window.open("/ui/search?q=from:ann+rounds")
    expect(page.locator(".found .empty")).to_contain_text("Nothing found")
    page.fill(FIELD, "rounding from:lead")
    rows = page.locator(".found [data-row]")
    expect(rows).to_have_count(2)
    assert [row.get_attribute("data-row") for row in rows.all()] == [said["review"], said["red"]]
    expect(page.locator(".found mark").first).to_have_text("rounding")
    expect(page.locator(".head .count")).to_contain_text(re.compile(r"^2 messages, \d+ ms, newest first$"))
    # The address leads back to the same search.
    assert "q=rounding" in page.url


def test_an_operator_is_completed_by_tab(window: Window, team: Team) -> None:
    team.work()
    page = window.open("/ui/search")
    expect(page.locator(FIELD)).to_be_focused()
    page.keyboard.type("is:un")
    options = page.locator("[role=option]")
    expect(options).to_have_text([re.compile("^is:unread"), re.compile("^is:unanswered")])
    expect(page.locator(".also")).to_contain_text("from:")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    assert page.input_value(FIELD) == "is:unanswered "
    expect(page.locator(".paint b")).to_have_text("is:")
    page.keyboard.type("from:be")
    expect(options).to_have_text([re.compile("^from:ben")])
    page.keyboard.press("Tab")
    expect(page.locator(".found [data-row]")).to_have_count(1)
    expect(page.locator(".found [data-row]")).to_contain_text("force-push")


def test_an_unknown_operator_is_said_and_the_nearest_one_named(window: Window, team: Team) -> None:
    team.work()
    page = window.open("/ui/search?q=form:ann")
    expect(page.locator(".found .refusal")).to_contain_text("`form:` is no operator. Did you mean `from:`?")


def test_nothing_found_offers_the_query_without_its_last_word(window: Window, team: Team) -> None:
    team.work()
    page = window.open("/ui/search?q=rounding+elephants")
    expect(page.locator(".found .empty")).to_contain_text("Nothing found in 7 days of mail.")
    page.click(".found .empty a")
    expect(page.locator(".found [data-row]")).to_have_count(2)
    assert page.input_value(FIELD) == "rounding"


def test_further_pages_are_shown_on_request(window: Window, team: Team) -> None:
    team.many(120)
    page = window.open("/ui/search?q=price+OR")
    expect(page.locator(".found .refusal")).to_contain_text("OR")
    page.fill(FIELD, "from:ann")
    rows = page.locator(".found [data-row]")
    expect(page.locator(".head .count")).to_contain_text("24 messages")
    expect(rows).to_have_count(24)
    page.fill(FIELD, "project:shop")
    expect(page.locator(".head .count")).to_contain_text("120 messages")
    expect(rows).to_have_count(50)
    page.click("text=Show more")
    expect(rows).to_have_count(100)
    page.click("text=Show more")
    expect(rows).to_have_count(120)
    expect(page.locator(".found .end")).to_contain_text("All mail of 7 days was searched.")


def test_a_found_text_is_never_markup(window: Window, team: Team) -> None:
    team.post("ann", "ben", "elephant <img src=x onerror=alert(1)> <b>bold</b> `code elephant`")
    page = window.open("/ui/search?q=elephant")
    hit = page.locator(".found [data-row]")
    expect(hit).to_contain_text("<img src=x onerror=alert(1)>")
    expect(hit.locator("img, b")).to_have_count(0)
    expect(hit.locator("code mark")).to_have_text("elephant")


def test_the_search_opens_by_its_key_and_by_the_field_of_other_pages(window: Window, team: Team) -> None:
    team.work()
    page = window.open("/ui/")
    page.keyboard.press("/")
    page.keyboard.type("rounding")
    page.keyboard.press("Enter")
    expect(page.locator(".found [data-row]")).to_have_count(2)
