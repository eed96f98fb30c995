"""The benchmark's part about latency, in short: that it measures what it says. No figure is judged here."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from bench.backgrounds import Checkpoints
from bench.findings import Plot, Table
from bench.latency import curve, percentiles
from bench.paced import Pace, Timed, send_paced
from bench.run import Bench
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(None, seconds=1.0, burst=100, messages=0)
    try:
        yield made
    finally:
        made.stop()
        made.remove()


def test_a_stall_is_charged_to_every_send_that_was_due(open_office: PostOffice) -> None:
    """While the broker stands still the sends go on being due: the earlier one was, the longer it took."""
    times: list[Timed] = []
    pace = Pace(open_office.router(), "ann", ("bob",), 100.0, 20)
    stands = threading.Event()

    def stall() -> None:
        open_office.pause()
        stands.set()

    sending = threading.Thread(target=lambda: times.extend(send_paced(pace, stall)))
    sending.start()
    assert stands.wait(20.0)
    sending.join(0.3)  # longer than it takes until the last one is due; whether it is does not matter
    open_office.resume()
    sending.join()
    assert len({one.id for one in times}) == 20
    waits = [one.ms for one in sorted(times, key=lambda one: one.due_s)]
    assert waits[0] > 100
    assert waits[:10] == sorted(waits[:10], reverse=True)


def test_the_whole_part(bench: Bench) -> None:
    """Every send and push is there, the percentiles rise, each background did something and stands beside its
    control."""
    percentiles(bench)
    first, plot, second, beside = bench.findings.shown
    assert isinstance(first, Table)
    assert isinstance(second, Table)
    assert [row[0] for row in first.rows] == list(plot.lines) if isinstance(plot, Plot) else False
    for row in first.rows:
        figures = [cell for cell in row[2:] if isinstance(cell, float)]
        assert figures == sorted(figures)
        assert len(figures) == len(first.columns) - 2
    assert [row[1] for row in (first.rows[0], first.rows[1], first.rows[3])] == [83, 83, 83]
    assert {"slow_subscriber_send_p99_ms", "sweep_push_p99_ms", "inbox_send_p99_ms"} <= set(bench.figures)
    meanwhile = {str(row[0]): str(row[-1]) for row in second.rows}
    assert "the rest were dropped" in meanwhile["send beside a subscriber that never reads"]
    assert "messages removed" in meanwhile["send beside a full sweep"]
    assert isinstance(beside, Plot)
    assert beside.log_x
    assert beside.log_y


@pytest.mark.long
def test_checkpoints_happen_behind_the_sends(bench: Bench) -> None:
    """By the broker's own count, which equals how often the file `heads` is replaced."""
    background = Checkpoints(bench)
    heads = os.path.join(bench.data, "heads")
    background.begin()
    began = os.stat(heads).st_ino if os.path.exists(heads) else 0
    eventually(lambda: os.path.exists(heads) and os.stat(heads).st_ino != began, "a checkpoint", timeout_s=60.0)
    made, words = background.end()
    assert made >= 1
    assert made == len(background.times_s)
    assert words.startswith(f"{made:.0f} checkpoints, ")


def test_the_curve_ends_at_the_worst() -> None:
    """Each point is (1 / (1 - p), the time at p)."""
    points = curve([float(number) for number in range(1, 1_001)])
    assert points[0] == (1.0, 1.0)
    assert points[-1] == (1_000.0, 1_000.0)
    assert points == sorted(points)
    assert curve([]) == []
