"""The composer: who gets a message before it is sent, refusals, files, drafts, and the keyboard alone."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from support.browser import Chromium, Window
    from support.gateways import Gateway
    from support.team import Team

TEXT = "#compose-text"
TO = "#compose-to"
AS_OPERATOR = {"X-Session-ID": "operator"}


@pytest.fixture
def window(chromium: Chromium, window_gateway: Gateway, team: Team) -> Iterator[Window]:
    window = chromium.window(window_gateway, still=True)
    yield window
    assert [problem for problem in window.problems if "status of 4" not in problem] == []
    window.close()


def write(page: Page, *to: str, text: str = "") -> None:
    """Open the composer, and fill it in by the keyboard."""
    page.keyboard.press("c")
    expect(page.locator(TO)).to_be_focused()
    for each in to:
        page.keyboard.type(each)
        page.keyboard.press("Enter")
    page.locator(TEXT).fill(text)


def said(gateway: Gateway) -> list[dict[str, Any]]:
    """All messages, the newest first."""
    page = gateway.ask("GET", "/api/messages?limit=200", headers=AS_OPERATOR).json
    return [row["message"] for row in reversed(page["messages"])]


def reach(page: Page) -> dict[str, list[str]]:
    """The lines of who gets it, below each heading."""
    found: dict[str, list[str]] = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.reach h3')].map((head) => [head.textContent.trim(),"
        " [...head.nextElementSibling.children].map((line) => line.innerText.replace(/\\s+/g, ' ').trim())]))"
    )
    return found


def test_the_composer_is_one_line_until_it_is_used(window: Window) -> None:
    page = window.open("/ui/")
    expect(page.locator(".composer.line")).to_contain_text("a session, @workers, @all")
    expect(page.locator(TEXT)).to_have_count(0)
    page.click(".composer.line")
    # All mail has no receiver of its own.
    expect(page.locator(TO)).to_be_focused()
    expect(page.locator(".token")).to_have_count(0)


def test_it_says_who_gets_the_message_and_when(window: Window, window_gateway: Gateway, team: Team) -> None:
    team.sign("ben", "working")
    team.sign("dee", "waiting", "question")
    team.sign("cid", "idle")
    page = window.open("/ui/")
    write(page, "@workers", "lead", text="Release freeze.")
    expect(page.locator(".reach h2")).to_have_text("Reaches 8 of 8")
    expect(page.locator(".send")).to_contain_text("Send to 8")
    found = reach(page)
    assert list(found) == ["Now", "Later"]
    assert found["Now"] == ["ben after its next tool call"]
    assert "dee when you answer it" in found["Later"]
    assert "cid at its next prompt" in found["Later"]
    # Nothing is sent by that.
    assert said(window_gateway) == []
    page.click(".send")
    expect(page.locator(".composer.line")).to_contain_text("Sent to 8.")
    [message] = said(window_gateway)
    assert message["audience"] == {"to": ["@workers", team.ids["lead"]], "size": 8}


def test_the_reach_follows_the_states(window: Window, team: Team) -> None:
    page = window.open("/ui/")
    write(page, "ben")
    expect(page.locator(".reach h3")).to_have_text("Later")
    team.sign("ben", "working")
    expect(page.locator(".reach h3")).to_have_text("Now")


def test_a_large_audience_is_confirmed(window: Window, window_gateway: Gateway, team: Team) -> None:
    for number in range(8):
        team.office.session(f"w{number}", project="shop")
    page = window.open("/ui/")
    write(page, "@all", text="To all of you.")
    expect(page.locator(".send")).to_contain_text("Send to 16")
    # This many names are folded into counts.
    expect(page.locator(".reach summary")).to_contain_text("16")
    page.click(".send")
    expect(page.locator(".sure")).to_contain_text("16 sessions")
    assert said(window_gateway) == []
    page.click(".send")
    expect(page.locator(".composer.line")).to_contain_text("Sent to 16.")
    assert len(said(window_gateway)) == 1


def test_a_refusal_is_shown_and_the_text_stays(window: Window, window_gateway: Gateway) -> None:
    page = window.open("/ui/")
    long = "x" * 10_001
    write(page, "ann", text=long)
    page.click(".send")
    expect(page.locator(".composer .refusal")).to_contain_text("10,001")
    expect(page.locator(".composer .refusal")).to_contain_text("10,000")
    assert page.input_value(TEXT) == long
    assert said(window_gateway) == []
    page.fill(TEXT, "Shorter.")
    page.click(".send")
    expect(page.locator(".composer.line")).to_contain_text("Sent to ann.")


def test_an_unknown_receiver_is_refused_in_the_brokers_words(window: Window) -> None:
    page = window.open("/ui/")
    write(page, "zoe", text="Are you there?")
    expect(page.locator(".reach .fail")).to_contain_text("zoe")
    page.click(".send")
    expect(page.locator(".composer .refusal")).to_contain_text("zoe")
    assert page.input_value(TEXT) == "Are you there?"


def test_a_receiver_that_refuses_is_named_after_the_send(window: Window, window_gateway: Gateway, team: Team) -> None:
    page = window.open("/ui/")
    write(page, "ann", "ben", text="To both.")
    expect(page.locator(".reach h2")).to_have_text("Reaches 2 of 2")
    gateway = window_gateway
    assert gateway.ask("PATCH", f"/api/sessions/{team.ids['ben']}", {"status": "completed"}).status == 200
    expect(page.locator(".reach h2")).to_have_text("Reaches 1 of 2")
    assert any("ben" in line for line in reach(page)["Not reached"])
    page.click(".send")
    expect(page.locator(".composer.line")).to_contain_text("Sent to 1 of 2. Not to ben")


def test_a_file_is_attached_and_received(window: Window, window_gateway: Gateway, team: Team, tmp_path: Path) -> None:
    content = b"--- a/cart.py\n+++ b/cart.py\n" * 40_000
    patch = tmp_path / "cart fix.patch"
    patch.write_bytes(content)
    page = window.open("/ui/")
    write(page, "ann", text="The fix.")
    page.set_input_files(".composer input[type=file]", patch)
    expect(page.locator(".uploads")).to_contain_text("cart fix.patch")
    expect(page.locator(".uploads progress")).to_have_count(0)
    page.click(".send")
    expect(page.locator(".composer.line")).to_contain_text("Sent to ann.")
    [message] = said(window_gateway)
    [attached] = message["attachments"]
    assert (attached["size"], attached["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    path = f"/api/messages/{message['id']}/attachments/{attached['name'].replace(' ', '%20')}"
    assert window_gateway.ask("GET", path, headers=AS_OPERATOR).body == content


def test_a_file_that_is_too_large_is_refused_with_both_numbers(window: Window, tmp_path: Path) -> None:
    large = tmp_path / "dump.bin"
    with large.open("wb") as file:
        file.truncate((10 << 20) + 1)
    page = window.open("/ui/")
    write(page, "ann", text="Too large.")
    page.set_input_files(".composer input[type=file]", large)
    expect(page.locator(".uploads .fail")).to_contain_text("one file may have 10 MiB")
    page.get_by_label("Take dump.bin off").click()
    expect(page.locator(".uploads")).to_have_count(0)


def test_a_draft_is_kept_for_each_address_of_the_tab(window: Window) -> None:
    page = window.open("/ui/")
    write(page, "ann", text="Half a thought")
    page.keyboard.press("Escape")
    expect(page.locator(".composer.line")).to_contain_text("Draft: Half a thought")
    page.goto(window.url.rstrip("/") + "/ui/inbox")
    expect(page.locator(".composer.line")).to_contain_text("a session, @workers, @all")
    page.goto(window.url.rstrip("/") + "/ui/")
    page.click(".composer.line")
    assert page.input_value(TEXT) == "Half a thought"
    expect(page.locator(".token")).to_have_text("ann")


def test_a_session_and_a_group_are_the_receivers_of_their_pages(window: Window, team: Team) -> None:
    team.work()
    page = window.open(f"/ui/s/{team.ids['ben']}")
    expect(page.locator(".composer.line")).to_contain_text("reaches it after its next tool call")
    page.click(".composer.line")
    expect(page.locator(TEXT)).to_be_focused()
    expect(page.locator(".token")).to_have_text("ben")
    window.open("/ui/g/reviews")
    page.keyboard.press("c")
    expect(page.locator(".token")).to_have_text("@reviews")
    expect(page.locator(".send")).to_contain_text("Send to 3")


def test_nothing_is_sent_while_the_page_is_not_connected(window: Window, window_gateway: Gateway) -> None:
    page = window.open("/ui/")
    write(page, "ann", text="Before the break.")
    window_gateway.kill()
    expect(page.locator(".send")).to_be_disabled()
    expect(page.locator(".composer")).to_contain_text("What you type is kept here")
    page.fill(TEXT, "Written while the page was alone.")
    page.keyboard.press("Control+Enter")
    assert page.input_value(TEXT) == "Written while the page was alone."
    window.problems.clear()  # the browser says of each attempt that it was refused


def test_the_keyboard_alone_leads_from_the_list_to_a_sent_reply(
    window: Window, window_gateway: Gateway, team: Team
) -> None:
    asked = team.work()["force"]
    page = window.open("/ui/")
    row = page.locator(f"[data-row='{asked}']")
    for _ in range(20):
        if row.evaluate("row => row.contains(document.activeElement)"):
            break
        page.keyboard.press("k")
    else:
        raise AssertionError("k does not come to the row")
    page.keyboard.press("Enter")
    expect(page.locator("aside.pane")).to_contain_text("force-push")
    page.keyboard.press("r")
    expect(page.locator(TEXT)).to_be_focused()
    expect(page.locator(".token")).to_have_text("ben")
    page.keyboard.type("Yes, force-push it.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".composer.line")).to_contain_text("Sent to ben.")
    answer = said(window_gateway)[0]
    assert (answer["message"], answer["to"]) == ("Yes, force-push it.", team.ids["ben"])
    assert answer["metadata"]["inReplyTo"] == asked
    # The list goes on where it was.
    eventually(lambda: row.count() == 1, "the row is there")
    page.keyboard.press("Escape")
    expect(page.locator("aside.pane")).to_have_count(0)


def test_names_groups_and_audiences_are_completed(window: Window, team: Team) -> None:
    team.work()
    page = window.open("/ui/")
    page.keyboard.press("c")
    expect(page.locator(TO)).to_be_focused()
    page.keyboard.type("@re")
    options = page.locator("[role=option]")
    expect(options).to_have_count(1)
    expect(options).to_contain_text("@reviews")
    page.keyboard.press("Tab")
    page.keyboard.type("e")
    expect(options).to_have_text(re.compile("eva"))
    page.keyboard.press("Enter")
    expect(page.locator(".token")).to_have_text(["@reviews", "eva"])
    page.keyboard.press("Backspace")
    expect(page.locator(".token")).to_have_text(["@reviews"])


def test_tab_leads_from_the_addresses_to_the_text(window: Window) -> None:
    page = window.open("/ui/")
    page.keyboard.press("c")
    expect(page.locator(TO)).to_be_focused()
    page.keyboard.type("ann")
    page.keyboard.press("Enter")
    expect(page.locator(".token")).to_have_text(["ann"])
    page.keyboard.press("Tab")
    page.keyboard.type("just typed")
    expect(page.locator(TEXT)).to_have_value("just typed")


def test_what_was_sent_stands_alone_in_the_line(window: Window) -> None:
    page = window.open("/ui/")
    write(page, "ann", text="Hello.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".composer.line")).to_have_text(re.compile(r"^\s*Sent to ann\.\s*c\s*$"))
