"""SIGKILL in place of the Nth system call: during recovery, under load, and during a stop."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from fault import injection
from fault.ledger import judge
from fault.load import RECEIVERS, Load, start_sessions
from fault.test_kill import seed_of_run
from maestro_clients.processes.broker_process import find
from maestro_schemas.errors import MaestroError
from support.post_office import eventually

if TYPE_CHECKING:
    from support.post_office import PostOffice

CALLS = ("pwrite64", "fdatasync", "fsync", "rename", "linkat", "symlinkat", "unlink", "openat")
# The smallest segment size, so that the journal begins a new segment and deletes an old one within a second.
SEGMENT_BYTES = 1 << 16
LIFE_S = 0.6


def _die(post_office: PostOffice, load: Load) -> str:
    """One life under strace. Returns where it was killed: `recovery`, `load`, `stop`; `never` if the call was not
    reached."""
    post_office.begin(segment_bytes=SEGMENT_BYTES)
    try:
        post_office.await_ready()
    except MaestroError:
        assert post_office.ended == -signal.SIGKILL
        return "recovery"
    until_s = time.monotonic() + LIFE_S
    while find(post_office.data) is not None:
        if time.monotonic() > until_s:
            post_office.send_signal(signal.SIGTERM)
            ended = post_office.wait_end()
            assert ended in (0, -signal.SIGKILL)
            return "never" if ended == 0 else "stop"
        time.sleep(0.01)
    assert post_office.wait_end() == -signal.SIGKILL
    return "load"


def _sweep(post_office: PostOffice, each: int, capsys: pytest.CaptureFixture[str]) -> None:
    injection.require_strace()
    seed = seed_of_run()
    chance = random.Random(seed)
    post_office.start(segment_bytes=SEGMENT_BYTES)
    start_sessions(post_office)
    # Make a journal tail that must be recovered, and files that must be opened.
    with Load(post_office, seed, read=RECEIVERS[:2], round_max=8, pause_s=0.02) as load:
        eventually(lambda: len(load.lines) >= 500, "there is mail", 60.0)
        post_office.kill()
        first, last = injection.calls_of_a_start(post_office, CALLS)
        ends = dict.fromkeys(("recovery", "load", "stop", "never"), 0)
        for call in CALLS:
            # Half of the numbers are in the main thread's start. The others come after it, in the thread that
            # reaches them first.
            for number in range(each):
                low, high = first.get(call, 1), last.get(call, 0)
                within = number % 2 == 0 and high > 0
                when = chance.randint(low, high) if within else high + chance.randint(1, 20)
                post_office.launcher = injection.kill_at(call, when)
                ends[_die(post_office, load)] += 1
        post_office.launcher = []
        post_office.start()
    operator = post_office.client()
    verdict = judge(operator, RECEIVERS, load.lines, fates=load.fates)
    warnings = operator.stats()["warnings"]
    places = ", ".join(f"{count} {place}" for place, count in ends.items())
    with capsys.disabled():
        print(f"\n  killed at the Nth of {len(CALLS)} calls ({places}): {verdict.summary}; seed {seed}")
    assert verdict.clean, verdict
    assert verdict.unknown == [], "mail that no sender sent"
    assert warnings == []
    assert ends["recovery"], "no kill hit a recovery"
    assert ends["load"], "no kill hit the load"


@pytest.mark.timeout(180)
def test_kill_at_the_nth_call(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, which every run includes."""
    _sweep(fault_office, 2, capsys)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_kill_at_many_calls(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """More numbers of each call."""
    _sweep(fault_office, 30, capsys)
