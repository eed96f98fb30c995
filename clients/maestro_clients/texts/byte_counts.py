"""Byte counts: a number of bytes as people read it."""

from __future__ import annotations


def size(count: int) -> str:
    """Bytes with a unit: `64 KiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:g} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
