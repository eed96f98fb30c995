"""The stats and the health: the figures are those of the REST answer, and dead letters can be sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.browser import Chromium, Window
    from support.gateways import Gateway
    from support.team import Team

AS_OPERATOR = {"X-Session-ID": "operator"}


@pytest.fixture
def window(chromium: Chromium, window_gateway: Gateway, team: Team) -> Iterator[Window]:
    window = chromium.window(window_gateway, still=True)
    yield window
    assert window.problems == []
    window.close()


def asked(gateway: Gateway, path: str) -> Any:
    """A JSON answer for the operator."""
    got = gateway.ask("GET", path, headers=AS_OPERATOR)
    assert got.status == 200, got.body
    return got.json


def letters(gateway: Gateway, session: str) -> list[str]:
    """The ids of the messages to a session."""
    return [row["message"]["id"] for row in asked(gateway, f"/api/messages?with={session}")["messages"]]


def figures(window: Window) -> dict[str, str]:
    """What stands below each word."""
    return {
        figure.locator("dt").inner_text(): figure.locator("dd").inner_text()
        for figure in window.page.locator(".figures > div").all()
    }


def test_the_figures_are_those_of_the_answer(window: Window, window_gateway: Gateway, team: Team) -> None:
    team.work()
    # The answer to the page's own request: a later one is of another time.
    with window.page.expect_response("**/api/stats?*") as got:
        page = window.open("/ui/stats")
    answer = got.value.json()
    assert answer["volume"] == asked(window_gateway, "/api/stats")["volume"]
    volume, outcome = answer["volume"], answer["outcome"]
    shown = figures(window)
    assert shown["sent"] == str(volume["sent"])
    assert shown[f"deliveries, {volume['deliveries'] / volume['sent']:.1f} a send"] == str(volume["deliveries"])
    assert shown["waiting to be shown"] == str(outcome["pending"])
    assert shown["refused"] == str(outcome["refused"])
    assert shown["requests answered by reply"] == f"{answer['requestsAnswered']} of {answer['requests']}"
    rate = f"{100 * outcome['deliverySuccessRate']:.1f}".removesuffix(".0")
    assert shown["delivery success rate"] == f"{rate} %"
    assert shown["average response time"].endswith(" s")
    # The chart and its table say the same.
    drawn = page.locator(".bars title").all_inner_texts()
    assert len(drawn) == len(answer["series"])
    page.click("text=as a table")
    counts = [int(cell) for cell in page.locator("table.narrow td:nth-child(2)").all_inner_texts()]
    assert counts == [entry["sent"] for entry in answer["series"]]
    assert sum(counts) == volume["sent"]


def test_the_figures_stand_in_one_line_and_no_letters_touch(window: Window, team: Team) -> None:
    team.work()
    page = window.open("/ui/stats")
    # The tops of the figures, and for each two neighbours among the labels of the axis the space between them.
    tops = page.eval_on_selector_all(".figures > div", "all => all.map((each) => each.getBoundingClientRect().top)")
    assert len(tops) == 8
    assert len(set(tops)) == 1
    spaces = """all => all.map((each) => each.getBoundingClientRect()).filter(({ width }) => width)
      .map(({ left }, at, boxes) => at ? left - boxes[at - 1].right : 99)"""
    for width in (1280, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert min(page.eval_on_selector_all(".times thead .axis", spaces)) >= 4, width


def test_routes_pairs_and_open_requests_are_listed(window: Window, window_gateway: Gateway, team: Team) -> None:
    said = team.work()
    page = window.open("/ui/stats")
    answer = asked(window_gateway, "/api/stats")
    names = {session: name for name, session in team.ids.items()} | {"operator": "you"}
    routes = page.locator("section", has_text="Routes").locator("tbody tr")
    expect(routes).to_have_count(min(10, len(answer["routes"])))
    first = answer["routes"][0]
    expect(routes.first).to_contain_text(str(first["deliveries"]))
    pairs = page.locator("section", has=page.get_by_role("heading", name="Who works with whom")).locator("tbody tr")
    expect(pairs.first).to_contain_text(names[answer["pairs"][0]["first"]])
    waiting = page.locator("section", has_text="Requests without an answer")
    expect(waiting.locator("li")).to_have_count(min(10, len(answer["unanswered"])))
    waiting.locator(f"a[href='/ui/m/{said['force']}']").click()
    page.wait_for_url("**/ui/m/*")


def test_another_time_is_another_address(window: Window, team: Team) -> None:
    team.work()
    page = window.open("/ui/stats")
    page.click(".periods >> text=7 d")
    expect(page.locator(".sheet h2").first).to_have_text("Mail a day")
    assert page.url.endswith("?t=7d")


def test_no_mail_is_said(window: Window) -> None:
    page = window.open("/ui/stats")
    expect(page.locator(".sheet")).to_contain_text("No mail in this time.")


def test_the_health_shows_limits_checks_and_mail_that_is_not_shown(
    window: Window, window_gateway: Gateway, team: Team
) -> None:
    team.work()
    page = window.open("/ui/health")
    presence = asked(window_gateway, "/api/presence")["presence"]
    unread = {known["session"]: known["unread"] for known in presence if known.get("unread")}
    rows = page.locator("section", has_text="Mail not shown yet").locator("tbody tr")
    expect(rows).to_have_count(len(unread))
    assert {row.locator("th").inner_text(): int(row.locator("td").first.inner_text()) for row in rows.all()} == unread
    expect(page.locator(".checks", has_text="broker")).to_contain_text(f"pid {team.office.pid}")
    expect(page.locator("section", has_text="Limits")).to_contain_text("8 of 10,000")
    expect(page.locator(".sheet h2").first).to_have_text("Nothing needs you")


def test_a_full_mailbox_needs_the_person(chromium: Chromium, post_office: Any, agent_pid: int) -> None:
    from support.gateways import Gateway
    from support.team import Team

    post_office.start(pending_max=2, fanout_limit=0, group_limit=0)
    team = Team(post_office, agent_pid)
    team.gather()
    for number in range(2):
        team.post("lead", "gus", f"Number {number}")
    with Gateway(post_office) as gateway:
        window = chromium.window(gateway, still=True)
        page = window.open("/ui/health")
        expect(page.locator(".sheet h2").first).to_have_text("1 thing needs you")
        expect(page.locator(".needs")).to_contain_text("mailbox of gus")
        expect(page.locator(".needs")).to_contain_text("Full: 2 undelivered messages, the limit.")
        expect(page.locator("tr.fail")).to_contain_text("2 of 2")
        assert window.problems == []
        window.close()
    team.close()


def test_a_dead_letter_is_sent_again(window: Window, window_gateway: Gateway, team: Team) -> None:
    sent = window_gateway.ask(
        "POST",
        "/api/messages",
        {"to": team.ids["fay"], "message": "Please rebase `shop/labels`.", "ttlMs": 500},
        headers=AS_OPERATOR,
    )
    assert sent.status == 201, sent.body
    eventually(lambda: team.office.status_of(sent.json["id"]) == "expired", "the message has expired")
    page = window.open("/ui/health")
    letter = page.locator(".dead li")
    expect(letter).to_contain_text("Please rebase shop/labels.")
    letter.get_by_role("button", name="Send again").click()
    # It goes out once more under another id, with the same time to live.
    eventually(lambda: len(letters(window_gateway, team.ids["fay"])) == 2, "it was sent again")
    expect(page.locator(".dead")).to_contain_text("Sent again")
