"""Logs: a page of what was said, beside the same number of messages read from an inbox, in turns in one run.

Rule: the messages are read and filed, so a log finds them by the timeline and in their files, and an inbox that was
just read has them in memory.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.references import percentile
from maestro_clients.protocol.new_ids import new_message_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.run import Bench
    from maestro_schemas.documents import OutgoingDoc

TEXT = "Main is red again: the build of the cart fails since the last merge. " * 3
SESSIONS = 20
PAGE = 200
ROUNDS = 30
BATCH = 256


def logs(bench: Bench) -> None:
    """The part."""
    names = [f"log_{number}" for number in range(SESSIONS)]
    with bench.client() as operator:
        for name in (*names, "log_few"):
            operator.start_session(name)
    with bench.client("log_few") as few:
        few.send(names[0], "the first of all")
    said = _say(bench, names)
    with bench.client() as operator, bench.client(names[1]) as one, bench.client("log_few") as few:
        measured: dict[str, Callable[[], Any]] = {
            "inbox": lambda: one.inbox(status=["read"], limit=PAGE),
            "all": lambda: operator.messages(limit=PAGE),
            "one": lambda: one.messages(limit=PAGE),
            "few": lambda: few.messages(limit=PAGE),
        }
        times: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(ROUNDS):
            for name, ask in measured.items():
                began = time.perf_counter()
                ask()
                times[name].append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        pages = list(few.message_pages(limit=PAGE))
        whole_ms = (time.perf_counter() - began) * 1000
    if sum(len(page["messages"]) for page in pages) != 1:
        raise RuntimeError("the log of a session with one message has not that one message")
    p50 = {name: percentile(sorted(found), 0.5) for name, found in times.items()}
    bench.figures |= {f"log_{name}_p50_ms": value for name, value in p50.items()}
    bench.row(f"inbox, {PAGE} read messages of {said // SESSIONS:,}, p50", f"{p50['inbox']:.2f} ms", "from memory")
    for name, what in (("all", "log of all"), ("one", "log of one session")):
        ratio = f"{p50[name] / p50['inbox']:.1f} x inbox, from files"
        bench.row(f"{what}, {PAGE} of {said:,}, p50", f"{p50[name]:.2f} ms", ratio)
    note = f"{p50['few'] / p50['inbox']:.1f} x inbox; whole: {len(pages)} pages, {whole_ms:.0f} ms"
    bench.row(f"log of one message among {said:,}, a page, p50", f"{p50['few']:.2f} ms", note)


def _say(bench: Bench, names: list[str]) -> int:
    """Send, read and file the messages; how many."""
    each = bench.messages // len(names)
    for place, name in enumerate(names):
        outgoing: list[OutgoingDoc] = [
            {"id": new_message_id(), "to": names[(place + 1 + number) % len(names)], "message": TEXT}
            for number in range(each)
        ]
        with bench.client(name) as client:
            if any("error" in result for result in client.pipeline(outgoing, in_flight=BATCH, batch=64)):
                raise RuntimeError("a message was refused")
    for name in names:
        with bench.client(name) as client:
            while ids := [message["id"] for message in client.inbox(limit=BATCH)["messages"]]:
                client.confirm(ids, "read")
    with bench.client() as operator:
        while operator.stats()["filingBacklog"]:
            time.sleep(0.05)
    return each * len(names)
