"""Marks: where a style of ours begins and ends in a text that is not written out yet.

Rule: a mark holds a secret of this process, so no text of another can bring one. `streams` writes marks as escape
sequences. This module is on the fast path, so it imports nothing that costs time.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

# How a style of ours begins in a text that is not written out yet; a number and `m` follow. The digits are this
# process's secret, so no text of another can hold a style. `styles` makes them.
STYLE = f"\x1b[{int.from_bytes(os.urandom(7), 'big')};"


def dressed(text: str, numbers: str, stream: TextIO | None) -> str:
    """The text in the styles of these numbers (ECMA-48 8.3.117), if the stream has styles. See `styles`."""
    if not text or not wants_style(stream, os.environ):
        return text
    begin, end = f"{STYLE}{numbers}m", f"{STYLE}0m"
    return begin + text.replace(end, end + begin) + end


def wants_style(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether what goes to the stream has bold and colours: on a terminal (https://no-color.org,
    https://bixense.com/clicolors).

    NO_COLOR turns them off everywhere, CLICOLOR_FORCE on. TERM=dumb and CLICOLOR=0 turn them off on a terminal.
    """
    if stream is None or environ.get("NO_COLOR"):
        return False
    if environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb" and environ.get("CLICOLOR") != "0"
