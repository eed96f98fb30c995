"""Staged broker: the broker as it is, with a clock at the border of each of its stages.

Rule: nothing in the broker knows of it. A stage's time is its own, without that of the stages inside it, so that all
stages of a thread add up to its life. The line `begin` on standard input restarts the count, any other writes the
one that is there to the file of `--out`. The main loop is measured by the wall clock, since it waits for the disk;
the spool writer by its own CPU time, since it mostly waits for the main loop.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from maestro_broker import __main__ as broker
from maestro_broker.commit.disk_admission import DiskAdmission
from maestro_broker.commit.local import segment
from maestro_broker.core import commands
from maestro_broker.core.model import records
from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.server import dispatch
from maestro_broker.server.admission import Admission
from maestro_broker.server.commit_pipeline import CommitPipeline
from maestro_broker.server.expiry_task import ExpiryTask
from maestro_broker.server.loop import Loop
from maestro_broker.server.metrics import BrokerMetrics
from maestro_broker.transport import notices
from maestro_broker.transport.local_listener import LocalListener
from maestro_broker.transport.zmtp_router import ZmtpRouter
from maestro_broker.views import spool_writer
from maestro_broker.views.spool import Spool
from maestro_broker.views.timeline import Timeline
from maestro_broker.views.write_behind import WriteBehindQueue

if TYPE_CHECKING:
    from collections.abc import Callable

# Whose function, its name, and the stage that its time belongs to.
LOOP: list[tuple[Any, str, str]] = [
    (ZmtpRouter, "wait", "wait for requests"),
    (ZmtpRouter, "_read", "receive"),
    (Admission, "admit", "decode"),
    (dispatch, "decode_request", "decode"),
    (DiskAdmission, "admit", "decide"),
    (commands, "execute", "decide"),
    (BrokerMetrics, "answered", "count"),
    (BrokerMetrics, "committed", "count"),
    (dispatch, "_encode", "reply: encode"),
    (records, "encode", "journal: encode"),
    (segment, "pack_records", "journal: pack, CRC"),
    (segment, "write_all", "journal: write"),
    (segment, "sync_data", "journal: sync"),
    (CommitPipeline, "_mark", "markers"),
    (LocalListener, "reply", "reply: frames"),
    (LocalListener, "flush", "reply: send"),
    (notices, "publish", "publish"),
    (WriteBehindQueue, "put", "hand over to the spool writer"),
    (WriteBehindQueue, "take_filed", "hand over to the spool writer"),
    (ExpiryTask, "turn", "upkeep"),
    (Loop, "_tick", "upkeep"),
    (CommitPipeline, "submit", "the loop itself"),
    (Loop, "_carry_out", "the loop itself"),
]
WRITER: list[tuple[Any, str, str]] = [
    (Spool, "write_message", "file: the message"),
    (Spool, "file_sent", "file: the sender's link"),
    (Timeline, "append", "file: the audit"),
    (spool_writer, "event", "file: the audit"),
    (Checkpoint, "apply", "file: counters"),
    (spool_writer.SpoolWriter, "_write", "file: the spool writer itself"),
]


class Clock:
    """The time of each stage of one thread, in ns, and how often it was entered."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._open = ["the rest"]
        self._since_ns = 0
        self._thread = 0
        self._spent_ns: dict[str, int] = {}
        self._entered: dict[str, int] = {}
        self.begins = True  # with the next stage

    def found(self) -> dict[str, dict[str, int]]:
        """What was counted so far; from any thread."""
        return {"spent_ns": dict(self._spent_ns), "entered": dict(self._entered)}

    def _begin(self) -> None:
        self.begins = False
        self._thread = threading.get_ident()
        self._spent_ns.clear()
        self._entered.clear()
        self._since_ns = self._now_ns()

    def timed(self, work: Callable[..., Any], stage: str, *, is_first: bool = False) -> Callable[..., Any]:
        """The same function; on the clock's thread its time is the stage's. `is_first`: a count begins with it."""
        ident, now = threading.get_ident, self._now_ns
        spent_ns, entered, opened = self._spent_ns, self._entered, self._open

        def call(*arguments: Any, **named: Any) -> Any:
            if is_first and self.begins:
                self._begin()
            if ident() != self._thread:
                return work(*arguments, **named)
            now_ns = now()
            outer = opened[-1]
            spent_ns[outer] = spent_ns.get(outer, 0) + now_ns - self._since_ns
            self._since_ns = now_ns
            opened.append(stage)
            entered[stage] = entered.get(stage, 0) + 1
            try:
                return work(*arguments, **named)
            finally:
                opened.pop()
                now_ns = now()
                spent_ns[stage] = spent_ns.get(stage, 0) + now_ns - self._since_ns
                self._since_ns = now_ns

        return call


def _listen(clocks: dict[str, Clock], out: str) -> None:
    """Do what standard input says."""
    for line in sys.stdin:
        if line == "begin\n":
            for clock in clocks.values():
                clock.begins = True
        else:
            with open(f"{out}.part", "w", encoding="utf-8") as file:
                json.dump({name: clock.found() for name, clock in clocks.items()}, file)
            os.rename(f"{out}.part", out)


def main() -> int:
    """The broker's life; the arguments after `--out FILE` are its own."""
    out = sys.argv[2]
    del sys.argv[1:3]
    clocks = {"loop": Clock(time.perf_counter_ns), "writer": Clock(time.thread_time_ns)}
    for name, places in (("loop", LOOP), ("writer", WRITER)):
        for owner, function, stage in places:
            is_first = function in ("_carry_out", "_write")
            setattr(owner, function, clocks[name].timed(getattr(owner, function), stage, is_first=is_first))
    threading.Thread(target=_listen, args=(clocks, out), daemon=True).start()
    return broker.main()


if __name__ == "__main__":
    sys.exit(main())
