"""The benchmark's part about latency, in short: that it measures what it says. No figure is judged here."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from bench import traced_broker
from bench.backgrounds import Checkpoints
from bench.findings import Plot, Table
from bench.latency import curve, percentiles
from bench.lateness import ROWS, Trace
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
    first, plot, late, split, second, beside = bench.findings.shown
    assert isinstance(first, Table)
    assert isinstance(late, Table)
    assert isinstance(split, Table)
    assert isinstance(second, Table)
    _check_late(late, split)
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


def _check_late(late: Table, split: Table) -> None:
    """The sends of each scene were made, and the shares make the whole."""
    assert all(int(row[2] or 0) >= 50 for row in late.rows)
    assert [row[0] for row in split.rows] == ROWS
    for place in range(1, len(split.columns)):
        shares = [float(str(row[place]).rpartition(", ")[2].rstrip("%")) for row in split.rows]
        assert abs(sum(shares) - 100) <= len(ROWS) / 2, split.rows


def _found(*spans: tuple[str, int, int, int, int], answered_ms: int) -> dict[str, Any]:
    """A trace of spans (stage, from, to, CPU, without a core; in ms), in which one turn answered `a`."""
    flat = [
        number
        for stage, *times in spans
        for number in (traced_broker.STAGES.index(stage), *(1_000_000 * one for one in times))
    ]
    return {"spans": flat, "turns": [0, 0, answered_ms * 1_000_000, 1], "ids": ["a"]}


def test_a_send_s_time_is_split_without_a_rest() -> None:
    """From due to accepted: 2 ms the client, then the loop's spans from 12 to 30 ms, then 5 ms until it is read."""
    trace = Trace(
        _found(
            (traced_broker.WAIT, 0, 10, 0, 0),
            (traced_broker.WORK, 10, 20, 4, 5),  # so 1 ms without the lock; 8 of its 10 ms are this send's
            (traced_broker.SYNC, 20, 30, 0, 1),
            answered_ms=30,
        )
    )
    split = trace.split([Timed("a", 0.010, 0.035, 0.012), Timed("of another turn", 0.0, 9.0, 0.0)])
    assert split.sends == 1
    assert split.mean_ms == pytest.approx(25.0)
    ms = [split.rows_ms[row] for row in ROWS]
    assert ms == pytest.approx([2.0, 0.0, 3.2, 9.0, 0.0, 0.0, 0.0, 0.8, 5.0, 5.0])


def test_a_reply_that_is_read_before_the_turn_ends_is_no_time() -> None:
    """The loop notes its end after it has sent the reply, so a client may be ahead of it by a moment."""
    trace = Trace(_found((traced_broker.WORK, 0, 10, 10, 0), answered_ms=10))
    split = trace.split([Timed("a", 0.001, 0.009, 0.002)])
    assert split.mean_ms == pytest.approx(8.0)
    assert split.rows_ms[ROWS[-1]] == 0.0


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
