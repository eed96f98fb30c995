"""The benchmark's part about fan-outs, in short: that it measures what it says, and that its bar holds."""

from __future__ import annotations

import statistics

from bench.fan_outs import BAR, BAR_AT, FanOuts, measured
from bench.run import Bench

_SIZES = (1, BAR_AT)
_ROUNDS = 5


def test_one_message_to_64_costs_less_than_25() -> None:
    """Of the same run's single sends, into empty mailboxes and into others, one at a time and many in flight. The
    measured ratios are 2 to 6, so that the bar stands far from them on a busy machine too."""
    bench = Bench(None, seconds=1.0, burst=64, messages=0)
    try:
        found = bench.endpoints
        fan_outs = FanOuts(found.router, found.notices, found.pid, _SIZES)
        try:
            costs = measured(fan_outs, _ROUNDS, _SIZES)
        finally:
            fan_outs.close()
    finally:
        bench.stop()
        bench.remove()
    assert {len(values) for values in costs.of.values()} == {_ROUNDS}
    one, many = (statistics.median(costs.streamed[size]) for size in _SIZES)
    assert 0 < one < many <= BAR * one
    for is_empty in (False, True):
        assert costs.us(BAR_AT, is_empty=is_empty) > 0
        assert costs.ratio(BAR_AT, is_empty=is_empty) <= BAR
