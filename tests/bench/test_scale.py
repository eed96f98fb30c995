"""The benchmark's parts about scale, in short: that they measure what they say. No figure is judged here."""

from __future__ import annotations

import math

import pytest

from bench.findings import Plot, Table
from bench.million import million
from bench.processes import Cpu
from bench.run import Bench
from bench.scale import Cost, Point, scale, slope, slopes

CURVES = ("characters of text", "connected sessions", "watchers", "watchers of one session", "receivers of a message")
_NO_BROKER = Cost(0.0, 0.0, 0.0, 0.0, 0.0)


def _run(part: str, messages: int) -> Bench:
    bench = Bench(None, seconds=1.0, burst=0, messages=messages)
    try:
        {"scale": scale, "million": million}[part](bench)
    finally:
        bench.stop()
        bench.remove()
    for shown in bench.findings.shown:
        assert shown.part == part
        if isinstance(shown, Table):
            assert all(len(row) == len(shown.columns) for row in shown.rows)
    return bench


def test_the_whole_part() -> None:
    """A curve, its slopes and a plot for each of the five, and the memory."""
    bench = _run("scale", 100)
    tables = {shown.title: shown for shown in bench.findings.shown if isinstance(shown, Table)}
    plots = [shown for shown in bench.findings.shown if isinstance(shown, Plot)]
    sizes = [[row[0] for row in tables[f"A delivery's cost by {what}"].rows] for what in CURVES]
    assert sizes[0] == ["10", "100", "1,000", "10,000"]
    assert sizes[1:4] == [["1", "10", "100"]] * 3
    assert sizes[4] == ["1", "4", "16", "64"]
    assert len(tables["Memory"].rows) == 4
    assert [len(plot.lines["send p50"]) for plot in plots] == [4, 3, 3, 3, 4]
    for what in CURVES:
        for part in ("p50", "loop", "writer", "cpu"):
            assert math.isfinite(bench.figures[f"scale_{what.replace(' ', '_')}_{part}_slope"])
    # Each of many deliveries of one message costs a part of what a message to one costs.
    assert bench.figures["scale_receivers_of_a_message_loop_slope"] < 0
    assert bench.figures["scale_pending_bytes"] > 300  # a text of 300 characters is in it


def test_the_whole_part_about_a_million() -> None:
    """The curve up to all the mail, the starts, the readings, and a sweep over all files to its end."""
    bench = _run("million", 1_000)
    tables = {shown.title: shown for shown in bench.findings.shown if isinstance(shown, Table)}
    assert [row[0] for row in tables["A delivery's cost by stored messages"].rows] == ["1", "1,000"]
    printed = [row[0] for row in tables["As it was printed"].rows]
    assert printed[0] == "1,000 messages to 100 mailboxes"
    assert "the sweep adds to the worst" in printed
    assert not any("stored messages: send p50" in str(name) for name in printed)  # they have a table
    # A message is a file and a link.
    assert bench.figures["million_sweep_looked_at"] > 2 * 1_000
    assert bench.figures["million_sweep_whole"] == 1.0
    assert 0 < bench.figures["million_accepting_resident_max_mb"] < 300


def test_slope() -> None:
    """0 for flat, 1 for a cost that grows as the size does, below 0 for one that falls."""
    assert slope([(1, 2.0), (10, 2.0), (1_000, 2.0)]) == pytest.approx(0.0)
    assert slope([(1, 0.5), (10, 5.0), (100, 50.0)]) == pytest.approx(1.0)
    assert slope([(1, 8.0), (4, 4.0), (16, 2.0), (64, 1.0)]) == pytest.approx(-0.5)


def _cost(us: float) -> Cost:
    return Cost(us / 1_000, us, us, us, us)


def test_a_point_is_the_median_of_its_turns_beside_their_controls() -> None:
    """One disturbed turn changes nothing, nor does a machine that becomes slower for both."""
    turns = [_cost(200.0), _cost(2_000.0), _cost(9_000.0), _cost(400.0), _cost(200.0)]
    controls = [_cost(100.0), _cost(1_000.0), _cost(100.0), _cost(200.0), _cost(100.0)]
    point = Point(10, turns, controls)
    for place in range(len(_NO_BROKER)):
        assert point.times(place) == pytest.approx(2.0)
    assert point.cost(1) == 400.0


def test_slopes_are_counted_and_judged() -> None:
    """Each by its name, with whether its bar is held."""
    bench = Bench.__new__(Bench)
    bench.figures = {}
    flat, steep = _cost(100.0), Cost(0.1, 100.0, 100.0, 200.0, 100.0)
    said = slopes(bench, "things", [Point(1, [flat], [flat]), Point(100, [steep], [flat])])
    assert "send p50: slope +0.000, x 1.00 (held)" in said
    assert "spool writer: slope +0.151, x 2.00 (missed)" in said
    assert bench.figures["scale_things_writer_slope"] == pytest.approx(math.log(2) / math.log(100))
    assert bench.figures["scale_things_writer_ratio"] == pytest.approx(2.0)
    assert bench.figures["scale_things_cpu_slope"] == pytest.approx(0.0)


def test_cpu_of_each_delivery() -> None:
    """What was used since, shared by all; the threads add up."""
    used = Cpu(500.0, 60.0, 440.0).each(Cpu(100.0, 20.0, 40.0), 4)
    assert used == Cpu(100.0, 10.0, 100.0)
    assert used.whole == 210.0
