"""Tables: rows in columns, as wide as the terminal and never wider.

Rule: pure, but for the heading, which is dim on a terminal. Where the terminal is narrow, columns are cut and then
left out, the least important first. A column of priority 0 is never left out: where even those don't fit side by
side, a row takes several lines.
"""

from __future__ import annotations

import os
import sys

from maestro_schemas.texts.visible_text import one_line

from .styles import pieces, styled
from .wrapping import cut, padded, shown_width, wrapped

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

WIDTH = 80
_GAP = 2
_INDENT = "  "


class Column:
    """A column of a table."""

    __slots__ = ("least", "priority", "right", "title", "wraps")

    def __init__(
        self, title: str, priority: int = 0, *, right: bool = False, least: int = 8, wraps: bool = False
    ) -> None:
        self.title = title
        # 0: never left out. The greatest number goes first where the terminal is narrow.
        self.priority = priority
        # Its cells end at the right.
        self.right = right
        # A wide cell may be cut to that.
        self.least = least
        # A wide cell takes several lines, and is not cut.
        self.wraps = wraps


def terminal_width(environ: Mapping[str, str], *, errors: bool = False) -> int | None:
    """The width of standard output, or of standard error, where that is a terminal; None elsewhere: there is no
    bound."""
    stream = sys.stderr if errors else sys.stdout
    if stream is None or not stream.isatty():
        return None
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        width = 0
    # A shell may export the size of another terminal, or of this one before it was changed: what the terminal says
    # itself counts, if it says anything.
    given = environ.get("COLUMNS", "")
    return width or (int(given) if given.isascii() and given.isdecimal() else 0) or WIDTH


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """A table, the heading first where a column has a title. `width`: the terminal's; None for no bound."""
    cells = [[_in_line(cell) for cell in row] for row in rows]
    titled = any(column.title for column in columns)
    head = [[column.title for column in columns]] if titled else []
    if not head and not cells:
        return []
    natural = [max(map(shown_width, found)) for found in zip(*head, *cells, strict=True)]
    said = [any(cell not in ("", "-") for cell in found) for found in zip(*cells, strict=True)]
    layout = _layout(columns, natural, said or [True] * len(columns), width)
    lines = [line for row in cells for line in _row(row, columns, layout, width)]
    if not head:
        return lines
    return [*[styled(line, "dim") for line in _row(head[0], columns, layout, width)], *lines]


def _layout(
    columns: Sequence[Column], natural: Sequence[int], said: Sequence[bool], width: int | None
) -> dict[int, int] | None:
    """The columns that are shown, and their widths; None where a row needs several lines."""
    shown = dict(enumerate(natural))
    if width is None:
        return shown
    least = [min(size, columns[index].least) for index, size in shown.items()]
    # A column that must be there has its whole width before others have theirs, up to two fifths of the terminal.
    asked = [
        least[index] if columns[index].priority else max(least[index], min(size, width * 2 // 5))
        for index, size in shown.items()
    ]
    # Of the columns that say nothing, only those that must be there stay.
    shown = {index: size for index, size in shown.items() if said[index] or not columns[index].priority}
    while _total([asked[index] for index in shown]) > width:
        given_up = max(shown, key=lambda index: (columns[index].priority, index))
        if not columns[given_up].priority:
            break
        del shown[given_up]
    sizes = {index: least[index] for index in shown}
    room = width - _total(sizes.values())
    if room < 0:
        return None
    for goal in (asked, natural):
        for index in sorted(shown, key=lambda index: (columns[index].priority, index)):
            more = min(room, max(goal[index] - sizes[index], 0))
            sizes[index] += more
            room -= more
    return sizes


def _total(sizes: Collection[int]) -> int:
    return sum(sizes) + _GAP * (len(sizes) - 1)


def _row(
    row: Sequence[str], columns: Sequence[Column], layout: Mapping[int, int] | None, width: int | None
) -> list[str]:
    if layout is None:
        return _stacked(row, columns, width or WIDTH)
    found = [
        wrapped(row[index], size) if columns[index].wraps and width is not None else [cut(row[index], size)]
        for index, size in layout.items()
    ]
    lines = []
    for number in range(max(map(len, found))):
        parts = [
            padded(cell[number] if number < len(cell) else "", size, right=columns[index].right)
            for cell, (index, size) in zip(found, layout.items(), strict=True)
        ]
        lines.append((" " * _GAP).join(parts).rstrip())
    return lines


def _stacked(row: Sequence[str], columns: Sequence[Column], width: int) -> list[str]:
    """The cells that are never left out, as many on a line as fit, the second line and those below it indented."""
    lines: list[str] = []
    line = ""
    for cell, column in zip(row, columns, strict=True):
        if column.priority or not cell:
            continue
        if line and shown_width(line) + _GAP + shown_width(cell) <= width:
            line += " " * _GAP + cell
            continue
        if line:
            lines.append(line)
        indent = _INDENT if line else ""
        parts = wrapped(cell, width - len(indent)) if column.wraps else [cut(cell, width - len(indent))]
        lines += [indent + part for part in parts[:-1]]
        line = indent + parts[-1]
    return [*lines, line] if line else lines


def _in_line(cell: str) -> str:
    """A cell that does not break its row, with our styles."""
    return "".join(mark + one_line(part) for mark, part in pieces(cell))
