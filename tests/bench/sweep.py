"""Sends beside a sweep: what a round over many old messages costs those who send meanwhile.

Rule: both halves in one run, against one broker, with as many sends each, because the worst of many is worse than the
worst of few. The figure is what the sweep adds, and its bar is 20 ms.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from bench.references import percentile

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.run import Bench
    from maestro_schemas.documents import PruneDoc

MAILBOXES = 20
ADDED_MS_MAX = 20.0
_OLD_MS = 30 * 86_400_000
_DELETED_AT_ONCE = 200
_PAUSE_S = 0.004


class Swept(NamedTuple):
    """What a whole round did, and what it cost those who sent meanwhile."""

    seconds: float
    looked_at: int
    # Whether it removed all that was old, each with its link.
    is_whole: bool
    added_ms: float
    p99_ratio: float


def sweep(bench: Bench) -> None:
    """Send one at a time, first while MESSAGES old messages and their links are removed, then alone."""
    found = swept(bench, bench.messages)
    bench.figures |= {"sweep_added_worst_ms": found.added_ms, "sweep_p99_ratio": found.p99_ratio}
    bench.figures["sweep_whole"] = float(found.is_whole)


def swept(bench: Bench, count: int) -> Swept:
    """One round to its end, over all that is there and `count` old messages and their links, which it removes."""
    with bench.client() as operator:
        operator.start_session("sweep_a", role="orchestrator")
        operator.start_session("sweep_b")
        for number in range(MAILBOXES):
            operator.start_session(f"old_{number}")
    for number in range(count):
        old_message(bench.data, f"old_{number % MAILBOXES}", number)

    over = threading.Event()
    reports: list[PruneDoc] = []
    seconds: list[float] = []

    def prune() -> None:
        with bench.client() as operator:
            began_s = time.perf_counter()
            report = operator.prune()
            while not report["done"]:
                time.sleep(0.05)
                report = operator.prune(number=report["round"])
            seconds.append(time.perf_counter() - began_s)
            reports.append(report)
            over.set()

    thread = threading.Thread(target=prune)
    thread.start()
    beside = _sends(bench, lambda _: not over.is_set())
    thread.join()
    alone = _sends(bench, lambda sent: sent < len(beside))
    [report], [took_s] = reports, seconds
    removed = {name: report["swept"].get(name, 0) for name in ("messages", "tombstones")}
    found = Swept(
        took_s,
        report["lookedAt"],
        set(removed.values()) == {count},
        beside[-1] - alone[-1],
        percentile(beside, 0.99) / percentile(alone, 0.99),
    )
    for name, times in (("alone", alone), ("beside a sweep", beside)):
        figures = f"{percentile(times, 0.5):.3f} / {percentile(times, 0.99):.3f} / {times[-1]:.1f} ms"
        bench.row(f"send {name}, p50 / p99 / worst", figures, f"{len(times):,} sends")
    bench.row(
        "the sweep adds to the worst",
        f"{found.added_ms:.1f} ms",
        f"p99 x {found.p99_ratio:.2f}; {report['lookedAt']:,} files looked at, {removed['messages']:,} messages and "
        f"{removed['tombstones']:,} links removed, to its end in {took_s:.1f} s; bar {ADDED_MS_MAX:.0f} ms",
    )
    return found


def _sends(bench: Bench, goes_on: Callable[[int], bool]) -> list[float]:
    """The durations in ms, rising."""
    times: list[float] = []
    sent: list[str] = []
    with bench.client("sweep_a") as client, bench.client("sweep_b") as receiver:
        for number in range(100):
            client.send("sweep_b", f"warm {number}")
        while goes_on(len(times)):
            began = time.perf_counter()
            result = client.send("sweep_b", "x" * 512)
            times.append((time.perf_counter() - began) * 1000)
            sent.append(result["id"])
            # Paced: without a gap the spool writer waits, and the sweep with it, so that nothing would be measured.
            time.sleep(_PAUSE_S)
            if len(sent) == _DELETED_AT_ONCE:  # or the mailbox is full
                receiver.delete(sent)
                sent.clear()
    return sorted(times)


def old_message(data: str, receiver: str, number: int) -> None:
    """A delivered message and its sender's link (of `sweep_a`), as they would lie there after a month."""
    at_ms = time.time_ns() // 1_000_000 - _OLD_MS
    message: dict[str, object] = {
        "id": f"o{number}",
        "from": "sweep_a",
        "to": receiver,
        "message": "x" * 512,
        "status": "delivered",
    }
    message |= {"seq": number // MAILBOXES + 1, "createdAt": at_ms, "deliveredAt": at_ms}
    mailbox = os.path.join(data, "messages", "by-receiver", receiver)
    os.makedirs(mailbox, mode=0o700, exist_ok=True)  # the spool writer may come to it later
    path = os.path.join(mailbox, f"o{number}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(message, file)
    folder = os.path.join(data, "messages", "by-sender", "sweep_a")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    link = os.path.join(folder, f"o{number}.json")
    os.symlink(f"../../by-receiver/{receiver}/o{number}.json", link)
    os.utime(path, (at_ms / 1000, at_ms / 1000))
    os.utime(link, (at_ms / 1000, at_ms / 1000), follow_symlinks=False)
