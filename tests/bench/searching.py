"""Searching: the search index with many messages, and what it costs a plain send.

Rule: a search is measured at the client, and beside it what the same index takes without the client, the broker and
the pipe. Sends without and with the process of the index are measured in turns, in one run.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bench.findings import Table
from bench.references import percentile
from maestro_broker.files import index_files
from maestro_broker.index.filing import IndexFiler
from maestro_broker.index.orders import IndexOrder
from maestro_broker.index.search import ArchiveReader
from maestro_broker.index.store import IndexStore
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas.texts.search_query import Term

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.run import Bench
    from maestro_clients.client import Client
    from maestro_schemas.documents import OutgoingDoc

SENDERS, RECEIVERS = 8, 32
WORDS, WORDS_EACH = 20_000, 60
BAR_MS = 50.0
_ASKED = 20
_ROUNDS, _SENDS = 12, 150
_REPLY_BYTES = 512 << 10


def searching(bench: Bench, rounds: int = _ROUNDS) -> None:
    """All figures; `rounds` of sends without and with the index."""
    vocabulary = [f"w{number:x}" for number in range(WORDS)]
    weights = [1 / (rank + 10) for rank in range(WORDS)]
    random_ = random.Random(17)
    with bench.client() as person:
        for number in range(SENDERS):
            person.start_session(f"s{number}", role="orchestrator")
        for number in range(RECEIVERS):
            person.start_session(f"r{number}")
    fill(bench, bench.messages, (vocabulary, weights, random_))
    with bench.client() as person:
        build_s = _built_s(person)
        size = index_files.bytes_of(bench.data)
        rows = list(_queries(bench, person, vocabulary))
        catch_up = max(1, bench.messages // 5)
        end_index(bench)
        fill(bench, catch_up, (vocabulary, weights, random_))
        caught_s = _built_s(person)
        off, on = turns(bench, person, rounds)
    each_us = build_s / bench.messages * 1e6
    bench.row("index built", f"{build_s:.1f} s", f"{bench.messages:,} messages; {each_us:.0f} us each")
    bench.row("index on disk", f"{size / 1e6:.0f} MB", f"{size / bench.messages:.0f} bytes a message")
    bench.row("catching up", f"{catch_up / caught_s:,.0f} /s", f"{catch_up:,} messages of a stopped index")
    sends = f"{statistics.median(off):.3f} / {statistics.median(on):.3f} ms"
    bench.row("send, p50: without the index, beside it", sends, f"{len(off)} each, in turns")
    p99s = f"{percentile(sorted(off), 0.99):.3f} / {percentile(sorted(on), 0.99):.3f} ms"
    bench.row("send, p99: the same", p99s)
    bench.figures |= {
        "index_build_s": build_s,
        "index_bytes": size,
        "send_without_index_ms": statistics.median(off),
        "send_with_index_ms": statistics.median(on),
    }
    bench.findings.add(
        Table(
            "search",
            f"A search of {bench.messages:,} messages: medians of {_ASKED}, warm",
            ["query", "hits", "ms at the client", "ms of the index alone"],
            rows,
            f"Texts of {WORDS_EACH} words. The index was built in {build_s:.1f} s and takes {size / 1e6:.0f} MB; "
            f"a stopped one caught up at {catch_up / caught_s:,.0f} messages a second. A plain send "
            f"took {sends} (p50, without the process of the index and while it "
            "follows, in turns). The bar of a word is 50 ms.",
        )
    )


def fill(bench: Bench, count: int, words: tuple[list[str], list[float], random.Random]) -> None:
    """Send messages of random words, and wait until they are files."""
    vocabulary, weights, random_ = words
    for number in range(SENDERS):
        share = count // SENDERS + (number < count % SENDERS)
        with bench.client(f"s{number}") as client:
            outgoing: list[OutgoingDoc] = [
                {
                    "id": new_message_id(),
                    "to": f"r{random_.randrange(RECEIVERS)}",
                    "message": " ".join(random_.choices(vocabulary, weights, k=WORDS_EACH)),
                }
                for _ in range(share)
            ]
            for _ in client.pipeline(outgoing, batch=64, in_flight=128):
                pass
    with bench.client() as person:
        while person.stats()["filingBacklog"]:
            time.sleep(0.05)


def _built_s(person: Client) -> float:
    """From the first search until the index is whole."""
    began = time.perf_counter()
    while True:
        state = person.search("w1", limit=1)["index"]
        if state["upTo"] == state["head"]:
            return time.perf_counter() - began
        time.sleep(0.02)


def _queries(bench: Bench, person: Client, vocabulary: list[str]) -> Iterator[list[Any]]:
    store = IndexStore(bench.data)
    with closing(store):
        reader = ArchiveReader(store, IndexFiler(bench.data, store))
        cases = {
            "a rare word": vocabulary[WORDS // 2],
            "a common word": vocabulary[0],
            "two words": f"{vocabulary[0]} {vocabulary[3]}",
            "a word, from one sender": f"{vocabulary[5]} from:s1",
            "a phrase": f'"{vocabulary[0]} {vocabulary[1]}"',
            "is:unread to one": "is:unread to:r3",
            "a part in no words (LIKE)": "購",
        }
        for name, query in cases.items():
            words = [word.strip('"') for word in query.split() if ":" not in word]
            order = IndexOrder("search", 0, terms=tuple(map(Term, words)), limit=50, bytes_max=_REPLY_BYTES)
            asked, alone = [], []
            found = person.search(query)
            for _ in range(_ASKED):
                began = time.perf_counter()
                found = person.search(query)
                asked.append((time.perf_counter() - began) * 1_000)
                began = time.perf_counter()
                reader.search(order)
                alone.append((time.perf_counter() - began) * 1_000)
            at_client, in_index = statistics.median(asked), statistics.median(alone)
            # The index alone is asked for the words without the operators.
            shown = in_index if ":" not in query else None
            beside = f"{in_index:.1f} ms the index alone; " if shown is not None else ""
            bench.row(f"search: {name}", f"{at_client:.1f} ms", f"{beside}{found['total']:,} hits; bar {BAR_MS:g}")
            bench.figures[f"search_{name.replace(' ', '_')}_ms"] = at_client
            yield [name, found["total"], at_client, "" if shown is None else shown]


def turns(bench: Bench, person: Client, rounds: int) -> tuple[list[float], list[float]]:
    """Times of single sends, ms: without the process of the index, and while it runs and follows; in turns."""
    off: list[float] = []
    on: list[float] = []
    with bench.client("s0") as client:
        for round_ in range(rounds):
            for times in (off, on) if round_ % 2 else (on, off):
                if times is off:
                    end_index(bench)
                else:
                    person.search("w1", limit=1)
                time.sleep(0.3)
                for number in range(_SENDS):
                    began = time.perf_counter()
                    client.send(f"r{number % RECEIVERS}", "a plain send of some words")
                    times.append((time.perf_counter() - began) * 1_000)
                while person.stats()["filingBacklog"]:
                    time.sleep(0.01)
    return off, on


def index_pid(broker: int) -> int | None:
    """The process of the index that a broker has started."""
    for task in os.listdir(f"/proc/{broker}/task"):
        with open(f"/proc/{broker}/task/{task}/children", encoding="ascii") as file:
            for pid in file.read().split():
                with open(f"/proc/{pid}/cmdline", "rb") as words:
                    if b"maestro_broker.index" in words.read().split(b"\0"):
                        return int(pid)
    return None


def end_index(bench: Bench) -> None:
    """End it, and wait until the broker knows."""
    pid = index_pid(bench.endpoints.pid)
    if pid is None:
        return
    os.kill(pid, signal.SIGKILL)
    while index_pid(bench.endpoints.pid) is not None:
        time.sleep(0.005)
