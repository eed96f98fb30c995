"""Pictures: the page's pictures in `docs/pictures`, from the real page with the mail of a morning.

`just pictures` writes them. They are not compared byte by byte: another version of Chromium draws letters
differently. A picture over the limit is an error, since each clone carries it for ever.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time

from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from support import components
from support.browser import Chromium
from support.gateways import Gateway
from support.post_office import scratch
from support.team import SETTINGS, Team
from support.wall_clock import WallClock

DIRECTORY = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 2, "docs", "pictures"))
BYTES_MAX = 150_000
DARK = True
# Name -> path, size, whether it is dark, and the keys to press before.
PICTURES: dict[str, tuple[str, str, bool, str]] = {
    "all": ("/ui/", "picture", not DARK, ""),
    "message": ("/ui/m/{red}", "picture", DARK, ""),
    "thread": ("/ui/t/{red}", "picture", not DARK, ""),
    "inbox": ("/ui/inbox", "narrow", DARK, ""),
    "search": ("/ui/search?q=main", "picture", not DARK, ""),
    "stats": ("/ui/stats", "picture", not DARK, ""),
    "health": ("/ui/health", "picture", DARK, ""),
}


def main() -> int:
    """Write every picture; 1 if one is too large."""
    os.makedirs(DIRECTORY, exist_ok=True)
    office = scratch()
    clock = WallClock(components.faketime_library(), os.path.join(office.root, "wall-clock"))
    office.environ.update(clock.environ)
    # The morning begins at 13:58 of today.
    begin = dt.datetime.now(dt.UTC).replace(hour=13, minute=58, second=0, microsecond=0)
    ahead_s = int(begin.timestamp() - time.time())
    agent = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    too_large = []
    try:
        clock.jump(ahead_s)
        office.start(**SETTINGS)
        team = Team(office, agent.pid, clock, ahead_s)
        team.gather()
        said = team.work()
        with Client(office.router(), Caller(team.ids["lead"])) as lead:
            lead.call("search", {"query": "main"})
        with Gateway(office) as gateway, Chromium() as browser:
            for name, (path, size, dark, keys) in PICTURES.items():
                window = browser.window(gateway, size=size, dark=dark, still=True)
                window.page.clock.set_system_time(dt.datetime.fromtimestamp(time.time() + team.ahead_s, dt.UTC))
                page = window.open(path.format(**said, **team.ids))
                page.wait_for_load_state("networkidle")
                page.mouse.move(1, 1)
                if keys:
                    page.keyboard.press(keys)
                file = os.path.join(DIRECTORY, f"{name}.png")
                page.screenshot(path=file)
                window.close()
                large = os.path.getsize(file) > BYTES_MAX
                too_large += [name] if large else []
                print(f"{os.path.getsize(file):>8,} bytes  {name}{'  too large' if large else ''}")
        team.close()
    finally:
        assert agent.stdin is not None
        agent.stdin.close()
        agent.wait()
        office.close()
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
