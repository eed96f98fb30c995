"""Bars: numbers as lengths, beside them in a table."""

from __future__ import annotations

from maestro_cli.output.wrapping import is_unicode

_WIDTH = 20
_PARTS = " ▏▎▍▌▋▊▉█"


def bar(value: float, greatest: float, width: int = _WIDTH) -> str:
    """A bar whose length is that part of `width`; the smallest sign for what is more than nothing."""
    if value <= 0 or greatest <= 0:
        return ""
    if not is_unicode():
        return "#" * max(1, round(value / greatest * width))
    eighths = max(1, round(value / greatest * width * 8))
    return "█" * (eighths // 8) + _PARTS[eighths % 8].strip()
