"""The page's login in a real browser: the file that opens it, the code, the tab that keeps it, what is refused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from maestro_clients.processes import login_codes
from support.gateways import WITHOUT_OWNERS, Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.browser import Chromium, Window
    from support.team import Team


@pytest.fixture
def far(team: Team) -> Iterator[Gateway]:
    """A gateway whose kernel does not say who has connected."""
    with Gateway(team.office, first=WITHOUT_OWNERS) as gateway:
        yield gateway


def code(team: Team, rights: login_codes.Rights = "full") -> str:
    return login_codes.issue(team.office.data, rights, time.time_ns() // 1_000_000)


def drawn(window: Window) -> str:
    window.page.wait_for_selector("html[data-ready]", state="attached")
    return window.page.inner_text("body")


def asked(window: Window) -> list[str]:
    """What the page asked the gateway for, without the gateway's address."""
    return [url.removeprefix(window.url) for url in window.requests if url.startswith("http")]


def test_the_file_of_maestro_ui_leads_to_the_page_and_its_code_leaves_the_address(
    chromium: Chromium, team: Team, far: Gateway
) -> None:
    made = code(team)
    path = login_codes.redirect(team.office.data, made, f"{far.url}/ui/#code={made}")
    window = chromium.window(far)
    try:
        window.page.goto(f"file://{path}")
        window.page.wait_for_url(f"{far.url}/ui/**")
        assert "needs a login" not in drawn(window)
        assert window.page.url == f"{far.url}/ui/", "the code is in no address and no history"
        assert not any(made in url for url in asked(window))
        # The tab keeps its login over a reload; the code is used up.
        window.page.reload()
        assert "needs a login" not in drawn(window)
        kept = window.page.evaluate("[...Object.values(sessionStorage), ...Object.values(localStorage)].join(' ')")
        assert made not in kept
        assert window.page.evaluate("document.cookie") == ""
        assert not [url for url in asked(window) if "ui_" in url], "a token is in no address"
    finally:
        window.close()
    other = chromium.window(far)
    try:
        other.page.goto(f"{far.url}/ui/#code={made}")
        assert "needs a login" in drawn(other)
        assert "was used before" in drawn(other)
    finally:
        other.close()


def test_without_a_login_the_page_says_what_to_run(chromium: Chromium, far: Gateway) -> None:
    window = chromium.window(far)
    try:
        window.page.goto(f"{far.url}/ui/s/ann")
        text = drawn(window)
        assert "needs a login" in text
        assert "maestro ui" in text
    finally:
        window.close()


def test_with_a_login_its_events_come(chromium: Chromium, team: Team, far: Gateway) -> None:
    """The policy lets the page's own WebSocket through, and the first frame says who it is."""
    window = chromium.window(far)
    try:
        window.page.goto(f"{far.url}/ui/#code={code(team)}")
        drawn(window)
        team.post("lead", "ann", "hello by the socket")
        window.page.get_by_text("hello by the socket").first.wait_for()
        assert window.problems == []
    finally:
        window.close()


def test_a_page_that_only_shows_is_refused_each_change(
    chromium: Chromium, team: Team, window_gateway: Gateway
) -> None:
    window = chromium.window(window_gateway)
    try:
        window.page.goto(f"{window_gateway.url}/ui/#code={code(team, 'view')}")
        drawn(window)
        said = window.page.evaluate(
            """async () => {
              const token = Object.values(sessionStorage).find((value) => value.startsWith("ui_"));
              const headers = {"X-Session-ID": "operator", "Content-Type": "application/json"};
              headers.Authorization = `Bearer ${token}`;
              const body = JSON.stringify({to: "ann", message: "hello"});
              const answer = await fetch("/api/messages", {method: "POST", headers, body});
              return (await answer.json()).code;
            }"""
        )
        assert said == "VIEW_ONLY"
    finally:
        window.close()


def test_a_page_of_another_origin_has_no_hold_on_it(chromium: Chromium, team: Team, window_gateway: Gateway) -> None:
    """Another gateway's page stands for any other server of this machine."""
    from support.post_office import scratch

    office = scratch()
    try:
        office.start()
        with Gateway(office) as other:
            window = chromium.window(other)
            try:
                window.page.goto(f"{other.url}/docs")
                own = window_gateway.url
                assert (
                    window.page.evaluate("(url) => fetch(url).then(() => 'read', () => 'refused')", own) == "refused"
                )
                opened = window.page.evaluate(
                    "(url) => { const w = window.open(url); return w === null ? 'none' : String(w.closed); }",
                    f"{own}/ui/",
                )
                assert opened in ("none", "false", "true")
            finally:
                window.close()
            # In no frame, whatever the page around it allows.
            window = chromium.window(other)
            try:
                window.page.goto("about:blank")
                window.page.set_content(f'<iframe src="{own}/ui/"></iframe>')
                frame = window.page.frames[-1]
                frame.wait_for_load_state()
                assert frame.query_selector("#app") is None
            finally:
                window.close()
    finally:
        office.close()


# Each throws in the page's own code: the browser takes no text for markup or for code.
_HOLES = (
    "document.body.innerHTML = '<img src=x onerror=window.ran=1>'",
    "document.body.setAttribute('onclick', 'window.ran = 1')",
    "document.createElement('script').text = 'window.ran = 1'",
    "trustedTypes.createPolicy('mine', {})",
)


def test_text_becomes_no_code_whatever_hole_the_page_has(chromium: Chromium, window_gateway: Gateway) -> None:
    window = chromium.window(window_gateway)
    try:
        page = window.open()
        for hole in _HOLES:
            said = page.evaluate(
                f"() => {{ try {{ {hole}; return 'taken'; }} catch (error) {{ return error.name; }} }}"
            )
            assert said == "TypeError", hole
        assert page.evaluate("() => window.ran ?? 'never'") == "never"
        elsewhere = "http://127.0.0.1:9/"
        assert page.evaluate("(url) => fetch(url).then(() => 'left', () => 'refused')", elsewhere) == "refused"
    finally:
        window.close()
