"""Searching: the search index with many messages, and what it costs a plain send.

Rule: a search is measured at the client, and beside it what the same index takes without the client, the broker and
the pipe. Beside the building stands a bare table of SQLite's FTS5 that gets the same texts in the same run. Sends
without and with the process of the index are measured in turns, in one run.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.findings import Table
from bench.processes import cpu_us
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
_ASKED = 100
_ALONE = 20
_BARE_AT_ONCE = 500
_ROUNDS, _SENDS = 12, 150
_REPLY_BYTES = 512 << 10


class Built(NamedTuple):
    """Seconds until the index was whole, and CPU of its process."""

    took_s: float
    cpu_s: float


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
    texts = fill(bench, bench.messages, (vocabulary, weights, random_))
    with bench.client() as person:
        build_s, build_cpu_s = _built(bench, person)
        bare = _bare(bench, texts)
        size = index_files.bytes_of(bench.data)
        rows = list(_queries(bench, person, vocabulary))
        catch_up = max(1, bench.messages // 5)
        end_index(bench)
        fill(bench, catch_up, (vocabulary, weights, random_))
        caught_s, _ = _built(bench, person)
        off, on = turns(bench, person, rounds)
    each_us = build_s / bench.messages * 1e6
    cpu_each_us, bare_each_us = (one / bench.messages * 1e6 for one in (build_cpu_s, bare.cpu_s))
    bench.row(
        "index built",
        f"{bench.messages / build_s:,.0f} /s",
        f"{build_s:.1f} s, {bench.messages:,} messages; {each_us:.0f} us each, "
        f"{build_s / bare.took_s:.2f} x bare FTS5",
    )
    bench.row(
        "index's CPU a message",
        f"{cpu_each_us:.0f} us",
        f"{build_cpu_s / bare.cpu_s:.2f} x bare FTS5's {bare_each_us:.0f} us, which inserts the same texts alone",
    )
    bench.row("index on disk", f"{size / 1e6:.0f} MB", f"{size / bench.messages:.0f} bytes a message")
    bench.row("catching up", f"{catch_up / caught_s:,.0f} /s", f"{catch_up:,} messages of a stopped index")
    sends = f"{statistics.median(off):.3f} / {statistics.median(on):.3f} ms"
    bench.row("send, p50: without the index, beside it", sends, f"{len(off)} each, in turns")
    p99s = f"{percentile(sorted(off), 0.99):.3f} / {percentile(sorted(on), 0.99):.3f} ms"
    bench.row("send, p99: the same", p99s)
    bench.figures |= {
        "index_build_s": build_s,
        "index_bytes": size,
        "index_build_per_s": bench.messages / build_s,
        "index_build_ratio": build_s / bare.took_s,
        "index_cpu_us": cpu_each_us,
        "index_cpu_ratio": build_cpu_s / bare.cpu_s,
        "index_catch_up_per_s": catch_up / caught_s,
        "send_without_index_ms": statistics.median(off),
        "send_with_index_ms": statistics.median(on),
    }
    bench.findings.add(
        Table(
            "search",
            f"A search of {bench.messages:,} messages: medians, and p99 of {_ASKED}, warm",
            ["query", "hits", "ms at the client", "p99, ms", "ms of the index alone"],
            rows,
            f"Texts of {WORDS_EACH} words. The index was built at {bench.messages / build_s:,.0f} messages a second, "
            f"with {cpu_each_us:.0f} us of CPU each; bare FTS5 took {bare.took_s / bench.messages * 1e6:.0f} us, "
            f"{bare_each_us:.0f} of CPU. It takes {size / 1e6:.0f} MB; a stopped one "
            f"caught up at {catch_up / caught_s:,.0f} messages a second. A plain send "
            f"took {sends} (p50, without the process of the index and while it "
            "follows, in turns). The bar of a word is 50 ms.",
        )
    )


def fill(bench: Bench, count: int, words: tuple[list[str], list[float], random.Random]) -> list[str]:
    """Send messages of random words, and wait until they are files; their texts."""
    texts: list[str] = []
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
        texts += [one["message"] for one in outgoing]
    with bench.client() as person:
        while person.stats()["filingBacklog"]:
            time.sleep(0.05)
    return texts


def _built(bench: Bench, person: Client) -> Built:
    """From the first search until the index is whole."""
    began = time.perf_counter()
    while True:
        state = person.search("w1", limit=1)["index"]
        if state["upTo"] == state["head"]:
            took_s = time.perf_counter() - began
            pid = index_pid(bench.endpoints.pid)
            assert pid is not None
            return Built(took_s, cpu_us(pid).whole / 1e6)
        time.sleep(0.02)


def _bare(bench: Bench, texts: list[str]) -> Built:
    """The same texts in a table of FTS5 alone: nothing is read from files, and nothing else is kept."""
    with closing(sqlite3.connect(os.path.join(bench.scratch, "bare.db"))) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=OFF")
        db.execute("CREATE VIRTUAL TABLE t USING fts5(text, tokenize='unicode61 remove_diacritics 2')")
        began, cpu_s = time.perf_counter(), time.thread_time()
        for start in range(0, len(texts), _BARE_AT_ONCE):
            with db:
                some = [(text,) for text in texts[start : start + _BARE_AT_ONCE]]
                db.executemany("INSERT INTO t(text) VALUES (?)", some)
        return Built(time.perf_counter() - began, time.thread_time() - cpu_s)


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
            asked: list[float] = []
            alone: list[float] = []
            found = person.search(query)
            for _ in range(_ASKED):
                began = time.perf_counter()
                found = person.search(query)
                asked.append((time.perf_counter() - began) * 1_000)
                if len(alone) < _ALONE:
                    began = time.perf_counter()
                    reader.search(order)
                    alone.append((time.perf_counter() - began) * 1_000)
            at_client, in_index = statistics.median(asked), statistics.median(alone)
            p99 = percentile(sorted(asked), 0.99)
            # The index alone is asked for the words without the operators.
            shown = in_index if ":" not in query else None
            beside = f"{in_index:.1f} ms the index alone; " if shown is not None else ""
            both = f"{at_client:.1f} / {p99:.1f} ms"
            bench.row(f"search: {name}, p50 / p99", both, f"{beside}{found['total']:,} hits; bar {BAR_MS:g}")
            key = f"search_{name.replace(' ', '_')}"
            bench.figures |= {f"{key}_ms": at_client, f"{key}_p99_ms": p99}
            yield [name, found["total"], at_client, p99, "" if shown is None else shown]


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
