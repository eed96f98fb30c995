"""Terminal cells: what a terminal shows, as runs of text with their styles.

Rule: it reads what tmux captures with `-e`, in which a line begins with the style that the line before it ended with.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_SEQUENCE = re.compile(r"\x1b\[([0-9;:]*)m|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0AB]|[\x0e\x0f]")
_LEVELS = (0, 95, 135, 175, 215, 255)


class Style(NamedTuple):
    """`text`, `ground`: None, the number of one of the sixteen colours, or `#rrggbb`."""

    text: int | str | None = None
    ground: int | str | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False
    strike: bool = False


class Scheme(NamedTuple):
    """The colours of a terminal; `colours` are its sixteen, in the order of their numbers."""

    text: str
    ground: str
    colours: list[str]

    def of(self, value: int | str) -> str:
        """A colour of a style, as `#rrggbb`."""
        return value if isinstance(value, str) else self.colours[value]

    def of_run(self, run: Run) -> tuple[str, str | None]:
        """The colours of a run's text and of its ground; None: that of the terminal."""
        text = self.text if run.style.text is None else self.of(run.style.text)
        ground = None if run.style.ground is None else self.of(run.style.ground)
        return (ground or self.ground, text) if run.style.reverse else (text, ground)


class Run(NamedTuple):
    """Characters of one style that begin in a column; `width` is the number of its cells."""

    column: int
    text: str
    width: int
    style: Style


# As most people have them.
LIGHT = Scheme(
    "#1f2328",
    "#ffffff",
    [
        *("#24292f", "#cf222e", "#116329", "#7d4e00", "#0550ae", "#8250df", "#1b7c83", "#6e7781"),
        *("#57606a", "#a40e26", "#1a7f37", "#633c01", "#0969da", "#a475f9", "#3192aa", "#8c959f"),
    ],
)
DARK = Scheme(
    "#d6dde4",
    "#0d1117",
    [
        *("#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4"),
        *("#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#f0f6fc"),
    ],
)
_SWITCHES = {
    "1": {"bold": True},
    "2": {"dim": True},
    "3": {"italic": True},
    "4": {"underline": True},
    "7": {"reverse": True},
    "9": {"strike": True},
    "22": {"bold": False, "dim": False},
    "23": {"italic": False},
    "24": {"underline": False},
    "27": {"reverse": False},
    "29": {"strike": False},
    "39": {"text": None},
    "49": {"ground": None},
}


def width_of(text: str) -> int:
    """The number of cells of a text."""
    return sum(
        0
        if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Mn", "Me")
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )


def rows(captured: str) -> list[list[Run]]:
    """The rows of a captured screen, without the empty ones at its end."""
    found = []
    style = Style()
    for line in captured.rstrip("\n").split("\n"):
        runs, style = _row(line, style)
        found.append(runs)
    while found and not found[-1]:
        found.pop()
    return found


def plain(row: list[Run]) -> str:
    """The text of a row."""
    line = ""
    for run in row:
        line += " " * (run.column - width_of(line)) + run.text
    return line


def _row(line: str, style: Style) -> tuple[list[Run], Style]:
    runs: list[Run] = []
    column = place = 0
    for match in [*_SEQUENCE.finditer(line), None]:
        text = line[place : match.start() if match else None]
        if text:
            width = width_of(text)
            if text.strip() or style.ground is not None or style.reverse or style.underline:
                runs.append(Run(column, text, width, style))
            column += width
        if match:
            place = match.end()
            if match[1] is not None:
                style = _changed(style, re.split("[;:]", match[1]))
    return runs, style


def _changed(style: Style, codes: list[str]) -> Style:
    left = [code or "0" for code in codes]
    while left:
        code = left.pop(0)
        number = int(code)
        if number == 0:
            style = Style()
        elif code in _SWITCHES:
            style = style._replace(**_SWITCHES[code])  # type: ignore[arg-type] # a switch has the types of its fields
        elif number in (38, 48):
            value: int | str
            if left.pop(0) == "5":
                value = _of_256(int(left.pop(0)))
            else:
                value = "#{:02x}{:02x}{:02x}".format(*(int(left.pop(0)) for _ in range(3)))
            style = style._replace(text=value) if number == 38 else style._replace(ground=value)
        elif 30 <= number <= 37 or 90 <= number <= 97:
            style = style._replace(text=number - 30 if number < 90 else number - 82)
        elif 40 <= number <= 47 or 100 <= number <= 107:
            style = style._replace(ground=number - 40 if number < 100 else number - 92)
    return style


def _of_256(number: int) -> int | str:
    if number < 16:
        return number
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return f"#{grey:02x}{grey:02x}{grey:02x}"
    cube = number - 16
    return "#{:02x}{:02x}{:02x}".format(*(_LEVELS[part] for part in (cube // 36, cube // 6 % 6, cube % 6)))
