"""Late sends: where the time of the slowest sends at half the peak goes, in the broker with a trace.

Rule: the rates are those of the part `percentiles`. A burst's peak is reached without files being written, so half of
it is measured beside half of what the machine also files, and that once more while the spool writer is so far behind
that it works in every gap of the loop. The last scene is a control: two programs start meanwhile, as the bench's own
watcher and disk probe did until they were started before the load, and take the cores from the broker and the client.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import traced_broker
from bench.findings import Table
from bench.instrumented import InstrumentedBroker
from bench.lateness import ROWS, Trace, slowest
from bench.paced import TEXT, Crew, Pace, Timed, send_paced
from bench.references import percentile
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.lateness import Split
    from bench.run import Bench
    from maestro_schemas.documents import OutgoingDoc

PART = "percentiles"
P99_MS_MAX = 20.0
LOADERS = 4
# At a pace: fewer, since each wakes up for itself, and two CPUs have the broker to run as well.
PACED_LOADERS = 2
LOAD_RECEIVERS = 64
SECONDS = 3.0
# From this share of its limit on, the spool writer works in every gap (write_behind.py).
_FULL = 0.8
_BACKLOG_BYTES = 192 << 20
_BACKLOG_BYTES_MIN = 4 << 20
_TOP_UP = 256
_WORST = 0.01


class Scene(NamedTuple):
    """Sends at `rate_per_s`."""

    name: str
    rate_per_s: float
    is_filed: bool = False
    starts_programs: bool = False


def load(router: str, loaders: int, rate_per_s: float, count: int) -> list[Pace]:
    """`count` sends by `loaders` clients."""
    receivers = tuple(f"load_{number}" for number in range(LOAD_RECEIVERS))
    each = rate_per_s / loaders, count // loaders
    return [Pace(router, f"loader_{number}", receivers, *each) for number in range(loaders)]


def late_sends(bench: Bench, peak_per_s: float, filed_per_s: float, seconds: float) -> None:
    """Each scene, `seconds` long."""
    scenes = (
        Scene("half of what is filed as well", filed_per_s / 2),
        Scene("half the peak", peak_per_s / 2),
        Scene("half the peak, while two programs start", peak_per_s / 2, starts_programs=True),
        Scene("half of what is filed as well, while files are written", filed_per_s / 2, is_filed=True),
    )
    found: dict[str, tuple[list[Timed], Split, int]] = {}
    office = _Office(bench, "traced", _BACKLOG_BYTES)
    try:
        for scene in scenes:
            if scene.is_filed:
                office.stop()
                room = max(_BACKLOG_BYTES_MIN, int(_BACKLOG_BYTES * seconds / SECONDS))
                office = _Office(bench, "traced_behind", room)
            found[scene.name] = office.play(scene, seconds)
    finally:
        office.stop()
    _show(bench, scenes, found)


def _show(bench: Bench, scenes: tuple[Scene, ...], found: dict[str, tuple[list[Timed], Split, int]]) -> None:
    rows: list[list[Any]] = []
    for scene in scenes:
        sends, worst, filed = found[scene.name]
        ordered = sorted(send.ms for send in sends)
        p50, p90, p99 = (percentile(ordered, share) for share in (0.5, 0.9, 0.99))
        held = "held" if p99 <= P99_MS_MAX else "MISSED"
        rows.append([scene.name, round(scene.rate_per_s), len(sends), filed, p50, p90, p99, ordered[-1], held])
        largest = max(ROWS, key=worst.share)
        bench.row(
            f"{scene.name}, ms",
            f"{p50:.3g} / {p90:.3g} / {p99:.3g}",
            f"p50 / p90 / p99 of {len(sends):,} sends, {scene.rate_per_s:,.0f} a second; bar p99 {P99_MS_MAX:.0f}: "
            f"{held}; of the slowest hundredth's time {worst.share(largest):.0%} is {largest}",
        )
    columns = ["what", "a second", "sends", "filed meanwhile", "p50 ms", "p90 ms", "p99 ms", "worst ms", "bar, p99"]
    note = (
        "The broker with a trace, the open loop as above; the bar is 20 ms. What is filed as well: a burst's "
        "messages by the time until the last of them is a file."
    )
    bench.findings.add(Table(PART, "Sends at half the peak, and at half of what is sustained", columns, rows, note))
    shares: list[list[Any]] = []
    for row in ROWS:
        each = [found[scene.name][1] for scene in scenes]
        shares.append([row, *(f"{one.rows_ms[row]:.2f} ms, {one.share(row):.0%}" for one in each)])
        bench.row(f"  {row}", "  ".join(f"{one.share(row):4.0%}" for one in each))
    bench.findings.add(
        Table(
            PART,
            "The slowest hundredth of these sends: where their time went",
            ["from when it was due until `accepted`", *(scene.name for scene in scenes)],
            shares,
            "Mean of one send in ms, and its share. What the loop did, it did for this send or for those before it. "
            "`The scheduler`: by the kernel's count, the loop was ready to run and other programs had the cores.",
        )
    )


class _Office:
    """A broker with a trace, and its sessions."""

    def __init__(self, bench: Bench, name: str, backlog_bytes_max: int) -> None:
        self._backlog_bytes_max = backlog_bytes_max
        environ = {**bench.environ, "MAESTRO_FILING_BACKLOG_BYTES_MAX": str(backlog_bytes_max)}
        self._broker = InstrumentedBroker(traced_broker.__file__, os.path.join(bench.scratch, name), environ)
        self.stop = self._broker.stop
        for number in range(LOADERS):
            self._broker.operator.start_session(f"loader_{number}", role="orchestrator")
        for number in range(LOAD_RECEIVERS):
            self._broker.operator.start_session(f"load_{number}")

    def play(self, scene: Scene, seconds: float) -> tuple[list[Timed], Split, int]:
        """All sends, where the slowest spent their time, and how many were filed meanwhile."""
        router = self._broker.endpoints.router
        count = max(50, int(scene.rate_per_s * seconds))
        loaders = Crew(send_paced, load(router, PACED_LOADERS, scene.rate_per_s, count))
        if scene.is_filed:
            self._fall_behind()
        else:
            while self._backlog():  # so that each scene has the whole limit before it
                time.sleep(0.05)
        before = self._backlog()
        self._broker.begin()
        loaders.begin()
        if scene.starts_programs:
            _start_programs()
        sends: list[Timed] = [send for one in loaders.results() for send in one]
        filed = before + len(sends) - self._backlog()
        trace = Trace(self._broker.found())
        return sends, trace.split(slowest(sends, _WORST)), max(0, filed)

    def _backlog(self) -> int:
        return int(self._broker.operator.stats()["filingBacklog"])

    def _fall_behind(self) -> None:
        """Send until the spool writer works in every gap."""
        with Client(self._broker.endpoints.router, Caller("loader_0"), timeout_s=60.0) as client:
            while self._broker.operator.stats()["filingBacklogBytes"] < _FULL * self._backlog_bytes_max:
                outgoing: list[OutgoingDoc] = [
                    {"id": new_message_id(), "to": f"load_{number % LOAD_RECEIVERS}", "message": TEXT}
                    for number in range(_TOP_UP)
                ]
                assert all(result["status"] == 201 for result in client.pipeline(outgoing, in_flight=256, batch=64))


def _start_programs() -> None:
    """Two, and wait until they are ready."""
    crew = Crew(_ready, [None, None])
    crew.begin()
    crew.results()


def _ready(_: None, ready: Callable[[], None]) -> float:
    ready()
    return time.monotonic()
