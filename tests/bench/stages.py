"""Stages: the cost of a message in microseconds, step by step, in the broker's main loop and in its spool writer.

Rule: the real broker under real clients, with a clock at the border of each stage (`staged_broker`). The clocks
themselves take a few microseconds a message, which fall into the stages that they stand around: the shares count, and
the rates without clocks stand in the other parts.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq

from bench import staged_broker
from bench.findings import Table
from bench.instrumented import InstrumentedBroker
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.run import Bench
    from maestro_schemas.documents import OutgoingDoc

_TEXT = "x" * 512
_RECEIVERS = 64
_WARM_UP = 1_000
_WAIT = "wait for requests"


class Scene(NamedTuple):
    """One load. `share`: of the burst, a `share`th."""

    name: str
    in_flight: int
    batch: int
    is_watched: bool
    share: int


SCENES = (
    Scene("1 in flight, an observer of everything", 1, 1, True, 20),
    Scene("64 in flight, one a request", 64, 1, False, 2),
    Scene("256 in flight, 64 a request", 256, 64, False, 1),
)


def stages(bench: Bench) -> None:
    """Each scene's stages, in us a message."""
    office = _Office(bench)
    try:
        found = {scene: office.play(scene, max(bench.burst // scene.share, 64)) for scene in SCENES}
    finally:
        office.stop()
    for thread in ("loop", "writer"):
        names = {name for scene in SCENES for name in found[scene][thread]} - {_WAIT}
        ordered = sorted(names, key=lambda name: -sum(found[scene][thread].get(name, 0.0) for scene in SCENES))
        rows: list[list[Any]] = [
            [name, *(found[scene][thread].get(name, 0.0) for scene in SCENES)] for name in ordered
        ]
        rows.append(["in all", *(sum(row[place] for row in rows) for place in range(1, len(SCENES) + 1))])
        whose = "the main loop, by the wall clock" if thread == "loop" else "the spool writer, by its CPU time"
        bench.findings.add(
            Table(
                "profile",
                f"Microseconds a message: {whose}",
                ["stage", *(scene.name for scene in SCENES)],
                rows,
                "Decision 19 says what was done about the first ones." if thread == "loop" else "",
            )
        )
        for row in rows:
            bench.row(f"{thread}: {row[0]}", "  ".join(f"{value:8.2f}" for value in row[1:]) + " us")
    for scene, place in zip(SCENES, ("1", "64", "256"), strict=True):
        bench.figures[f"profile_loop_{place}_us"] = sum(found[scene]["loop"].values())
        bench.figures[f"profile_filer_{place}_us"] = sum(found[scene]["writer"].values())


class _Office:
    """A broker with clocks, in a directory of its own, and one client."""

    def __init__(self, bench: Bench) -> None:
        self._broker = InstrumentedBroker(
            staged_broker.__file__, os.path.join(bench.scratch, "staged"), bench.environ
        )
        self._operator = self._broker.operator
        self._operator.start_session("staged_a", role="orchestrator")
        for number in range(_RECEIVERS):
            self._operator.start_session(f"staged_{number}")
        self._client = Client(self._broker.endpoints.router, Caller("staged_a"), timeout_s=60.0)

    def play(self, scene: Scene, count: int) -> dict[str, dict[str, float]]:
        """By thread and stage, us a message."""
        context = zmq.Context()
        observer = context.socket(zmq.SUB)
        observer.setsockopt(zmq.RCVHWM, 0)
        if scene.is_watched:
            observer.connect(self._broker.endpoints.notices)
            observer.subscribe(b"")
        self._send(scene, _WARM_UP)
        self._broker.begin()
        self._send(scene, count)
        while self._operator.stats()["filingBacklog"]:
            time.sleep(0.05)
        clocks = self._broker.found()
        observer.close(0)
        context.term()
        return {
            thread: {name: ns / 1000 / count for name, ns in clock["spent_ns"].items() if name != _WAIT}
            for thread, clock in clocks.items()
        }

    def _send(self, scene: Scene, count: int) -> None:
        outgoing: Iterator[OutgoingDoc] = (
            {"id": new_message_id(), "to": f"staged_{number % _RECEIVERS}", "message": _TEXT}
            for number in range(count)
        )
        results = self._client.pipeline(outgoing, in_flight=scene.in_flight, batch=scene.batch)
        accepted = sum(result["status"] == 201 for result in results)
        if accepted != count:
            raise RuntimeError(f"{accepted} of {count} accepted")

    def stop(self) -> None:
        """End it in order."""
        self._client.close()
        self._broker.stop()
