"""`just bench --only gateway_events`, with few clients: each figure is there. No figure is judged here."""

from __future__ import annotations

from bench.findings import Table
from bench.gateway_events import PUSHES, gateway_events
from bench.run import Bench

CLIENTS, EVENTS = 3, 40


def test_the_rows() -> None:
    bench = Bench(None, 1.0, 0, 0)
    try:
        gateway_events(bench, CLIENTS, EVENTS)
    finally:
        bench.stop()
        bench.remove()
    [table] = bench.findings.shown
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["Maestro's gateway", "a bare server"]
    figures = bench.figures
    assert (figures["ws_push_seen"], figures["ws_crowd_whole"], figures["ws_crowd_got"]) == (
        PUSHES,
        CLIENTS,
        CLIENTS * EVENTS,
    )
    assert figures["ws_crowd_cpu_ratio"] > 0
    assert figures["ws_crowd_s"] > 0
