"""Fan-outs: what a message to several sessions costs the broker's main loop, beside single sends of the same run.

Rule: the CPU time of the main loop's thread, from the request until all is filed and memory has released it, with an
observer of everything. An idle broker works too, so that each time is less what an idle moment of the same length
took, in turns. A mailbox is empty if its marker is not set; then the marker is part of the cost.
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq

from bench import house
from bench.findings import Table
from bench.house import TEXT, Row, Side, Wire
from bench.scale import slope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.run import Bench

SIZES = (1, 2, 4, 16, 64, 256)
# What the broker of a measurement needs. 256 is the most that may be set.
SETTINGS = {"MAESTRO_FANOUT_MAX": "256"}
# A fan-out to 64 may cost this many single sends.
BAR_AT, BAR = 64, 25.0
ROUNDS = 10
# How long a send is followed, and longer for each receiver: until it is filed.
_FOLLOWED_S = 0.03
_FOLLOWED_EACH_S = 0.001
# Messages in flight, and how many there are of them, or deliveries.
_IN_FLIGHT = 16
_STREAM, _STREAM_MIN = 256, 32


class FanOuts:
    """One broker with a sender, and for each size a project with that many sessions."""

    def __init__(self, router: str, notices: str, pid: int, sizes: tuple[int, ...] = SIZES) -> None:
        self._wire = Wire(router)
        self._times = f"/proc/{pid}/task/{pid}/schedstat"
        self._context = zmq.Context()
        self._observer = self._context.socket(zmq.SUB)
        self._observer.setsockopt(zmq.RCVHWM, 0)
        self._observer.connect(notices)
        self._observer.subscribe(b"")
        self._numbers = itertools.count()
        self._wire.ask(b"session.start", {"id": "fan_from", "role": "orchestrator"})
        for size in sizes:
            for number in range(size):
                session = {"id": _member(size, number), "role": "worker", "projectId": f"of_{size}"}
                self._wire.ask(b"session.start", session)
        for size in sizes:
            self._followed(size, lambda: None)

    def cost_us(self, size: int, *, is_empty: bool) -> float:
        """The main loop's CPU time for one message to `size` sessions, whose mailboxes are empty or not."""
        if is_empty:
            self._empty(size)
        else:
            self._send(size)
            self._followed(size, lambda: None)
        idle_us = self._followed(size, lambda: None)
        busy_us = self._followed(size, lambda: self._send(size))
        self._drain()
        return busy_us - idle_us

    def streamed_us(self, size: int) -> float:
        """The same for one of many messages in flight, into mailboxes with mail."""
        count = max(_STREAM // size, _STREAM_MIN)
        idle_us = self._followed(count * size, lambda: None)
        busy_us = self._followed(count * size, lambda: self._stream(size, count))
        self._drain()
        return (busy_us - idle_us) / count

    def close(self) -> None:
        self._wire.close()
        self._observer.close(0)
        self._context.term()

    def _followed(self, size: int, work: Callable[[], object]) -> float:
        began_us = self._cpu_us()
        work()
        time.sleep(_FOLLOWED_S + _FOLLOWED_EACH_S * size)
        return self._cpu_us() - began_us

    def _cpu_us(self) -> float:
        with open(self._times, encoding="ascii") as file:
            return int(file.read().split()[0]) / 1000

    def _body(self, size: int) -> dict[str, Any]:
        to = _member(1, 0) if size == 1 else f"@project:of_{size}"
        message = {"id": f"fan_{next(self._numbers)}", "to": to, "message": TEXT, "confirm": True}
        return {"messages": [message], "as": {"session": "fan_from"}}

    def _send(self, size: int) -> None:
        result = self._wire.ask(b"send", self._body(size))["results"][0]
        if result["status"] != 201 or result.get("accepted", 1) != size:
            raise RuntimeError(f"a message to {size}: {result}")

    def _stream(self, size: int, count: int) -> None:
        for number in range(count + _IN_FLIGHT):
            if number < count:
                self._wire.post(b"send", self._body(size))
            if number >= _IN_FLIGHT:
                self._wire.reply()

    def _empty(self, size: int) -> None:
        for number in range(size):
            session = _member(size, number)
            while ids := [
                each["id"] for each in self._wire.ask(b"inbox", {"session": session, "limit": 256})["messages"]
            ]:
                self._wire.ask(b"delete", {"session": session, "ids": ids})
        self._followed(size, lambda: None)

    def _drain(self) -> None:
        while self._observer.poll(0):
            self._observer.recv_multipart()


def _member(size: int, number: int) -> str:
    return f"of_{size}_{number}"


class Costs(NamedTuple):
    """Microseconds of all rounds: by size and emptiness, and by size of one in a stream."""

    of: dict[tuple[int, bool], list[float]]
    streamed: dict[int, list[float]]

    def us(self, size: int, *, is_empty: bool) -> float:
        """The median."""
        return statistics.median(self.of[size, is_empty])

    def ratio(self, size: int, *, is_empty: bool) -> float:
        """To a single send of the same kind."""
        return self.us(size, is_empty=is_empty) / self.us(1, is_empty=is_empty)


def measured(fan_outs: FanOuts, rounds: int, sizes: tuple[int, ...] = SIZES) -> Costs:
    """All sizes in turns."""
    costs = Costs({(size, is_empty): [] for size in sizes for is_empty in (False, True)}, {})
    for _ in range(rounds):
        for size in (1, BAR_AT):
            costs.streamed.setdefault(size, []).append(fan_outs.streamed_us(size))
        for (size, is_empty), values in costs.of.items():
            values.append(fan_outs.cost_us(size, is_empty=is_empty))
    return costs


def fan_outs(bench: Bench) -> None:
    """The costs by size, in this run's single sends."""
    measuring = FanOuts(bench.endpoints.router, bench.endpoints.notices, bench.endpoints.pid)
    try:
        costs = measured(measuring, ROUNDS)
    finally:
        measuring.close()
    rows: list[list[Any]] = []
    for size in SIZES:
        row: list[Any] = [size]
        for is_empty in (False, True):
            us = costs.us(size, is_empty=is_empty)
            row += [us, costs.ratio(size, is_empty=is_empty), us / size]
        rows.append(row)
        bench.row(
            f"fan-out to {size}: with mail, empty",
            f"{row[1]:,.0f} / {row[4]:,.0f} us",
            f"{row[2]:.1f} / {row[5]:.1f} x one send" + (f"; bar {BAR:g}" if size == BAR_AT else ""),
        )
    steep = [slope([(row[0], row[place]) for row in rows]) for place in (3, 6)]
    each = f"slope of the cost of each delivery: {steep[0]:+.3f} with mail, {steep[1]:+.3f} empty"
    bench.row("  by receivers", "", f"{each}; bar 0.1")
    one, many = (statistics.median(costs.streamed[size]) for size in (1, BAR_AT))
    in_flight = f"{_IN_FLIGHT} in flight, with mail: to 1, to {BAR_AT}"
    bench.row(in_flight, f"{one:,.0f} / {many:,.0f} us", f"{many / one:.1f} x one send; bar {BAR:g}")
    bench.figures |= {
        "fan_out_ratio": costs.ratio(BAR_AT, is_empty=False),
        "fan_out_ratio_empty": costs.ratio(BAR_AT, is_empty=True),
        "fan_out_ratio_streamed": many / one,
        "fan_out_slope": steep[0],
        "fan_out_slope_empty": steep[1],
    }
    bench.findings.add(
        Table(
            "fan_outs",
            "A message to several sessions: CPU time of the main loop, by the number of receivers",
            ["receivers", "with mail, us", "x one send", "us each", "empty, us", "x one send ", "us each "],
            rows,
            f"{each.capitalize()}. "
            f"Medians of {ROUNDS} rounds, all sizes in turns, with an observer of everything, until it is filed. "
            f"With {_IN_FLIGHT} in flight, a message to one takes {one:.0f} us and one to {BAR_AT} {many:.0f} us: "
            f"{many / one:.1f} times as much. The bar is {BAR:g} times.",
        )
    )


def beside(against: str, ours: str, base: str | None, rounds: int) -> list[Row]:
    """Two checkouts in turns; both know audiences."""
    sides: list[Side] = []
    measuring: dict[str, FanOuts] = {}
    try:
        for label, checkout in (("before", against), ("after", ours)):
            side = Side(label, checkout, base, SETTINGS)
            sides.append(side)
            found = side.endpoints
            measuring[label] = FanOuts(found["router"], found["notices"], int(found["pid"]))
        rows = list(_rows(measuring, rounds))
        for row in rows:
            print(house.text(row), flush=True)
    finally:
        for each in measuring.values():
            each.close()
        for side in sides:
            side.stop()
    return rows


def _rows(measuring: dict[str, FanOuts], rounds: int) -> Iterator[Row]:
    found: dict[str, list[Costs]] = {label: [] for label in measuring}
    for turn in range(rounds):
        for label in list(measuring) if turn % 2 else reversed(list(measuring)):
            found[label].append(measured(measuring[label], 1))
    for size in SIZES:
        for is_empty in (False, True):
            values = {label: [costs.us(size, is_empty=is_empty) for costs in each] for label, each in found.items()}
            kind = "empty" if is_empty else "with mail"
            yield Row(f"to {size}, {kind}: CPU of the loop, us", values, is_rate=False)
    for size in (1, BAR_AT):
        values = {label: [costs.streamed[size][0] for costs in each] for label, each in found.items()}
        yield Row(f"to {size}, {_IN_FLIGHT} in flight: CPU of the loop, us", values, is_rate=False)
