"""Terminal pictures: what commands look like in a terminal, at several widths, light and dark, as PNG files.

    just terminal OUT_DIR [options] ['maestro who' ...]

A post office with some sessions is made for it. `--sheet` puts several commands under each other in one picture, as
many as can be looked at. `{red}`, `{ann}` and other short names of the team stand for ids. With `--text` nothing is
drawn: the text goes to standard output, and a row that is as wide as the terminal is marked.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias

from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller

from . import terminal_cells
from .browser import Chromium
from .post_office import scratch
from .team import SETTINGS, Team
from .terminal_cells import DARK, LIGHT, Run, width_of
from .tmux_terminal import in_a_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .post_office import PostOffice

# The shell's line, the rows that it left on the terminal, and its exit status.
Shot: TypeAlias = tuple[str, list[list[Run]], int]
SCHEMES = {"light": LIGHT, "dark": DARK}
_COMMANDS = (
    "maestro",
    "maestro who",
    "maestro session list",
    "maestro inbox --unread",
    "maestro log",
    "maestro status",
    "maestro doctor",
    "maestro threads",
    "maestro search main",
    "maestro group list",
    "maestro send --to stranger --message hi",
    "maestro --help",
)
# What a viewer shows without making it smaller.
_SHEET_ROWS = 75
_PROJECTS = ("shop", "billing", "landing-page", "infrastructure", "api-v2")


# --- the post office ----------------------------------------------------------------------------------------


class Seeded:
    """`environ`: of a shell of `lead`, or of the only session; `ids`: short names."""

    def __init__(self, environ: dict[str, str], cwd: str, ids: dict[str, str]) -> None:
        self.environ = environ
        self.cwd = cwd
        self.ids = ids


@contextlib.contextmanager
def seeded(count: int, *, operator: bool = False) -> Iterator[Seeded]:
    """A post office with this many sessions and their mail. `operator`: the shell has no session."""
    office = scratch()
    agent = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        office.start(**SETTINGS)
        team = Team(office, agent.pid)
        ids = _fill(office, team, count)
        me = "" if operator else ids.get("lead", ids.get("shop", ""))
        path = f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', os.defpath)}"
        environ = {**office.environ, "PATH": path, "HOME": office.root, **({"MAESTRO_SESSION_ID": me} if me else {})}
        yield Seeded(environ, office.root, ids)
        team.close()
    finally:
        assert agent.stdin is not None
        agent.stdin.close()
        agent.wait()
        office.close()


def _fill(office: PostOffice, team: Team, count: int) -> dict[str, str]:
    ids: dict[str, str] = {}
    if count >= 8:
        team.gather()
        ids = {**team.work(), **team.ids}
    elif count:
        ids["shop"] = office.session("shop", project="shop")["id"]
        with Client(office.router(), Caller("operator")) as person:
            person.send(ids["shop"], "Welcome. Please look at **issue 12** first.")
    with Client(office.router()) as person:
        for number in range(len(team.ids) or 1, count):
            project = _PROJECTS[number % len(_PROJECTS)]
            name = f"{project}-{number // len(_PROJECTS) + 1}"
            # Their agents were never started, or have a sign of an earlier day.
            person.start_session(name, name=name, role="worker", project_id=project, token=f"tok-{number}")
    return ids


# --- the drawing --------------------------------------------------------------------------------------------


def page_of(shots: list[Shot], columns: int, scheme: str, rows_max: int) -> str:
    """The HTML of a picture: each command with what it left on the terminal, and its exit status if it failed."""
    colours = SCHEMES[scheme]
    body = []
    for line, rows, code in shots:
        body.append(f'<div class="line"><b>$ {html.escape(line)}</b>{f"  [exit {code}]" if code else ""}</div>')
        body += [f"<div class=row>{_html(row, scheme)}</div>" for row in rows[:rows_max]]
        if len(rows) > rows_max:
            body.append(f'<div class="line">... {len(rows) - rows_max} more rows</div>')
    return f"""<!doctype html><meta charset=utf-8><style>
body {{ margin: 0; background: {colours.ground}; color: {colours.text};
  font: 14px/19px "DejaVu Sans Mono", monospace; }}
main {{ width: {columns}ch; padding: 8px; border-right: 1px dotted #8888; box-sizing: content-box; }}
.row {{ position: relative; height: 19px; white-space: pre; }}
.row span {{ position: absolute; top: 0; height: 19px; overflow: visible; unicode-bidi: bidi-override; }}
.line {{ color: #888; margin-top: 10px; white-space: pre-wrap; }}
</style><main>{"".join(body)}</main>"""


def _html(row: list[Run], scheme: str) -> str:
    spans = []
    for run in row:
        style = run.style
        front, behind = SCHEMES[scheme].of_run(run)
        css = f"left:{run.column}ch;width:{run.width}ch;color:{front};"
        css += f"background:{behind};" if behind else ""
        css += "font-weight:bold;" if style.bold else ""
        css += "opacity:.6;" if style.dim else ""
        css += "font-style:italic;" if style.italic else ""
        css += (
            "text-decoration:underline;"
            if style.underline
            else "text-decoration:line-through;"
            if style.strike
            else ""
        )
        spans.append(f'<span style="{css}">{html.escape(run.text)}</span>')
    return "".join(spans)


# --- the run ------------------------------------------------------------------------------------------------


def main() -> int:
    """Draw, and say the paths."""
    options = _options()
    schemes = options.schemes.split(",")
    os.makedirs(options.out, exist_ok=True)
    with contextlib.ExitStack() as stack:
        browser = None if options.text else stack.enter_context(Chromium())
        for count in map(int, options.sessions.split(",")):
            with seeded(count, operator=options.operator) as office:
                for columns in map(int, options.widths.split(",")):
                    shots = [_shot(office, line, columns) for line in options.commands]
                    if browser is None:
                        _print(shots, count, columns)
                        continue
                    for number, group in enumerate(_groups(shots, options.rows, sheet=options.sheet)):
                        name = re.sub(r"\W+", "-", group[0][0]).strip("-")[:40]
                        name = f"sheet{number}" if options.sheet else name
                        for scheme in schemes:
                            path = os.path.join(options.out, f"{name}-{count}s-{columns}c-{scheme}.png")
                            _draw(browser, page_of(group, columns, scheme, options.rows), path)
                            print(path)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="a directory for the pictures")
    parser.add_argument(
        "commands", nargs="*", default=list(_COMMANDS), help="shell lines; default: the everyday ones"
    )
    parser.add_argument("--sessions", default="12", help="numbers of sessions, such as 1,12,200")
    parser.add_argument("--widths", default="40,80,200", help="columns of the terminal")
    parser.add_argument("--schemes", default="light,dark")
    parser.add_argument("--rows", type=int, default=60, help="rows of each command that are drawn")
    parser.add_argument("--sheet", action="store_true", help="one picture of all commands")
    parser.add_argument("--operator", action="store_true", help="the shell has no session")
    parser.add_argument("--text", action="store_true", help="print the text and draw nothing")
    return parser.parse_intermixed_args()


def _shot(office: Seeded, line: str, columns: int) -> Shot:
    line = re.sub(r"\{([\w-]+)\}", lambda match: office.ids.get(match[1], match[0]), line)
    captured, code = in_a_terminal(office.environ, office.cwd, line, columns)
    return line, terminal_cells.rows(captured), code


def _groups(shots: list[Shot], rows_max: int, *, sheet: bool) -> list[list[Shot]]:
    """The commands of each picture."""
    groups: list[list[Shot]] = [[]]
    height = 0
    for shot in shots:
        rows = min(len(shot[1]), rows_max) + 2
        if groups[-1] and (not sheet or height + rows > _SHEET_ROWS):
            groups.append([])
            height = 0
        groups[-1].append(shot)
        height += rows
    return groups


def _print(shots: list[Shot], count: int, columns: int) -> None:
    for line, rows, code in shots:
        print(f"--- {count} sessions, {columns} columns, exit {code}: $ {line}")
        for row in rows:
            text = terminal_cells.plain(row)
            print(text + ("   <- WRAPPED?" if width_of(text) >= columns else ""))


def _draw(browser: Chromium, page: str, path: str) -> None:
    window = browser.window("about:blank")
    try:
        window.page.set_content(page)
        window.page.locator("main").screenshot(path=path)
    finally:
        window.close()


if __name__ == "__main__":
    sys.exit(main())
