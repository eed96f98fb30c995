"""Window: the page in Chromium with many messages: its first rows, one more row, a search, and what the CLI sends.

Rule: each time is taken in the page, until its rows are laid out. A command's time has its whole process in it, and
beside it stands what passed after the broker had accepted the message.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from bench.findings import Table
from maestro_clients.processes import gateway_process
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
    if shutil.which("chromium") is None:
        bench.row("the page", "not measured", "apt-get install chromium")
        return
    names = [f"win_{number}" for number in range(SESSIONS)]
    with bench.client() as operator:
        for name in names:
            operator.start_session(name, role="orchestrator")
    fill(bench, names)
    url = gateway_process.start(bench.data, bench.environ, host="127.0.0.1", port=0)
    times: dict[str, list[float]] = {}
    try:
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
