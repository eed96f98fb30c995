"""The comparison of two checkouts, in short: that it measures both. No figure is judged here."""

from __future__ import annotations

import math
import os

from bench.house import SHORT, house
from support import components

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))


def test_every_row_has_values_of_both_sides() -> None:
    if not os.path.exists(os.path.join(ROOT, ".venv", "bin", "maestro")):
        components.missing("this checkout has no .venv")
    rows = house(ROOT, ROOT, sizes=SHORT)
    assert {row.name for row in rows if "process" not in row.name} == {
        "send, one client, idle: ms",
        "burst, 64 singles in flight: /s",
        "burst, 256 in flight, batched by 64: /s",
        "  by its own library: ms",
        "  by its own library: /s",
        "64 singles: CPU of the loop, us a message",
        "  CPU of the filing, us a message",
        "  bytes on the disk a message",
        "a hook and a send: CPU of the loop, us",
        "REST POST, kept alive: ms",
        "REST PATCH (read), kept alive: ms",
    }
    assert len([row for row in rows if row.name.startswith("process: ")]) == 10
    for row in rows:
        assert set(row.values) == {"before", "after"}
        assert all(math.isfinite(value) and value > 0 for values in row.values.values() for value in values)
