"""`just bench --only log`, with few messages: each row is there, and no message is missing."""

from __future__ import annotations

from bench.logs import logs
from bench.run import Bench


def test_the_rows() -> None:
    bench = Bench(None, 1.0, 0, 400)
    try:
        logs(bench)
    finally:
        bench.stop()
        bench.remove()
    assert [row[0].partition(",")[0] for row in bench.rows] == [
        "inbox",
        "log of all",
        "log of one session",
        "log of one message among 400",
    ]
    assert all(bench.figures[f"log_{name}_p50_ms"] > 0 for name in ("inbox", "all", "one", "few"))
