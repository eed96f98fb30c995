"""Injection: a broker whose Nth system call of a kind fails, or kills it, by strace.

Rule: strace counts the calls of each thread apart. What a call is numbered in a run depends on what the run finds
on its disk, so a sweep over numbers covers places, and its test says where the broker died.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING

from support import components

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.post_office import PostOffice


def require_strace() -> None:
    """Skip the test where strace is missing; with CI=true fail it."""
    components.require_tools("strace")


def launcher(calls: Sequence[str], *faults: str, log: str = os.devnull) -> list[str]:
    """The command before the broker's own; `faults` as strace's inject= takes them.

    The tracer is nobody's parent (-D), so that pid, signals and exit status are the broker's own. --seccomp-bpf lets
    all other calls run at full speed; with it strace 6.1 injects errors and results but no signals.
    """
    traced = ["strace", "-D", "-f", "-qq", "-o", log, "-e", f"trace={','.join(calls)}"]
    if not any("signal=" in fault for fault in faults):
        traced.append("--seccomp-bpf")
    return traced + [word for fault in faults for word in ("-e", f"inject={fault}")]


def kill_at(call: str, number: int) -> list[str]:
    """SIGKILL instead of the Nth call."""
    return launcher([call], f"{call}:signal=KILL:when={number}")


def fail_at(call: str, error: str, when: str, log: str = os.devnull) -> list[str]:
    """The error instead of the Nth call (`when` as strace has it: N, or N+ for all from there on)."""
    return launcher([call], f"{call}:error={error}:when={when}", log=log)


def _lines(path: str) -> Iterator[tuple[str, str, str]]:
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = re.match(r"(\d+) +(\w+)\((.*)", line)
            if found:
                yield found[1], found[2], found[3]


def calls_of_a_start(post_office: PostOffice, calls: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Start a broker and kill it once it serves. For each call the number of the main thread's first that concerns
    the data directory (Python's own start opens hundreds of files), and of its last before it serves."""
    log = os.path.join(post_office.root, "calls")
    post_office.launcher = launcher([*{*calls, "rename"}], log=log)
    post_office.start()
    post_office.kill()
    post_office.launcher = []
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    main = None
    for thread, call, rest in _lines(log):
        main = main or thread
        if thread == main:
            counts[call] += 1
            if call not in first and (post_office.data in rest or call != "openat"):
                first[call] = counts[call]
            if call == "rename" and "/endpoints" in rest:
                break  # the last step of a start
    return first, dict(counts)
