"""The budget of `maestro mcp`: its start beside a bare interpreter in the same run, its memory, its tools' tokens."""

from __future__ import annotations

import os

from bench.mcp import BYTES_A_TOKEN, MEMORY_BAR_BYTES, START_BAR_MS, TOKENS_BAR, costs, mcp, started
from bench.run import Bench


def test_the_rows() -> None:
    bench = Bench(None, 1.0, 0, 400)
    try:
        mcp(bench)
    finally:
        bench.stop()
        bench.remove()
    assert [row[0].split(",")[0] for row in bench.rows] == [
        "maestro mcp",
        "its resident memory then",
        "its five tools in a model's context",
    ]
    assert all(bench.figures[name] > 0 for name in ("mcp_start_ms", "mcp_resident_bytes", "mcp_tokens"))


def test_the_budget() -> None:
    """The start as a ratio, so that a busy machine slows both sides: of 25 ms, which is a slow bare start, the bar of
    60 ms more is this one."""
    found = started(os.environ, rounds=15)
    assert found["mcp_start_ms"] / found["mcp_bare_ms"] < (25.0 + START_BAR_MS) / 25.0, found
    assert found["mcp_resident_bytes"] < MEMORY_BAR_BYTES, found
    assert sum(costs()) / BYTES_A_TOKEN < TOKENS_BAR
