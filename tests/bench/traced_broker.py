"""Traced broker: the broker as it is, with a record of when its main loop did what, and of each turn's messages.

Rule: nothing in the broker knows of it. The loop's life is cut into spans without gaps, each with the CPU time that
the thread really got and the time it waited for a core, so that what a send waited for can be looked up afterwards.
Only borders that a turn passes a few times are watched, so a turn costs about 20 us more. The line `begin` on
standard input forgets what was recorded, any other writes it to the file of `--out`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from array import array
from typing import TYPE_CHECKING, Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from maestro_broker import __main__ as broker
from maestro_broker.commit.local import segment
from maestro_broker.commit.local.journal import Journal
from maestro_broker.core.model.records import Accepted
from maestro_broker.server.commit_pipeline import CommitPipeline
from maestro_broker.server.expiry_task import ExpiryTask
from maestro_broker.server.loop import Loop
from maestro_broker.transport.local_listener import LocalListener
from maestro_broker.transport.zmtp_router import ZmtpRouter
from maestro_broker.views.spool_writer import SpoolWriter
from maestro_broker.views.write_behind import WriteBehindQueue

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT, WORK, SYNC, SEGMENT, PRESSURE, GARBAGE = (
    "waits for requests",
    "works",
    "fdatasync",
    "makes a segment",
    "waits for the spool writer",
    "collects garbage",
)
STAGES = (WAIT, WORK, SYNC, SEGMENT, PRESSURE, GARBAGE)
# Whose function, its name, and what the loop does in it. All else is work.
PLACES: list[tuple[Any, str, str]] = [
    (ZmtpRouter, "wait", WAIT),
    (segment, "sync_data", SYNC),
    (segment, "make_zeros", SEGMENT),
    (Journal, "_roll", SEGMENT),
    (SpoolWriter, "wait_for_progress", PRESSURE),
    (WriteBehindQueue, "take_filed", WORK),
    (LocalListener, "flush", WORK),
    (ExpiryTask, "turn", WORK),
    (Loop, "_tick", WORK),
]


class Trace:
    """What the main loop's thread did, in ns of the steady clock."""

    def __init__(self) -> None:
        self._thread = 0
        self._open = [STAGES.index(WORK)]
        self._since = self._cpu = self._delay = self._statistics = 0
        self.spans = array("q")  # five numbers each: stage, from, to, CPU time, time without a core
        self.turns = array("q")  # four numbers each: begin, decided, answered, messages
        self.ids: list[str] = []
        self._turn = [0, 0, 0]

    def clear(self) -> None:
        """Forget what was recorded."""
        del self.spans[:], self.turns[:], self.ids[:]

    def found(self) -> dict[str, Any]:
        """For the one who asked."""
        return {"stages": STAGES, "spans": self.spans.tolist(), "turns": self.turns.tolist(), "ids": self.ids}

    def _border(self, stage: int) -> None:
        now, cpu, delay = self._clocks()
        self.spans.extend((stage, self._since, now, cpu - self._cpu, delay - self._delay))
        self._since, self._cpu, self._delay = now, cpu, delay

    def _clocks(self) -> tuple[int, int, int]:
        """The second number of schedstat counts how long the thread was ready to run and had no core."""
        delay = int(os.pread(self._statistics, 64, 0).split()[1])
        return time.monotonic_ns(), time.thread_time_ns(), delay

    def spanned(self, work: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The same function; on the loop's thread its time is the stage's."""
        number, opened = STAGES.index(stage), self._open

        def call(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return work(*arguments, **named)
            self._border(opened[-1])
            opened.append(number)
            try:
                return work(*arguments, **named)
            finally:
                self._border(opened.pop())

        return call

    def collecting(self, phase: str, _: dict[str, int]) -> None:
        """For `gc.callbacks`."""
        if threading.get_ident() == self._thread:
            self._border(self._open[-1])
            if phase == "start":
                self._open.append(STAGES.index(GARBAGE))
            else:
                self._open.pop()

    def turning(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """`Loop._carry_out`, whose beginning is a turn's."""

        def turn(loop: Loop, others: list[int]) -> None:
            if not self._thread:
                self._thread = threading.get_ident()
                self._statistics = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
                self._since, self._cpu, self._delay = self._clocks()
            self._turn[0] = time.monotonic_ns()
            work(loop, others)

        return turn

    def submitting(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """`CommitPipeline.submit`, which comes once everything is decided."""

        def submit(pipeline: CommitPipeline) -> Any:
            self._turn[1] = time.monotonic_ns()
            return work(pipeline)

        return submit

    def putting(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """`WriteBehindQueue.put`, which comes once the replies were sent."""

        def put(queue: WriteBehindQueue, changes: Any, bodies_bytes: int) -> None:
            begin, decided, _ = self._turn
            ids = [change.record.message.id for change in changes if isinstance(change.record, Accepted)]
            self.turns.extend((begin, decided, time.monotonic_ns(), len(ids)))
            self.ids += ids
            work(queue, changes, bodies_bytes)

        return put


def _listen(trace: Trace, out: str) -> None:
    """Do what standard input says."""
    for line in sys.stdin:
        if line == "begin\n":
            trace.clear()
        else:
            with open(f"{out}.part", "w", encoding="utf-8") as file:
                json.dump(trace.found(), file)
            os.rename(f"{out}.part", out)


def main() -> int:
    """The broker's life; the arguments after `--out FILE` are its own."""
    out = sys.argv[2]
    del sys.argv[1:3]
    trace = Trace()
    for owner, function, stage in PLACES:
        setattr(owner, function, trace.spanned(getattr(owner, function), stage))
    Loop._carry_out = trace.turning(Loop._carry_out)  # type: ignore[method-assign]
    CommitPipeline.submit = trace.submitting(CommitPipeline.submit)  # type: ignore[method-assign]
    WriteBehindQueue.put = trace.putting(WriteBehindQueue.put)  # type: ignore[method-assign]
    gc.callbacks.append(trace.collecting)
    threading.Thread(target=_listen, args=(trace, out), daemon=True).start()
    return broker.main()


if __name__ == "__main__":
    sys.exit(main())
