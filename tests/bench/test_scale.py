"""The benchmark's part about scale, in short: that it measures what it says. No figure is judged here."""

from __future__ import annotations

import math

import pytest

from bench.findings import Plot, Table
from bench.run import Bench
from bench.scale import scale, slope


def test_the_whole_part() -> None:
    """A curve, its slope and a plot for each of the four, and the memory."""
    bench = Bench(None, seconds=1.0, burst=0, messages=100)
    try:
        scale(bench)
    finally:
        bench.stop()
        bench.remove()
    tables = {shown.title: shown for shown in bench.findings.shown if isinstance(shown, Table)}
    plots = [shown for shown in bench.findings.shown if isinstance(shown, Plot)]
    sizes = {title: [row[0] for row in table.rows] for title, table in tables.items()}
    assert sizes["A message's cost by characters of text"] == ["10", "100", "1,000", "10,000"]
    assert sizes["A message's cost by connected sessions"] == ["1", "10", "100"]
    assert sizes["A message's cost by watchers"] == ["1", "10", "100"]
    assert sizes["A message's cost by stored messages"] == ["1"]
    assert len(sizes["Memory"]) == 4
    assert [len(plot.lines["send p50"]) for plot in plots] == [4, 3, 3, 1]
    for table in tables.values():
        assert all(len(row) == len(table.columns) for row in table.rows)
    for what in ("characters_of_text", "connected_sessions", "watchers"):
        assert math.isfinite(bench.figures[f"scale_{what}_cpu_slope"])
    assert bench.figures["scale_pending_bytes"] > 300  # a text of 300 characters is in it


def test_slope() -> None:
    """0 for flat, 1 for a cost that grows as the size does."""
    assert slope([(1, 2.0), (10, 2.0), (1_000, 2.0)]) == pytest.approx(0.0)
    assert slope([(1, 0.5), (10, 5.0), (100, 50.0)]) == pytest.approx(1.0)
