"""`just bench --only search`, with few messages: each figure is there. No figure is judged here."""

from __future__ import annotations

from bench.findings import Table
from bench.run import Bench
from bench.searching import searching


def test_the_rows() -> None:
    bench = Bench(None, 1.0, 0, 400)
    try:
        searching(bench, rounds=2)
    finally:
        bench.stop()
        bench.remove()
    [table] = bench.findings.shown
    assert isinstance(table, Table)
    # The common word is in most texts; the index is asked by words alone, so an operator has no figure of its own.
    hits = {str(row[0]): row[1] for row in table.rows}
    assert len(hits) == 7
    assert 0 < int(hits["a word, from one sender"] or 0) < int(hits["a common word"] or 0) <= 480
    assert hits["a part in no words (LIKE)"] == 0
    assert [row[0] for row in bench.rows][-6:] == [
        "index built",
        "index's CPU a message",
        "index on disk",
        "catching up",
        "send, p50: without the index, beside it",
        "send, p99: the same",
    ]
    assert bench.figures["send_without_index_ms"] > 0
    assert bench.figures["send_with_index_ms"] > 0
