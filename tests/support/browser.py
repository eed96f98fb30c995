"""Browser: the system's Chromium on the page of a test's gateway.

Rule: it is the real browser, without a profile of its own, and it ends with the test. What the page does that it must
not do is kept: console errors, violations of the Content Security Policy, and requests to another origin.
"""

from __future__ import annotations

import os
import shutil
import urllib.parse
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from . import components

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from playwright.sync_api import BrowserContext, Page

    from .gateways import Gateway

SIZES = {"wide": (1280, 800), "picture": (1200, 700), "half": (720, 800), "narrow": (360, 740)}
# A page is drawn when its root says so.
READY = "html[data-ready]"
WAIT_MS = 15_000
# Notes when the answer with the messages was there, when their rows were laid out, and how long each frame works.
CLOCK = """
const json = Response.prototype.json;
Response.prototype.json = async function () {
  const value = await json.call(this);
  if (value.messages?.length > 1) performance.mark("answer");
  return value;
};
window.frames_ms = [];
const frame = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (then) => frame((at) => {
  const rows = document.querySelectorAll("[data-row]").length, began = performance.now();
  then(at);
  document.querySelector(".scroll")?.scrollHeight;
  if (document.querySelectorAll("[data-row]").length === rows) return;
  performance.mark("rows");
  window.frames_ms.push(performance.now() - began);
});
"""


class Chromium:
    """A browser process, used with `with`. `window` opens a page."""

    def __init__(self) -> None:
        program = shutil.which("chromium")
        if program is None:
            components.missing("chromium is not installed (apt-get install chromium)")
        self._driver = sync_playwright().start()
        # Chromium's own sandbox takes a user other than root, or privileges that containers lack.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._browser = self._driver.chromium.launch(executable_path=program, args=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        self._browser.close()
        self._driver.stop()

    def window(
        self,
        gateway: Gateway | str,
        *,
        size: str = "wide",
        dark: bool = False,
        still: bool = False,
        zone: str = "UTC",
    ) -> Window:
        """A page on a gateway. `size`: a key of SIZES. `still`: the person wants no motion."""
        width, height = SIZES[size]
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if still else "no-preference",
            timezone_id="UTC",
            locale="en-GB",
        )
        context.set_default_timeout(WAIT_MS)
        return Window(context, gateway if isinstance(gateway, str) else gateway.url)


class Window:
    """One page with what it did wrong: `problems`. `page` is playwright's."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.page: Page = context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self._note(f"{said.type}: {said.text}", bad=said.type == "error"))
        self.page.on("pageerror", lambda error: self._note(f"error: {error}", bad=True))
        self.page.on("request", lambda request: self._asked(request.url))

    def open(self, path: str = "/ui/") -> Page:
        """Go to a path of the page, and wait until it is drawn."""
        self.page.goto(self.url.rstrip("/") + path)
        self.page.wait_for_selector(READY, state="attached")
        return self.page

    def close(self) -> None:
        """Close the page."""
        self.context.close()

    def _note(self, what: str, *, bad: bool) -> None:
        if bad:
            self.problems.append(what)

    def _asked(self, url: str) -> None:
        self.requests.append(url)
        asked, own = urllib.parse.urlsplit(url), urllib.parse.urlsplit(self.url)
        if asked.netloc != own.netloc:
            self.problems.append(f"a request left the origin: {url}")
