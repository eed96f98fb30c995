"""Injection: makes the Nth system call of a kind fail in a broker, or kill it, with strace.

Rule: strace counts the calls of each thread separately. The number of a call depends on the files that the broker
finds, so a sweep over numbers covers many places, and its test reports where the broker ended.
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
    """The command line in front of the broker's own. `faults`: values of strace's inject=.

    With -D the tracer is not the broker's parent, so pid, signals and exit status are the broker's own. --seccomp-bpf
    lets all other calls run at full speed; with it strace 6.1 injects errors and results, but no signals.
    """
    traced = ["strace", "-D", "-f", "-qq", "-o", log, "-e", f"trace={','.join(calls)}"]
    if not any("signal=" in fault for fault in faults):
        traced.append("--seccomp-bpf")
    return traced + [word for fault in faults for word in ("-e", f"inject={fault}")]


def kill_at(call: str, number: int) -> list[str]:
    """Send SIGKILL in place of the Nth call."""
    return launcher([call], f"{call}:signal=KILL:when={number}")


def fail_at(call: str, error: str, when: str, log: str = os.devnull) -> list[str]:
    """Return the error in place of the Nth call. `when`: strace's N, or N+ for all calls from the Nth on."""
    return launcher([call], f"{call}:error={error}:when={when}", log=log)


def logged(path: str) -> Iterator[tuple[str, str, str]]:
    """Thread, name and the rest of each call in a log of `launcher`."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = re.match(r"(\d+) +(\w+)\((.*)", line)
            if found:
                yield found[1], found[2], found[3]


def calls_of_a_start(post_office: PostOffice, calls: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Start a broker, and kill it once it serves. Returns two numbers per kind of call in the main thread.

    The first call that concerns the data directory (Python's own start opens hundreds of files), and the last call
    before the broker serves.
    """
    log = os.path.join(post_office.root, "calls")
    post_office.launcher = launcher([*{*calls, "rename"}], log=log)
    post_office.start()
    post_office.kill()
    post_office.launcher = []
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    main = None
    for thread, call, rest in logged(log):
        main = main or thread
        if thread == main:
            counts[call] += 1
            if call not in first and (post_office.data in rest or call != "openat"):
                first[call] = counts[call]
            if call == "rename" and "/endpoints" in rest:
                break  # the last step of a start
    return first, dict(counts)
