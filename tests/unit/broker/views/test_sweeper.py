"""Sweeper: two threads change its rounds and counters at the same time, and no change is lost.

Rule: each test runs every interleaving of two calls at the granularity of bytecode. A trace stops one thread after a
given number of instructions, until the other has finished its call or waits for the lock.
"""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.clock import Clock
from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.state import State
from maestro_broker.core.retention import RetentionPolicy
from maestro_broker.views import sweeper as sweeper_module
from maestro_broker.views.spool import Spool
from maestro_broker.views.sweeper import Sweeper
from maestro_schemas.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

_WAIT_S = 30.0


class ObservedLock:
    """A lock that sets an event when a thread has to wait for it."""

    resume = threading.Event()

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.resume.set()
            assert self._lock.acquire(timeout=_WAIT_S)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.fixture
def new_sweeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Sweeper]:
    """Makes sweepers whose first round is due and whose slices end before the first step of a walk."""
    monkeypatch.setattr(sweeper_module, "Lock", ObservedLock, raising=False)
    for name in ("_FIRST_MS", "SLICE_S", "_LONG_SLICE_S"):
        monkeypatch.setattr(sweeper_module, name, 0)
    data = str(tmp_path)
    (tmp_path / "outbox").mkdir()
    spool = Spool(data, report=lambda _: None)
    state, clock = State(Limits(), Checkpoint()), Clock()
    policy = RetentionPolicy.of(Limits(), {})
    return lambda: Sweeper(data, spool=spool, timelines=(), state=state, policy=policy, clock=clock)


def interleave(first: Callable[[], Any], second: Callable[[], Any], stop_after: int) -> bool:
    """Run `first`, stop it after some instructions of the sweeper's module, and run `second` in that gap.

    False if `first` ended before; then `second` has not run.
    """
    gap, resume = threading.Event(), ObservedLock.resume
    resume.clear()
    left = stop_after

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != sweeper_module.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                gap.set()
                assert resume.wait(_WAIT_S)
        return trace

    def traced() -> None:
        sys.settrace(trace)
        try:
            first()
        finally:
            sys.settrace(None)
            gap.set()

    thread = threading.Thread(target=traced)
    thread.start()
    assert gap.wait(_WAIT_S)
    reached = left == 0
    if reached:
        second()
    resume.set()
    thread.join(_WAIT_S)
    assert not thread.is_alive()
    return reached


def test_a_requested_round_replaces_an_ordinary_one_that_begins_meanwhile(new_sweeper: Callable[[], Sweeper]) -> None:
    stop_after = 0
    while True:
        stop_after += 1
        sweeper = new_sweeper()
        numbers: list[int | None] = []

        def ask(sweeper: Sweeper = sweeper, numbers: list[int | None] = numbers) -> None:
            numbers.append(sweeper.ask(dry_run=True, older_than_ms=None))

        if not interleave(sweeper.work, ask, stop_after):
            break
        sweeper.work()
        [number] = numbers
        assert number is not None
        assert sweeper.stats()["dryRun"] is True, f"{stop_after}: the request waits for an ordinary round"
        report = sweeper.report(number)
        assert report is not None
        assert report.dry_run
        assert sweeper.ask(dry_run=True, older_than_ms=None) is None
    assert stop_after > 50


def test_a_count_belongs_to_one_round(new_sweeper: Callable[[], Sweeper]) -> None:
    """A new round never begins with the counts of the one before."""
    stop_after = 0
    while True:
        stop_after += 1
        sweeper = new_sweeper()
        sweeper.work()
        sweeper.count("expired", 5)
        sweeper.ask(dry_run=False, older_than_ms=None)
        if not interleave(functools.partial(sweeper.count, "expired"), sweeper.work, stop_after):
            break
        assert sweeper.stats()["expired"] in (0, 1), f"after {stop_after} instructions"
    assert stop_after > 5


def test_counts_of_two_threads_are_all_counted(new_sweeper: Callable[[], Sweeper]) -> None:
    stop_after = 0
    while True:
        stop_after += 1
        sweeper = new_sweeper()
        sweeper.work()
        count = functools.partial(sweeper.count, "expired")
        if not interleave(count, count, stop_after):
            break
        assert sweeper.stats()["expired"] == 2, f"after {stop_after} instructions"
    assert stop_after > 5
