"""The page's shell: the connection and its breaks, who waits, the keys, the theme, the layout and the login.

The state is read through the page's own module, as a view reads it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from maestro_clients.processes import login_codes
from support.gateways import WITHOUT_OWNERS, Gateway
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from support.browser import Chromium, Window
    from support.post_office import PostOffice
    from support.team import Team

# Keeps each event of the views in `window.heard`.
LISTEN = """async () => {
  const { app } = await import("/web/ui/app.js");
  window.heard = [];
  for (const name of ["message", "receipt", "reset"])
    app.on(name, (detail) => window.heard.push([name, detail.id ?? "", detail.to ?? "", detail.status ?? ""]));
}"""
STATE = "async (path) => { const { app } = await import('/web/ui/app.js'); return path.split('.').reduce((at, name) => at[name], app.state); }"  # noqa: E501


def heard(page: Page, kind: str = "message") -> list[tuple[str, str]]:
    """(id, receiver) of the events that a view got, in their order."""
    found = page.evaluate("() => window.heard")
    return [(id_, to) for name, id_, to, _ in found if name == kind]


def wait(page: Page, expression: str) -> None:
    """Until it is true. (The driver's own way would evaluate a text in the page, which its policy forbids.)"""
    eventually(lambda: bool(page.evaluate(expression)), expression)


def state(page: Page, path: str) -> Any:
    return page.evaluate(STATE, path)


def roster(page: Page) -> list[str]:
    """The sidebar's lines of the sessions."""
    return page.locator(".side .session").all_inner_texts()


@pytest.fixture
def office(post_office: PostOffice) -> PostOffice:
    """The team's; the gateway starts no broker, so that it stays away until the test starts one."""
    post_office.environ["MAESTRO_AUTOSTART"] = "0"
    return post_office


@pytest.fixture
def window(chromium: Chromium, window_gateway: Gateway) -> Iterator[Window]:
    """A window; at its end it must not have done wrong."""
    made = chromium.window(window_gateway, still=True)
    yield made
    problems = list(made.problems)
    made.close()
    # What a browser says of a connection that was refused is no fault of the page.
    assert [one for one in problems if "ERR_CONNECTION" not in one and "status of 503" not in one] == []


def test_the_sidebar_says_who_is_there_and_who_waits(window: Window, team: Team) -> None:
    said = team.work()
    page = window.open()
    names = [line.split("\n")[0] for line in roster(page)]
    assert names == ["lead", "ann", "ben", "cid", "dee", "eva", "fay", "gus"]
    waits = [text.split("\n")[0].split()[0] for text in page.locator(".side .wait").all_inner_texts()]
    # Stopped agents come before mail.
    assert waits == ["dee", "eva", "ben"]
    assert page.title() == "(3) dee, eva, ben wait · maestro"
    expect(page.locator("link[rel=icon]")).to_have_attribute("href", "/web/ui/icons/favicon-3.svg")
    expect(page.locator('.side a[href="/ui/inbox"] .count')).to_contain_text("2")
    # An answer ends the wait, and nothing else is moved.
    team.post(None, "ben", "Yes.", said["force"])
    wait(page, "document.title === '(2) dee, eva wait · maestro'")
    assert [line.split("\n")[0] for line in roster(page)] == names


def test_the_roster_keeps_its_order_when_states_change(window: Window, team: Team) -> None:
    page = window.open()
    before = [line.split("\n")[0] for line in roster(page)]
    team.sign("gus", "waiting", "question")
    page.wait_for_selector(".side .session.is-waiting")
    assert [line.split("\n")[0] for line in roster(page)] == before
    assert page.title() == "(1) gus waits · maestro"
    team.sign("gus", "working")
    page.wait_for_selector(".side .session.is-working")
    assert page.title() == "All · maestro"


def test_working_and_idle_are_drawn_after_they_held(window: Window, team: Team) -> None:
    """A short idle between two tool calls is not shown; the state knows it at once."""
    team.sign("ann", "working")
    page = window.open()
    page.wait_for_selector(".session.is-working")
    page.evaluate(
        """() => { window.drawn = []; new MutationObserver(() => {
             window.drawn.push(document.querySelectorAll(".session")[1].className); })
             .observe(document.querySelector(".side"), {subtree: true, attributes: true}); }"""
    )
    ann = """async () => { const { app } = await import("/web/ui/app.js");
             return app.state.sessions.get("ann").presence.state; }"""
    team.sign("ann", "idle")
    eventually(lambda: page.evaluate(ann) == "idle", "idle is known")
    team.sign("ann", "working")
    eventually(lambda: page.evaluate(ann) == "working", "working is known")
    # A state that counts for the person is drawn at once, so the first change that is drawn is this one.
    team.sign("ann", "waiting", "question")
    page.wait_for_selector(".session.is-waiting")
    assert [name for name in page.evaluate("() => window.drawn") if "is-idle" in name] == []
    team.sign("ann", "idle")
    page.wait_for_selector(".session.is-idle")


def test_a_message_is_there_within_300_ms(window: Window, team: Team) -> None:
    page = window.open()
    page.evaluate(LISTEN)
    page.evaluate(
        """async () => { const { app } = await import("/web/ui/app.js"); window.delays = [];
             app.on("message", ({message}) => requestAnimationFrame(
               () => window.delays.push(Date.now() - message.createdAt))); }"""
    )
    for number in range(20):
        team.post("ann", "ben", f"Number {number}.")
    wait(page, "window.delays.length === 20")
    delays = sorted(page.evaluate("() => window.delays"))
    print("from acceptance to the frame, ms:", delays)
    assert delays[10] < 300


def test_nothing_is_missed_and_nothing_comes_twice_when_the_broker_is_killed(
    office: PostOffice, window: Window, team: Team
) -> None:
    page = window.open()
    page.evaluate(LISTEN)
    sent: list[tuple[str, str]] = []
    for round_ in range(3):
        sent += [(team.post("ann", "ben", f"{round_}.{number}"), "ben") for number in range(20)]
        office.kill()
        page.wait_for_selector(".bar.lost")
        assert page.title() == "not connected · maestro"
        assert "Not connected since" in page.locator(".bar.lost").inner_text()
        expect(page.locator("link[rel=icon]")).to_have_attribute("href", "/web/ui/icons/favicon-away.svg")
        office.start(fanout_limit=0, group_limit=0)
        sent.append((team.post("ben", "ann", f"after {round_}"), "ann"))
        page.wait_for_selector(".bar.lost", state="detached")
    sent.append((team.post("lead", "operator", "the last"), "operator"))
    eventually(lambda: len(heard(page)) >= len(sent), "every message")
    assert heard(page) == sent
    assert heard(page, "reset") == []


@pytest.mark.parametrize(
    ("path", "there"),
    [("/ui/search?q=ready", ".found .row"), ("/ui/stats", ".sheet dl"), ("/ui/health", ".sheet .halves .checks")],
)
def test_a_page_that_could_not_be_read_is_read_when_the_connection_is_back(
    path: str, there: str, office: PostOffice, window: Window, team: Team
) -> None:
    team.post("ann", "ben", "ready")
    office.kill()
    page = window.open(path)
    page.wait_for_selector(".refusal")
    office.start(fanout_limit=0, group_limit=0)
    page.wait_for_selector(there)
    page.wait_for_selector(".refusal", state="detached")


def test_nothing_is_missed_and_nothing_comes_twice_when_the_gateway_is_killed(chromium: Chromium, team: Team) -> None:
    first = Gateway(team.office)
    url = first.start()
    window = chromium.window(url, still=True)
    page = window.open()
    page.evaluate(LISTEN)
    sent = [(team.post("ann", "ben", str(number)), "ben") for number in range(10)]
    first.kill()
    page.wait_for_selector(".bar.lost")
    sent += [(team.post("ann", "lead", f"meanwhile {number}"), "lead") for number in range(10)]
    with Gateway(team.office, "--port", url.rsplit(":", 1)[1].strip("/")):
        page.wait_for_selector(".bar.lost", state="detached")
        sent.append((team.post("ben", "ann", "after"), "ann"))
        eventually(lambda: len(heard(page)) >= len(sent), "every message")
        assert heard(page) == sent
        assert heard(page, "reset") == []
    window.close()


def test_a_message_to_several_comes_once_for_each(window: Window, team: Team) -> None:
    page = window.open()
    page.evaluate(LISTEN)
    sent = team.post("lead", "@workers", "All of you.")
    eventually(lambda: len(heard(page)) >= 7, "seven deliveries")
    assert sorted(heard(page)) == sorted((sent, name) for name in ("ann", "ben", "cid", "dee", "eva", "fay", "gus"))


def test_many_events_make_few_frames(window: Window, team: Team) -> None:
    page = window.open()
    page.evaluate(LISTEN)
    page.evaluate(
        """() => { window.frames = 0; const count = () => { window.frames += 1; requestAnimationFrame(count); };
             window.draws = 0; new MutationObserver(() => window.draws += 1)
               .observe(document.body, {subtree: true, childList: true, characterData: true});
             requestAnimationFrame(count); }"""
    )
    team.many(1_000)
    eventually(lambda: len(heard(page)) >= 1_000, "all of them", 30)
    assert len(set(heard(page))) == 1_000
    drawn, frames = page.evaluate("() => [window.draws, window.frames]")
    print(f"1,000 events: {drawn} changes of the document in {frames} frames")
    assert drawn <= frames + 1


def test_a_hidden_tab_collects_and_its_title_says_who_waits(window: Window, team: Team) -> None:
    page = window.open()
    # As a hidden tab: no frame comes.
    page.evaluate(
        """() => { window.asked = []; window.requestAnimationFrame = (fn) => window.asked.push(fn);
             Object.defineProperty(document, "hidden", {get: () => true, configurable: true}); }"""
    )
    team.sign("dee", "waiting", "permission:Bash")
    wait(page, "document.title === '(1) dee waits · maestro'")
    team.sign("eva", "waiting", "question")
    wait(page, "document.title === '(2) dee, eva wait · maestro'")
    expect(page.locator(".side .wait")).to_have_count(0)
    assert page.evaluate("() => window.asked.length") == 1
    page.evaluate("() => window.asked[0](performance.now())")
    expect(page.locator(".side .wait")).to_have_count(2)


def test_a_log_that_is_cut_is_said_and_the_lists_are_read_again(chromium: Chromium, team: Team) -> None:
    first = Gateway(team.office)
    url = first.start()
    window = chromium.window(url, still=True)
    page = window.open()
    page.evaluate(LISTEN)
    # The place from which it resumes does not exist yet, as after a restored data directory.
    page.evaluate(
        """() => { const Real = window.WebSocket; let isFirst = true; window.WebSocket = class extends Real {
             constructor(url) { super(isFirst ? url.replace(/since=\\d+/, "since=999999999") : url);
               this.addEventListener("open", () => { isFirst = false; }); } }; }"""
    )
    first.kill()
    page.wait_for_selector(".bar.lost")
    with Gateway(team.office, "--port", url.rsplit(":", 1)[1].strip("/")):
        page.get_by_text("not in the log any more").wait_for()
        assert heard(page, "reset") == [("", "")]
        page.locator(".bar").get_by_role("button", name="Close").click()
        page.wait_for_selector(".bar", state="detached")
        sent = team.post("ann", "ben", "It goes on.")
        eventually(lambda: (sent, "ben") in heard(page), "the stream goes on")
    window.close()


def test_while_it_is_not_connected_the_states_are_grey_and_keep_their_time(
    office: PostOffice, window: Window, team: Team
) -> None:
    team.work()
    page = window.open()
    office.kill()
    page.wait_for_selector(".side-middle.is-stale")
    assert ", at " in page.locator(".waits .side-head").inner_text()
    assert "not connected" in page.locator(".side-foot").inner_text()
    now = state(page, "now")
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    assert state(page, "now") == now
    assert "broker is away" in page.locator(".bar.lost").inner_text()
    expect(page.locator("[role=status]")).to_have_text("Not connected.")


def test_keys_lead_everywhere_and_are_off_while_one_types(window: Window, team: Team) -> None:
    team.work()
    page = window.open()
    for key, path in (
        ("i", "/ui/inbox"),
        ("t", "/ui/threads"),
        ("s", "/ui/stats"),
        ("h", "/ui/health"),
        ("a", "/ui/"),
    ):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"**{path}")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.matches('[data-search]')")
    page.keyboard.type("gi c?")
    assert page.url.endswith("/ui/")
    expect(page.locator("[data-search]")).to_have_value("gi c?")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.activeElement.matches('[data-search]')")
    page.keyboard.press("n")
    page.wait_for_url("**/ui/s/dee")
    page.keyboard.press("n")
    page.wait_for_url("**/ui/s/eva")
    page.keyboard.press("u")
    page.wait_for_url("**/ui/s/dee")


def test_the_list_of_keys_and_their_switch(window: Window, team: Team) -> None:
    page = window.open()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    assert "Reply" in dialog.inner_text()
    dialog.get_by_label("Single keys are on").uncheck()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    page.keyboard.press("g")
    page.keyboard.press("i")
    # `?` is what brings them back, so it stays.
    page.keyboard.press("?")
    dialog.wait_for()
    assert page.url.endswith("/ui/")
    dialog.get_by_label("Single keys are on").check()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    page.keyboard.press("g")
    page.keyboard.press("i")
    page.wait_for_url("**/ui/inbox")


def test_the_theme_follows_the_system_until_one_chooses(window: Window, team: Team) -> None:
    page = window.open()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(ground) == light
    window.open()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(ground) == dark
    assert page.evaluate("localStorage.getItem('maestro.theme')") is None


def test_events_keep_the_focus_and_what_is_selected(window: Window, team: Team) -> None:
    page = window.open()
    page.locator("[data-search]").fill("from:ann")
    page.evaluate("() => document.querySelector('[data-search]').setSelectionRange(2, 5)")
    team.sign("dee", "waiting", "question")
    team.post("ann", "operator", "A question.", type="request")
    wait(page, "document.title.startsWith('(2)')")
    kept = page.evaluate(
        """() => { const it = document.activeElement;
             return [it.matches("[data-search]"), it.value, it.selectionStart, it.selectionEnd]; }"""
    )
    assert kept == [True, "from:ann", 2, 5]


def test_the_first_run_says_what_to_do(chromium: Chromium, post_office: PostOffice) -> None:
    post_office.start()
    with Gateway(post_office) as gateway:
        window = chromium.window(gateway)
        window.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = window.open()
        page.get_by_text("No sessions yet").wait_for()
        page.get_by_role("button", name="Copy the command").first.click()
        page.get_by_text("Copied.").wait_for(state="attached")
        assert page.evaluate("navigator.clipboard.readText()") == "maestro hooks install claude-code"
        # A session that starts ends the first run.
        post_office.session("ann")
        page.get_by_text("No sessions yet").wait_for(state="detached")
        assert window.problems == []
        window.close()


def test_only_one_project_where_one_chooses_it(window: Window, team: Team) -> None:
    team.office.session("zoe", project="other")
    page = window.open()
    assert len(roster(page)) == 9
    page.get_by_label("Project").select_option("other")
    eventually(lambda: [line.split("\n")[0] for line in roster(page)] == ["zoe"], "one session")
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert [line.split("\n")[0] for line in roster(page)] == ["zoe"]


@pytest.mark.parametrize("size", ["wide", "half", "narrow"])
def test_nothing_is_wider_than_the_window(size: str, chromium: Chromium, window_gateway: Gateway, team: Team) -> None:
    long = "a" * 60
    team.office.session(long, project="shop")
    team.work()
    window = chromium.window(window_gateway, size=size, still=True)
    for path in ("/ui/", "/ui/sessions", "/ui/more", "/ui/nothing/here"):
        page = window.open(path)
        wide = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], path
    if size == "narrow":
        tabs = page.locator(".tabs a").all()
        assert [tab.inner_text().split("\n")[-1] for tab in tabs] == ["All", "Sessions", "Inbox", "Search", "More"]
        assert all((box := tab.bounding_box()) and box["height"] >= 44 for tab in tabs)
        assert not page.locator(".side").is_visible()
    assert window.problems == []
    window.close()


@pytest.fixture
def stranger(team: Team) -> Iterator[Gateway]:
    """A gateway whose kernel does not say who has connected: a page needs a login."""
    with Gateway(team.office, first=WITHOUT_OWNERS) as made:
        yield made


def code(team: Team, rights: login_codes.Rights) -> str:
    """As `maestro ui` makes it."""
    return login_codes.issue(team.office.data, rights, time.time_ns() // 1_000_000)


def test_a_code_opens_the_page_once(chromium: Chromium, stranger: Gateway, team: Team) -> None:
    window = chromium.window(stranger)
    address = f"/ui/inbox#code={code(team, 'full')}"
    page = window.open(address)
    page.wait_for_selector(".net.is-live")
    # The code is nowhere in the page's history.
    assert page.url.endswith("/ui/inbox")
    page.evaluate(LISTEN)
    sent = team.post("ann", "operator", "For you.")
    eventually(lambda: heard(page) == [(sent, "operator")], "the events come")
    # The token is this tab's: it outlives a reload, and another tab has none.
    page.reload()
    page.wait_for_selector(".net.is-live")
    other = chromium.window(stranger)
    other.open(address).get_by_text("This page needs a login").wait_for()
    assert other.page.locator("p.fail").inner_text() != ""
    assert other.page.title() == "Login · maestro"
    assert window.problems == []
    window.close()
    other.close()


def test_a_page_that_may_only_show_has_nothing_to_change_with(
    chromium: Chromium, stranger: Gateway, team: Team
) -> None:
    window = chromium.window(stranger)
    page = window.open(f"/ui/#code={code(team, 'view')}")
    page.wait_for_selector(".net.is-live")
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Write")).to_have_count(0)
    expect(page.locator("textarea")).to_have_count(0)
    assert state(page, "compose") is None
    window.close()


def test_a_gateway_that_starts_again_asks_for_a_login_again(chromium: Chromium, team: Team) -> None:
    """Tokens are in the gateway's memory alone."""
    first = Gateway(team.office, first=WITHOUT_OWNERS)
    url = first.start()
    window = chromium.window(url)
    page = window.open(f"/ui/#code={code(team, 'full')}")
    page.wait_for_selector(".net.is-live")
    first.kill()
    page.wait_for_selector(".bar.lost")
    with Gateway(team.office, "--port", url.rsplit(":", 1)[1].strip("/"), first=WITHOUT_OWNERS):
        page.get_by_text("This page needs a login").wait_for()
        assert page.evaluate("sessionStorage.length") == 0
    window.close()
