"""Columns: lines that fit a terminal, with bars beside their numbers.

Rule: pure; a width and texts in, lines out. Wide characters count as two columns.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH = 80
_BAR_WIDTH = 20
_PARTS = " ▏▎▍▌▋▊▉█"


def terminal_width(environ: Mapping[str, str]) -> int | None:
    """The width of standard output where that is a terminal; None elsewhere: there is no bound."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    given = environ.get("COLUMNS", "")
    if given.isascii() and given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or WIDTH
    except OSError:
        return WIDTH


def is_unicode() -> bool:
    """Whether standard output can show more than ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"


def shown_width(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: str, width: int | None) -> str:
    """The text, or its beginning and an ellipsis where it is wider."""
    if width is None or shown_width(text) <= width:
        return text
    mark = "…" if is_unicode() else "..."
    left, kept = width - len(mark), []
    for char in text:
        left -= shown_width(char)
        if left < 0:
            break
        kept.append(char)
    return "".join(kept) + mark


def bar(value: float, greatest: float, width: int = _BAR_WIDTH) -> str:
    """A bar whose length is that part of `width`; the smallest sign for what is more than nothing."""
    if value <= 0 or greatest <= 0:
        return ""
    if not is_unicode():
        return "#" * max(1, round(value / greatest * width))
    eighths = max(1, round(value / greatest * width * 8))
    return "█" * (eighths // 8) + _PARTS[eighths % 8].strip()


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset(), width: int | None = None) -> list[str]:
    """Rows in columns; those of `right` end at the right. The first column gives way where a row is too wide."""
    if not rows:
        return []
    widths = [max(shown_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    if width is not None:
        over = sum(widths) + 2 * (len(widths) - 1) - width
        widths[0] = max(8, widths[0] - max(0, over))
    lines = []
    for row in rows:
        cells = []
        for column, text in enumerate(row):
            cell = cut(text, widths[column])
            blank = " " * (widths[column] - shown_width(cell))
            cells.append(blank + cell if column in right else cell + blank)
        lines.append("  ".join(cells).rstrip())
    return lines
