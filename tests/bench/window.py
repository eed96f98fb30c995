"""Window: the page with many messages: what it asks for at first, and in Chromium its first rows, one more row, a
search, and what the CLI sends.

Rule: the calls are the page's own, over one connection, right after a start of the broker and again. Each time of
the page is taken in it, until its rows are laid out. A command's time has its whole process in it, and beside it
stands what passed after the broker had accepted the message.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bench.findings import Table
from maestro_clients.processes import broker_process, gateway_process
from maestro_clients.protocol.new_ids import new_message_id
from support.browser import CLOCK, Chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from bench.run import Bench
    from maestro_schemas.documents import OutgoingDoc

SESSIONS = 8
BAR_MS = 300.0
APPEND_BAR_MS = 8.0
ROUNDS = 20
# What the page asks for before its first rows, and right after them.
CALLS = (
    "/api/messages?limit=1",
    "/api/messages?limit=200&counts=true",
    "/api/sessions?active=true",
    "/api/groups?members=true",
    "/api/messages?session=operator&limit=200",
    "/api/presence",
    "/api/status",
)
_WORDS = ("build", "cart", "rounding", "review", "release", "fixture", "branch", "price", "border", "refund")
_MARK_TYPED = "addEventListener('input', () => performance.mark('typed'), true)"
_LISTEN = """async () => {
  const {app} = await import('/web/ui/app.js');
  window.accepted = {};
  app.on('message', ({message}) => (window.accepted[message.id] = message.createdAt));
}"""
_ROWS_AT = "performance.timeOrigin + performance.getEntriesByName('rows').at(-1).startTime"


def window(bench: Bench, rounds: int = ROUNDS) -> None:
    """All figures."""
    names = [f"win_{number}" for number in range(SESSIONS)]
    with bench.client() as operator:
        for name in names:
            operator.start_session(name, role="orchestrator")
    fill(bench, names)
    bench.stop()
    bench.endpoints = broker_process.ensure(bench.data, bench.environ, autostart=True)
    url = gateway_process.start(bench.data, bench.environ, host="127.0.0.1", port=0)
    times: dict[str, list[float]] = {}
    try:
        _first_calls(bench, url, rounds)
        if shutil.which("chromium") is None:
            bench.row("the page", "not measured", "apt-get install chromium")
            return
        with Chromium() as chromium:
            opened = chromium.window(url)
            opened.page.add_init_script(CLOCK)
            opened.page.add_init_script(_MARK_TYPED)
            for _ in range(rounds):
                page = opened.open()
                page.wait_for_selector("[data-row]")
                times.setdefault("first rows, from the address", []).append(_mark(page, "rows"))
                since_answer = page.evaluate("performance.measure('first', 'answer', 'rows').duration")
                times.setdefault("first rows, from the answer", []).append(since_answer)
            times |= _sends(bench, opened.page, names, rounds)
            times |= {"a search, from the last letter to its rows": _searches(opened.page, rounds)}
            if opened.problems:
                raise RuntimeError(f"the page did wrong: {opened.problems}")
    finally:
        gateway_process.stop(bench.data)
    rows: list[list[Any]] = []
    for what, found in times.items():
        bar = APPEND_BAR_MS if what.startswith("one more row") else BAR_MS
        median, most = statistics.median(found), max(found)
        bench.row(f"page: {what}", f"{median:.1f} ms", f"median of {len(found)}, at most {most:.1f}; bar {bar:g}")
        bench.figures[f"page_{what.replace(',', '').replace(' ', '_')}_ms"] = median
        rows.append([what, median, most, bar])
    title = f"The page with {bench.messages:,} messages, in Chromium"
    bench.findings.add(Table("window", title, ["what", "median, ms", "at most, ms", "bar, ms"], rows))


def _first_calls(bench: Bench, url: str, rounds: int) -> None:
    """One after the other, which takes longer than the page's own way, side by side."""
    times: dict[str, list[float]] = {call: [] for call in CALLS}
    lengths: dict[str, int] = {}
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)) as connection:
        for call in CALLS * (rounds + 1):
            began = time.perf_counter()
            connection.request("GET", call, headers={"X-Session-ID": "operator"})
            answer = connection.getresponse()
            body = answer.read()
            times[call].append((time.perf_counter() - began) * 1_000)
            lengths[call] = len(body)
            if answer.status != http.client.OK:
                raise RuntimeError(f"{call}: the gateway answered {answer.status} {json.loads(body)}")
    cold = {call: found[0] for call, found in times.items()}
    warm = {call: statistics.median(found[1:]) for call, found in times.items()}
    bench.figures |= {"page_calls_cold_ms": sum(cold.values()), "page_calls_warm_ms": sum(warm.values())}
    bench.row(
        f"page: its first {len(CALLS)} calls, cold / warm",
        f"{sum(cold.values()):.1f} / {sum(warm.values()):.1f} ms",
        f"{bench.messages:,} messages stored, one call after the other; bar {BAR_MS:g}",
    )
    rows: list[list[Any]] = [[call, lengths[call], cold[call], warm[call]] for call in CALLS]
    rows.append(["in all", sum(lengths.values()), sum(cold.values()), sum(warm.values())])
    title = f"What the page asks for at first, with {bench.messages:,} messages stored"
    text = f"Cold: right after a start of the broker and the gateway. Warm: medians of {rounds}. Bar: {BAR_MS:g} ms."
    bench.findings.add(Table("window", title, ["call", "bytes", "cold, ms", "warm, ms"], rows, text))


def fill(bench: Bench, names: list[str]) -> None:
    """Send the messages of all sessions to each other, and wait until they are files."""
    for place, name in enumerate(names):
        outgoing: list[OutgoingDoc] = [
            {
                "id": new_message_id(),
                "to": names[(place + 1) % len(names)],
                "message": f"{number}: the {_WORDS[number % 10]} of `shop/{_WORDS[number // 10 % 10]}` waits for "
                f"**{_WORDS[number // 100 % 10]}**; 30 of 41 s are the fixtures.",
            }
            for number in range(place, bench.messages, len(names))
        ]
        with bench.client(name) as client:
            if any("error" in result for result in client.pipeline(outgoing, in_flight=64, batch=64)):
                raise RuntimeError("a message was refused")
    with bench.client() as operator:
        while operator.stats()["filingBacklog"]:
            time.sleep(0.05)


def _mark(page: Page, name: str) -> float:
    return float(page.evaluate(f"performance.getEntriesByName('{name}').at(-1).startTime"))


def _sends(bench: Bench, page: Page, names: list[str], rounds: int) -> dict[str, list[float]]:
    """What the CLI sends: the frame that adds its row, and when the row was there."""
    maestro = os.path.join(os.path.dirname(sys.executable), "maestro")
    environ = {**bench.environ, "MAESTRO_SESSION_ID": names[0]}
    page.evaluate(_LISTEN)
    frames, accepted, whole = [], [], []
    for number in range(rounds):
        page.evaluate("window.frames_ms = []")
        text = f"the CLI says {number}"
        began = time.time() * 1000
        command = [maestro, "send", "--to", names[1], "--message", text]
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
        page.get_by_text(text, exact=True).wait_for()
        shown = page.evaluate(_ROWS_AT)
        whole.append(shown - began)
        accepted.append(shown - page.evaluate("Object.values(window.accepted).at(-1)"))
        frames.append(max(page.evaluate("window.frames_ms")))
    return {
        "one more row, the work of its frame": frames,
        "`maestro send`, from acceptance to its row": accepted,
        "`maestro send`, from its start to its row": whole,
    }


def _searches(page: Page, rounds: int) -> list[float]:
    page.goto(page.url.partition("/ui/")[0] + "/ui/search")
    times = []
    for number in range(rounds + 1):
        page.fill("#search", "")
        page.wait_for_selector(".found [data-row]", state="detached")
        page.fill("#search", f"{_WORDS[number % 10]} from:win_{number % SESSIONS}")
        page.wait_for_selector(".found [data-row]")
        if number:  # the first one starts the index
            times.append(float(page.evaluate("performance.measure('search', 'typed', 'rows').duration")))
    return times
