"""Ages: how long ago something was, in words.

Rule: it imports nothing on top, because a command of the fast path says an age.
"""

from __future__ import annotations

UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def age(at_ms: int, now_ms: int) -> str:
    """`3m ago`; `just now` within a second, and for a clock that ran ahead."""
    seconds = (now_ms - at_ms) // 1000
    for length, unit in UNITS:
        if seconds >= length:
            return f"{seconds // length}{unit} ago"
    return "just now"


def aged(at_ms: int, now_ms: int) -> str:
    """`12s`, `4m`, `3h`, `2d`; `0s` for a clock that ran ahead."""
    found = age(at_ms, now_ms)
    return "0s" if found == "just now" else found.removesuffix(" ago")


def moment(at_ms: int, now_ms: int) -> str:
    """Local time of day, with the date when that is not today's."""
    import time

    when = time.localtime(at_ms / 1000)
    same_day = when[:3] == time.localtime(now_ms / 1000)[:3]
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S", when)
