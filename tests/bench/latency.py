"""Part `percentiles`: how long a send and a push take, at rest, at half of what the machine can do, and beside
the broker's background work.

Rule: open loop (see `paced`), one message a request, 512 bytes, each accepted only when durable. Every background
stands beside a control without it that was measured in turns with it, so that what else the machine does hits both.
A bar that was missed is printed as missed.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

from bench.backgrounds import Checkpoints, InboxReads, SlowSubscriber, Sweeping
from bench.filling import until_filed
from bench.findings import Plot, Table
from bench.late_sends import LOAD_RECEIVERS, LOADERS, P99_MS_MAX, PACED_LOADERS, PART, SECONDS, late_sends, load
from bench.paced import Crew, Pace, Syncs, Timed, Watch, send_at_once, send_paced, sync_paced, watch
from bench.references import percentile

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.backgrounds import Background
    from bench.findings import Cell
    from bench.run import Bench

# As many as it takes for five to be above the p99.9.
_SAMPLES = 5_000
_BESIDE_SAMPLES = 1_600
_TURNS = 2
_IDLE_PER_S = 200.0
# Of all that is sent at half the peak: those that are watched, and long enough for _SAMPLES of them.
_PROBES_PER_S = 500.0
# The disk alone is asked more seldom, since each question is work for it as well.
_SENDS_A_SYNC = 4
_PEAK_MESSAGES = 20_000
_OLD_MESSAGES = 20_000
_FULL_SECONDS = 60.0
# Of mail that waits to be filed; the broker refuses more at about twice as much.
_UNFILED_MAX = 80_000
_SHARES = (0.5, 0.9, 0.99, 0.999)
# A checkpoint on this kind of disk takes less.
_CHECKPOINT_S = 1.0
_FIGURES = ("idle_send", "idle_push", "half_send", "half_push", "sustained_send", "idle_disk", "half_disk")
_AXIS = "1 / (1 - p): 2 is p50, 10 p90, 100 p99, 1,000 p99.9"


class Seen(NamedTuple):
    """One phase: its sends, and in ms their times, those of the pushes that arrived, and of the disk alone."""

    sends: list[Timed]
    send_ms: list[float]
    push_ms: list[float]
    disk_ms: list[float]

    def __add__(self, other: Seen) -> Seen:  # type: ignore[override]
        pushes, disk = self.push_ms + other.push_ms, self.disk_ms + other.disk_ms
        return Seen(self.sends + other.sends, self.send_ms + other.send_ms, pushes, disk)


def percentiles(bench: Bench) -> None:
    """Idle, at half the peak, and beside each background."""
    share = min(1.0, bench.seconds / _FULL_SECONDS)
    samples, beside = (
        max(50, int(_SAMPLES * share)),
        max(50, int(_BESIDE_SAMPLES * share)),
    )
    turns = _TURNS if share > 0.1 else 1
    with bench.client() as operator:
        operator.start_session("probe_a", role="orchestrator")
        operator.start_session("probe_b")
        for number in range(LOADERS):
            operator.start_session(f"loader_{number}", role="orchestrator")
        for number in range(LOAD_RECEIVERS):
            operator.start_session(f"load_{number}")
    idle = _phase(bench, _IDLE_PER_S, samples)
    peak, filed = _peak(bench, max(1_000, int(_PEAK_MESSAGES * share)))
    bench.row(
        "peak, 4 x 16 in flight", f"{peak:,.0f} /s", f"one message a request; {filed:,.0f} /s until all is filed"
    )
    half, loaded = _at_half(bench, peak, samples)
    _, sustained = _at_half(bench, filed, max(50, samples // 2))
    lines = {
        f"send, idle ({_IDLE_PER_S:.0f} a second)": idle.send_ms,
        "push, idle": idle.push_ms,
        f"send, half the peak ({peak / 2:,.0f} a second)": loaded,
        "push, half the peak": half.push_ms,
        f"send, half of what is filed as well ({filed / 2:,.0f} a second)": sustained,
        "the disk alone, meanwhile: idle": idle.disk_ms,
        "the disk alone, meanwhile: half the peak": half.disk_ms,
    }
    rows = [_row(bench, name, times) for name, times in lines.items()]
    bench.findings.add(
        Table(
            PART,
            "How long a send and a push take",
            ["what", "samples", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "worst ms"],
            rows,
            f"Open loop: a send's time counts from when it was due. A push's counts from the sender's `accepted` "
            f"until the body is in a watcher's hand; at half the peak {_PROBES_PER_S:.0f} a second are watched. "
            "`The disk alone`: a write of one record and its fdatasync by another process, at a pace of its own.",
        )
    )
    bench.findings.add(_plot("percentiles", "Send and push by percentile", lines))
    late_sends(bench, peak, filed, SECONDS * share)
    whole = len(idle.push_ms) == samples and len(half.push_ms) == len(half.send_ms) > 0
    whole = _backgrounds(bench, beside, turns, int(_OLD_MESSAGES * share)) and whole
    bench.figures["percentiles_whole"] = float(whole)
    for name, times in zip(_FIGURES, lines.values(), strict=True):
        bench.figures |= {f"{name}_p{100 * one:g}_ms": percentile(sorted(times), one) for one in _SHARES}


def _phase(bench: Bench, rate_per_s: float, count: int, loaders: Crew | None = None) -> Seen:
    """`count` watched sends. `loaders` begin once every other process is ready: a program that starts takes the cores
    from the broker for a quarter of a second."""
    watchers = Crew(watch, [Watch(bench.data, bench.environ, "probe_b", count)])
    syncs = count // _SENDS_A_SYNC
    disk = Crew(sync_paced, [Syncs(bench.scratch, rate_per_s / _SENDS_A_SYNC, syncs)])
    watchers.begin()
    disk.begin()
    if loaders is not None:
        loaders.begin()
    sends = send_paced(Pace(bench.endpoints.router, "probe_a", ("probe_b",), rate_per_s, count))
    got: dict[str, float] = watchers.results()[0]
    pushes = [max(0.0, got[send.id] - send.accepted_s) * 1000 for send in sends if send.id in got]
    return Seen(sends, [send.ms for send in sends], pushes, disk.results()[0])


def _peak(bench: Bench, count: int) -> tuple[float, float]:
    """Messages per second without a pace: accepted, and until the last of them is a file."""
    loaders = Crew(send_at_once, load(bench.endpoints.router, LOADERS, 0.0, count))
    loaders.begin()
    times_s: list[tuple[float, float]] = loaders.results()
    until_filed(bench)
    began_s = min(begin for begin, _ in times_s)
    return count / (max(end for _, end in times_s) - began_s), count / (time.monotonic() - began_s)


def _at_half(bench: Bench, peak_per_s: float, samples: int) -> tuple[Seen, list[float]]:
    """The watched sends, and the times of all in ms. In pieces, since the peak is a burst's, and half of it is still
    more than the disk makes files of for long: what is not filed yet is bounded."""
    rate = max(peak_per_s / 2 - _PROBES_PER_S, 1.0)
    pieces = math.ceil(rate * samples / _PROBES_PER_S / _UNFILED_MAX)
    each = samples // pieces
    seen, sends, lag_s, unfiled = Seen([], [], [], []), [], 0.0, 0
    for _ in range(pieces):
        count = int(rate * each / _PROBES_PER_S)
        loaders = Crew(send_paced, load(bench.endpoints.router, PACED_LOADERS, rate, count))
        seen += _phase(bench, _PROBES_PER_S, each, loaders)
        of_loaders: list[list[Timed]] = loaders.results()
        sends += [send.ms for one in of_loaders for send in one]
        with bench.client() as operator:
            unfiled = max(unfiled, operator.stats()["filingBacklog"])
        lag_s = max(lag_s, until_filed(bench))
    bench.row(
        f"  at {peak_per_s / 2:,.0f} a second, not yet filed at the end",
        f"{unfiled:,}",
        f"filed {lag_s:.1f} s later; {pieces} pieces",
    )
    return seen, seen.send_ms + sends


def _backgrounds(bench: Bench, samples: int, turns: int, old: int) -> bool:
    """Each beside its control; whether all pushes arrived and every background did something."""
    checkpoints = Checkpoints(bench)
    makers: dict[str, tuple[str, Callable[[], Background]]] = {
        "slow_subscriber": (
            "a subscriber that never reads",
            lambda: SlowSubscriber(bench),
        ),
        "sweep": ("a full sweep", lambda: Sweeping(bench, old)),
        "checkpoints": ("checkpoints", lambda: checkpoints),
        # Last, since it starts the broker again, with another limit.
        "inbox": (
            "a 1,000-message inbox, read again and again",
            lambda: InboxReads(bench),
        ),
    }
    whole = True
    rows: list[list[Cell]] = []
    lines: dict[str, list[float]] = {}
    for key, (name, make) in makers.items():
        quiet, beside, did, words = _in_turns(bench, make(), samples // turns, turns)
        whole = whole and did > 0 and len(quiet.push_ms) == len(beside.push_ms) == samples // turns * turns
        disk = _p99(beside.disk_ms), _p99(quiet.disk_ms)
        pairs = {
            "send": (beside.send_ms, quiet.send_ms),
            "push": (beside.push_ms, quiet.push_ms),
        }
        for what, (times, control) in pairs.items():
            said = words if what == "send" else ""
            rows.append(_beside(bench, f"{what} beside {name}", times, control, disk, said))
            bench.figures[f"{key}_{what}_p99_ms"] = _p99(times)
        bench.figures[f"{key}_disk_p99_ms"] = _p99(beside.disk_ms)
        if key == "checkpoints":
            near = [send.ms for send in beside.sends if _is_near(send, checkpoints.times_s)]
            when = f"send in the {_CHECKPOINT_S:g} s before a checkpoint was over"
            rows += [_beside(bench, when, near, quiet.send_ms, disk, f"{len(near):,} of them")] if near else []
        lines |= {
            f"beside {name}": beside.send_ms,
            "quiet": lines.get("quiet", []) + quiet.send_ms,
        }
    bench.findings.add(
        Table(
            PART,
            "Beside background work",
            [
                "what",
                "p50 ms",
                "p99 ms",
                "worst ms",
                "quiet: p50 ms",
                "p99 ms",
                "worst ms",
                "the disk's p99 ms",
                "quiet: the disk's",
                "bar, p99",
                "meanwhile",
            ],
            rows,
            f"{samples // turns * turns:,} sends each, {_IDLE_PER_S:.0f} a second, the control in turns with them. "
            "Where the disk alone is as slow, the bar says nothing about the broker: repeat it on a quiet machine.",
        )
    )
    bench.findings.add(_plot("percentiles-beside", "Sends beside background work, by percentile", lines))
    return whole


def _in_turns(bench: Bench, background: Background, each: int, turns: int) -> tuple[Seen, Seen, float, str]:
    """Without and with it; the least that it did in a turn, and its words for all."""
    quiet = beside = Seen([], [], [], [])
    did, words = float("inf"), []
    for _ in range(turns):
        quiet += _phase(bench, _IDLE_PER_S, each)
        background.begin()
        beside += _phase(bench, _IDLE_PER_S, each)
        number, said = background.end()
        did = min(did, number)
        words.append(said)
    return quiet, beside, did, "; then ".join(words)


def _p99(times: list[float]) -> float:
    return percentile(sorted(times), 0.99)


def _is_near(send: Timed, times_s: list[float]) -> bool:
    return any(send.due_s <= at_s and send.accepted_s >= at_s - _CHECKPOINT_S for at_s in times_s)


def _row(bench: Bench, name: str, times: list[float]) -> list[Cell]:
    ordered = sorted(times)
    found = [percentile(ordered, share) for share in _SHARES]
    figures = " / ".join(f"{one:.3g}" for one in (*found, ordered[-1]))
    bench.row(f"{name}, ms", figures, f"p50 / p90 / p99 / p99.9 / worst of {len(ordered):,}")
    return [name, len(ordered), *found, ordered[-1]]


def _beside(
    bench: Bench, name: str, times: list[float], control: list[float], disk: tuple[float, float], words: str
) -> list[Cell]:
    """`disk`: its own p99 meanwhile, in ms, beside the background and in the quiet turns."""
    ordered, quiet = sorted(times), sorted(control)
    found = [percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1]]
    calm = [percentile(quiet, 0.5), percentile(quiet, 0.99), quiet[-1]]
    held = "held" if found[1] <= P99_MS_MAX else "MISSED"
    if found[1] > P99_MS_MAX and max(disk) > P99_MS_MAX:
        held += ", as by the disk alone"
    figures, control_figures = (" / ".join(f"{one:.3g}" for one in each) for each in (found, calm))
    disk_figures = " / ".join(f"{one:.3g}" for one in disk)
    note = f"quiet {control_figures}; bar p99 {P99_MS_MAX:.0f}: {held}; the disk's p99 {disk_figures}"
    bench.row(f"{name}, ms", figures, f"{note}; {words}" if words else note)
    return [name, *found, *calm, *disk, f"{P99_MS_MAX:.0f} ms: {held}", words]


def _plot(name: str, title: str, lines: dict[str, list[float]]) -> Plot:
    return Plot(
        PART,
        name,
        title,
        _AXIS,
        "ms",
        {label: curve(sorted(times)) for label, times in lines.items()},
        log_x=True,
        log_y=True,
    )


def curve(ordered: list[float]) -> list[tuple[float, float]]:
    """Points (1 / (1 - p), the time at p) of sorted times, evenly on a log axis, up to the worst."""
    points: list[tuple[float, float]] = []
    x, most = 1.0, float(len(ordered))
    while x < most:
        points.append((x, percentile(ordered, 1 - 1 / x)))
        x *= 1.25
    return [*points, (most, ordered[-1])] if ordered else []
