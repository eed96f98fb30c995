"""Hook turns: how often in a row the end of a turn was put off for mail.

Rule: at most three times, counted in a small file for each session; a turn that ends without the agent's word that a
hook made it go on begins the count anew. A count that can't be kept puts nothing off.
"""

from __future__ import annotations

import os

from .session_links import top

IN_A_ROW_MAX = 3


def may_go_on(data: str, session: str, *, again: bool) -> bool:
    """Whether the turn's end may be put off once more. `again`: the agent says that a hook did so before."""
    return not again or _count(_path(data, session)) < IN_A_ROW_MAX


def count(data: str, session: str, *, again: bool) -> None:
    """One more. Raises OSError, and then it must not be put off: nothing would end it."""
    path = _path(data, session)
    so_far = _count(path) if again else 0
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{so_far + 1}\n")


def _path(data: str, session: str) -> str:
    return os.path.join(top(data), "turns", session)


def _count(path: str) -> int:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(16).strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else IN_A_ROW_MAX
