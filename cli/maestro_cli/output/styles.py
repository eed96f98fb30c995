"""Styles: bold, dim and colours, on terminals alone.

Rule: a styled text has marks that only this process knows; `streams` writes them as escape sequences and takes all
others out. Colours are those of the terminal's own theme, so that they are legible on light and dark.
"""

from __future__ import annotations

import sys

from .marks import STYLE, dressed

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Iterator

# ECMA-48 8.3.117, SGR.
_NUMBERS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_END = f"{STYLE}0m"


def styled(text: str, *styles: str, error: bool = False) -> str:
    """The text in these styles (`bold`, `dim`, `red`, `green`, `yellow`, `blue`, `cyan`); as it is where they are not
    wanted. `error`: it goes to standard error."""
    if not styles:
        return text
    return dressed(text, ";".join(_NUMBERS[style] for style in styles), sys.stderr if error else sys.stdout)


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a text: each with the mark before it, which is empty at first."""
    first, *others = text.split(STYLE)
    yield "", first
    for part in others:
        number, _, rest = part.partition("m")
        yield f"{STYLE}{number}m", rest


def unstyled(text: str) -> str:
    """The text without marks."""
    return text if STYLE not in text else "".join(part for _, part in pieces(text))


def ends(mark: str) -> bool:
    """Whether the mark ends all styles."""
    return mark == _END
