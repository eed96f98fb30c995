"""Screen: texts of several lines as they fit the terminal, and as they are elsewhere."""

from __future__ import annotations

import os

from .tables import terminal_width
from .wrapping import fitted


def fit(text: str) -> str:
    """The text, with its lines wrapped at words where standard output is a terminal; those behind the bar stay behind
    it."""
    width = terminal_width(os.environ)
    return text if width is None else "\n".join(fitted(text.split("\n"), width))
