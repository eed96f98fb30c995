"""Times: the options --since and --until of commands about the mail of before, and how long something took."""

from __future__ import annotations

import time

from maestro_cli.arguments import moment_ms
from maestro_cli.context import now_ms
from maestro_schemas.errors import MaestroError


def window(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """Both times in ms. Raises MaestroError INVALID for what is no time, and for a window that holds no message."""
    since_ms = None if since is None else moment_ms("--since", since)
    until_ms = None if until is None else moment_ms("--until", until)
    if since_ms is not None and since_ms > now_ms():
        raise MaestroError("INVALID", f"--since {since} is in the future", "Give a time before now, such as 24h.")
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise MaestroError(
            "INVALID", f"--since {since} is not before --until {until}", "Exchange them, or leave one off."
        )
    return since_ms, until_ms


def utc_offset_minutes() -> int:
    """How far the local clock is ahead of UTC."""
    return (time.localtime().tm_gmtoff or 0) // 60


def shortly(milliseconds: int | None) -> str:
    """`0.4s`, `41s`, `3m 5s`, `2h 10m`, `3d 4h`; `-` for none."""
    if milliseconds is None:
        return "-"
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for length, unit, next_length, next_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= length:
            first, rest = divmod(whole, length)
            second = rest // next_length
            return f"{first}{unit} {second}{next_unit}" if second else f"{first}{unit}"
    return f"{whole}s"
