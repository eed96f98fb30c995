"""`just bench --only warm`, at one depth: each figure is there. No figure is judged here."""

from __future__ import annotations

from bench.run import Bench
from bench.warm import warm


def test_the_rows() -> None:
    bench = Bench(None, 1.0, 0, 0)
    try:
        warm(bench, depths=(16,), turns=1)
    finally:
        bench.stop()
        bench.remove()
    assert [row[0] for row in bench.rows] == ["warm CPU a message, 16 in flight"]
    for name in ("warm_loop_16_us", "warm_loop_limited_16_us", "warm_client_16_us"):
        assert bench.figures[name] > 0
