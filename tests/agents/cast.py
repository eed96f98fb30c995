"""Cast: the first minute as it was, as `docs/pictures/first-minute.svg`.

`just cast` writes it. It is the run of `test_first_minute`, with the waits shortened: the clock in the corner has the
true seconds. It is not compared byte by byte, since each run has other times.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading

from agents import anthropic_api
from agents.colleagues import ANSWER, PROMPT, QUESTION, REPORT, Colleagues
from agents.newcomer import COLUMNS, NAMES, PROJECTS, ROWS, Newcomer, Recorder, first_minute
from agents.stand_in import standing_in
from support import terminal_cells, wheels
from support.screen_cast import Moment, shortened, svg
from support.terminal_cells import Run, Style

PATH = os.path.abspath(
    os.path.join(os.path.dirname(__file__), *[os.pardir] * 2, "docs", "pictures", "first-minute.svg")
)
BYTES_MAX = 150_000
_TOTAL_S, _LAST_S = 32.0, 5.0
# A spinner changes more often than a reader looks.
_STEP_S = 0.3
# A pause and a corner, as signs that fonts have.
_IN_EVERY_FONT = str.maketrans({"\u23f8": "\u2016", "\u23bf": "\u2514"})
_TITLE = "The first minute: install, set up, and one agent asks another"
_WORDS = " ".join(
    [
        "A person in an empty home makes a virtual environment, installs the wheel with pip, and runs",
        "`maestro setup --yes`. It finds Claude Code, installs its hooks, starts the broker and sends itself mail.",
        "Then two Claude Codes are started, in two checkouts of one project. Maestro calls them shop and shop-2.",
        f'The person types to the first: "{PROMPT}" It runs: maestro send shop-2 "{QUESTION}"',
        'The second one was idle. Its screen says "maestro: new mail", and it answers by a command, too:',
        f'"{ANSWER}" The first one gets that in its own turn, and says: "{REPORT}"',
        "Each Claude Code has asked the person once whether it may run such a command.",
    ]
)


def main() -> int:
    """Run the first minute and write it; 1 if it is too large."""
    root = tempfile.mkdtemp(prefix="mst-", dir="/tmp")
    try:
        wheel = shutil.copy(wheels.built_wheel(), root)
        with (
            standing_in(anthropic_api, Colleagues()) as stand_in,
            Newcomer(root, stand_in.url) as person,
            Recorder(person) as recorder,
        ):
            first_minute(person, os.path.basename(wheel))
            # What the agents still say about it.
            threading.Event().wait(3.0)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    text = drawn(recorder.frames)
    with open(PATH, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"{len(text.encode()):,} bytes, {len(person.typed)} lines, {person.answered} dialogs")
    return 1 if len(text.encode()) > BYTES_MAX else 0


def drawn(frames: list[tuple[float, dict[str, str]]]) -> str:
    """The SVG of the recorded screens."""
    kept: list[tuple[float, dict[str, str]]] = []
    for at_s, screens in frames:
        # Of several in a short time, the last.
        if kept and at_s - kept[-1][0] < _STEP_S and screens.keys() == kept[-1][1].keys():
            kept[-1] = (kept[-1][0], screens)
        else:
            kept.append((at_s, screens))
    times_s = shortened([at_s for at_s, _ in kept], _TOTAL_S)
    moments = [
        Moment(at_s, f"{true_s // 60:.0f}:{true_s % 60:02.0f}", _rows(screens))
        for at_s, (true_s, screens) in zip(times_s, kept, strict=True)
    ]
    end_s = times_s[-1] + _LAST_S
    return svg(moments, columns=COLUMNS, rows=2 * ROWS + 2, title=_TITLE, description=_WORDS, end_s=end_s)


def _rows(screens: dict[str, str]) -> list[list[Run]]:
    """The shell; and from then on when there are agents, the one above the other."""
    if "first" not in screens:
        return [_title("a terminal, in an empty home"), *terminal_cells.rows(screens.get("shell", ""))]
    rows: list[list[Run]] = []
    for name, agent, folder in zip(("first", "second"), NAMES, PROJECTS, strict=True):
        shown = terminal_cells.rows(screens.get(name, "").translate(_IN_EVERY_FONT))
        rows += [_title(f"{agent}: Claude Code in ~/{folder}"), *shown, *([] for _ in range(ROWS - len(shown)))]
    return rows


def _title(text: str) -> list[Run]:
    bar = f" {text} ".ljust(COLUMNS)
    return [Run(0, bar, COLUMNS, Style(text="#c9d1d9", ground="#21262d", bold=True))]


if __name__ == "__main__":
    sys.exit(main())
