"""Wake costs: what the waker costs the broker and its senders, beside nothing and beside a process of its own.

Run: `python tests/bench/wake_costs.py`. A shell that works for about as long as `codex queue` stands in its place.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from maestro_broker.waking.child import WakeChild
from maestro_broker.waking.steps import WakeCommand
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_runtime import hook_state, wake_facts
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import CODEX
from support.post_office import PostOffice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_runtime.hook_state import State

SESSIONS = 50
SENDS = 2_000
PACE_S = 0.005
ROUNDS = 5
_WORK = "i=0; while [ $i -lt 15000 ]; do i=$((i+1)); done; sleep 0.05"
_THREAD = "01a22be6-fce2-78d2-8e80-9473d6f1ee81"


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(prefix="mwake-") as root:
        office = PostOffice(root)
        office.start(wake_minute_limit=0, wake_hour_limit=0, wake_turns_max=0)
        try:
            _sends(office)
        finally:
            office.stop()
    _starts()


def _sends(office: PostOffice) -> None:
    program = os.path.join(office.root, "codex")
    with open(program, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\n{_WORK}\n")
    os.chmod(program, 0o700)
    names = [f"s{number}" for number in range(SESSIONS)]
    with Client(office.router()) as operator:
        for name in ("ann", "bob", *names):
            operator.start_session(name)
    for name in names:
        facts = WakeFacts(CODEX, os.getpid(), pid_start(os.getpid()), _THREAD, program, office.root)
        wake_facts.write(office.data, name, facts)
        with Client(office.router(), Caller(name)) as own:
            own.touch_session(agent="codex", pid=os.getpid(), pidStart=pid_start(os.getpid()), wakeBy=CODEX)
    _paced(office)
    found: dict[str, list[list[float]]] = {
        "alone": [],
        "beside the same commands of another process": [],
        "woken": [],
    }
    before_kib, wakes_before = _rss_kib(office.pid), _wakes(office)
    for _ in range(ROUNDS):
        # In turns, since the machine's own load changes.
        for kind, all_ms in found.items():
            all_ms.append(_paced(office, kind, names))
    for kind, all_ms in found.items():
        halves = [statistics.median(_at(took_ms, share) for took_ms in all_ms) for share in (0.5, 0.99)]
        print(f"sends {kind}: p50 {halves[0]:.2f}, p99 {halves[1]:.2f} ms (median of {ROUNDS} rounds of {SENDS:,})")
    print(f"wakes: {_wakes(office) - wakes_before}")
    print(
        f"RSS of the broker: {before_kib / 1024:.1f} MiB before the first wake, {_rss_kib(office.pid) / 1024:.1f} now"
    )


def _paced(office: PostOffice, kind: str = "alone", names: Sequence[str] = ()) -> list[float]:
    """The times of paced sends, in ms. `woken`: the sessions are idle and get mail meanwhile, one after another."""
    took_ms = []
    left = [] if kind == "alone" else list(names)
    commands = []
    with office.client("ann") as ann:
        for number in range(SENDS):
            began_s = time.perf_counter()
            ann.send("bob", "x" * 200)
            took_ms.append((time.perf_counter() - began_s) * 1_000)
            if left and number % (SENDS // SESSIONS) == 0:
                name = left.pop()
                # Also where the command is another's: this mail costs the broker something too.
                _make_due(office, name, is_idle=kind == "woken")
                if kind != "woken":
                    commands.append(subprocess.Popen(["nice", "-n", "5", os.path.join(office.root, "codex")]))
            time.sleep(max(0.0, PACE_S - (time.perf_counter() - began_s)))
    for command in commands:
        command.wait()
    with Client(office.router(), Caller("bob")) as bob:
        while page := bob.inbox(limit=250)["messages"]:
            bob.confirm([message["id"] for message in page], "read")
    return took_ms


def _make_due(office: PostOffice, name: str, *, is_idle: bool) -> None:
    """Mail for an agent that works, or becomes idle now; what it had before is read."""
    with Client(office.router(), Caller(name)) as own:
        if page := own.inbox()["messages"]:
            own.confirm([message["id"] for message in page], "read")
    with office.client("ann") as ann:
        ann.send(name, "Wake up.")
    state: State = "idle" if is_idle else "working"
    sign = HookState(
        state, "Stop" if is_idle else "PostToolUse", "codex", os.getpid(), pid_start(os.getpid()), at_ms=0
    )
    path = hook_state.path(office.data, name)
    hook_state.write(path, sign)


def _starts() -> None:
    """How long the thread that starts a command holds the interpreter, by the size of its process."""
    for ballast_mib in (0, 500):
        ballast = bytearray(ballast_mib << 20)
        ballast[::4096] = b"x" * len(ballast[::4096])
        took_ms = []
        for _ in range(40):
            began_s = time.perf_counter()
            child = WakeChild(WakeCommand(("/bin/true",), {}), os.defpath)
            took_ms.append((time.perf_counter() - began_s) * 1_000)
            while child.end() is None:
                time.sleep(0.002)
        print(
            f"start of a command: p50 {_at(took_ms, 0.5):.2f} p99 {_at(took_ms, 0.99):.2f} ms, with {ballast_mib} MiB"
        )
        del ballast
    began_s = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-P", "-c", "import sys, maestro_broker.waking.waker; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child_process:
        assert child_process.stdout is not None
        child_process.stdout.readline()
        took_ms = [(time.perf_counter() - began_s) * 1_000]
        print(f"a process of its own: {_rss_kib(child_process.pid) / 1024:.1f} MiB, started in {took_ms[0]:.0f} ms")


def _wakes(office: PostOffice) -> int:
    try:
        with open(os.path.join(office.data, "logs", "wake.log"), encoding="utf-8") as file:
            return file.read().count(" woken ")
    except FileNotFoundError:
        return 0


def _rss_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        [found] = [line.split()[1] for line in file if line.startswith("VmRSS")]
    return int(found)


def _at(times_ms: list[float], share: float) -> float:
    return sorted(times_ms)[int(len(times_ms) * share)]


if __name__ == "__main__":
    main()
