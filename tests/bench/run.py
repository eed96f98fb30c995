"""`just bench`: the figures of this product, each beside the same measurement of the bare machine.

Rule: real broker, real clients in processes of their own, every send durable before its answer. Prints a table;
a whole run also writes docs/performance.md, and one that broke off can be gone on with (`--go-on`). `--json FILE`
keeps the figures; `--only NAME` runs one part (and writes nothing but with `--report`); `--seconds N` shortens the
sustained parts. The parts `million`, `disk_use`, `sweep`, `search` and `window` run only by name or with `--all`:
they make as many files as `--messages` says.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.client
import json
import multiprocessing
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench import bars, fan_outs, house, references, report
from bench.about import about, commit
from bench.findings import Findings, Table
from bench.gateway_events import CLIENTS, PUSHES, gateway_events
from bench.latency import percentiles
from bench.logs import logs
from bench.mcp import mcp
from bench.messengers import messengers
from bench.million import disk_use, million
from bench.references import percentile
from bench.scale import scale
from bench.searching import searching
from bench.stages import stages
from bench.sweep import ADDED_MS_MAX, sweep
from bench.throughput import sustained_beside, throughput
from bench.warm import warm
from bench.whole_commands import whole_commands
from bench.window import window
from maestro_cli.processes.process_exit import BrokerExit
from maestro_clients.client import Client
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.processes import broker_process, gateway_process
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas.errors import MaestroError
from support import scratch_dirs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.documents import OutgoingDoc

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")
TEXT = "x" * 512
PROCESSES = 4
IN_FLIGHT = 16
RECEIVERS = 64
_END_S = 60.0


class Bench:
    """One broker in a scratch directory on the file system of `base`."""

    def __init__(self, base: str | None, seconds: float, burst: int, messages: int) -> None:
        self.seconds = seconds
        self.burst = burst
        self.messages = messages
        self.rows: list[tuple[str, str, str]] = []
        self.figures: dict[str, float] = {}
        self.findings = Findings()
        self.scratch = scratch_dirs.make("mb-", base)
        scratch_dirs.spread(self.scratch)
        self.data = os.path.join(self.scratch, "data")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")},
            "MAESTRO_DATA_DIR": self.data,
            "MAESTRO_RUNTIME_DIR": scratch_dirs.make("mbr-"),
            "MAESTRO_RATE_LIMIT": "0",
            "MAESTRO_PENDING_MAX": "1000000",  # the loads' mail is never read
            "MAESTRO_CONFIG": os.path.join(self.scratch, "config.toml"),  # none
            **fan_outs.SETTINGS,
        }
        self.endpoints = broker_process.ensure(self.data, self.environ, autostart=True)

    def client(self, session: str | None = None) -> Client:
        """A connected client; as the operator when no session is named."""
        return Client(self.endpoints.router, Caller(session))

    def row(self, name: str, value: str, note: str = "") -> None:
        """One line of the table."""
        self.rows.append((name, value, note))
        print(f"  {name:<46} {value:>24}   {note}", flush=True)

    def stop(self) -> None:
        """Stop the broker, and wait until it is gone. The files stay for now: ext4 without a journal keeps away from
        inodes that were freed within the last minutes, and looks for others one by one, so a removal here would slow
        down the next part's filing tenfold."""
        with BrokerExit(self.data, self.endpoints) as end:
            with contextlib.suppress(MaestroError), self.client() as client:
                client.shutdown()
            end.wait(_END_S)

    def remove(self) -> None:
        """Remove the files."""
        scratch_dirs.remove(self.scratch)
        scratch_dirs.remove(self.environ["MAESTRO_RUNTIME_DIR"])


def machine(bench: Bench) -> None:
    """The reference figures: disk, socket, files."""
    sync = references.fdatasync_ms(bench.scratch)
    echo = references.echo_ms(bench.environ["MAESTRO_RUNTIME_DIR"])
    bench.figures["fdatasync_p50_ms"] = percentile(sync, 0.5)
    bench.figures["echo_p50_ms"] = percentile(echo, 0.5)
    bench.row("write + fdatasync, p50 / p99", f"{percentile(sync, 0.5):.3f} / {percentile(sync, 0.99):.3f} ms")
    bench.row("DEALER/ROUTER echo, p50 / p99", f"{percentile(echo, 0.5):.3f} / {percentile(echo, 0.99):.3f} ms")
    bench.row("files created, renamed, linked", f"{references.create_rate(bench.scratch):,.0f} /s")


def latency(bench: Bench) -> None:
    """One send at a time on an open connection."""
    with bench.client() as operator:
        operator.start_session("lat_a", role="orchestrator")
        operator.start_session("lat_b")
    times = []
    with bench.client("lat_a") as client:
        for number in range(2_100):
            began = time.perf_counter()
            client.send("lat_b", TEXT)
            if number >= 100:
                times.append((time.perf_counter() - began) * 1000)
    times.sort()
    floor = bench.figures["fdatasync_p50_ms"] + bench.figures["echo_p50_ms"]
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    bench.figures |= {"send_p50_ms": p50, "send_p99_ms": p99}
    bench.row(
        "send, durable, p50 / p99",
        f"{p50:.3f} / {p99:.3f} ms",
        f"p50 = {p50 / floor:.2f} x (fdatasync + echo); bar 0.6 / 3",
    )


def push(bench: Bench) -> None:
    """From the sender's `accepted` until a watcher has the body."""
    with bench.client() as operator:
        operator.start_session("push_a", role="orchestrator")
        operator.start_session("push_b")
    got: dict[str, float] = {}
    arrived = threading.Semaphore(0)
    count = 600

    def watch() -> None:
        with Watcher(bench.data, bench.environ, Caller("push_b")) as watcher:
            for _ in range(count):
                message = watcher.next_message(10.0)
                if message is None:
                    return
                got[message["id"]] = time.perf_counter()
                arrived.release()

    thread = threading.Thread(target=watch)
    thread.start()
    accepted: dict[str, float] = {}
    with bench.client("push_a") as client:
        for _ in range(count):
            result = client.send("push_b", TEXT)
            accepted[result["id"]] = time.perf_counter()
            arrived.acquire(timeout=10.0)
            time.sleep(0.002)  # paced, so that each push is one of its own and not a part of a batch
    thread.join()
    times = sorted(max(0.0, (got[i] - accepted[i]) * 1000) for i in got)[: count - 1]
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    bench.figures |= {"push_p50_ms": p50, "push_p99_ms": p99, "push_seen": len(got)}
    bench.row(
        "push to a watcher, body in hand, p50 / p99",
        f"{p50:.3f} / {p99:.3f} ms",
        f"{len(got)} of {count} seen; bar 2 / 10",
    )


def poll(bench: Bench) -> None:
    """A receiver that polls every 250 ms."""
    with bench.client() as operator:
        operator.start_session("poll_a", role="orchestrator")
        operator.start_session("poll_b")
    seen: dict[str, float] = {}
    stop = threading.Event()

    def look() -> None:
        with bench.client("poll_b") as client:
            while not stop.wait(0.25):
                page = client.inbox()
                now = time.perf_counter()
                for message in page["messages"]:
                    seen[message["id"]] = now
                if page["messages"]:
                    client.confirm([message["id"] for message in page["messages"]], "delivered")

    thread = threading.Thread(target=look)
    thread.start()
    accepted = {}
    with bench.client("poll_a") as client:
        for _ in range(40):
            accepted[client.send("poll_b", TEXT)["id"]] = time.perf_counter()
            time.sleep(0.07)
    time.sleep(0.6)
    stop.set()
    thread.join()
    worst = max((seen[i] - accepted[i]) * 1000 for i in seen)
    bench.figures |= {"poll_worst_ms": worst, "poll_seen": len(seen)}
    bench.row("polling every 250 ms, worst", f"{worst:.0f} ms", f"{len(seen)} of 40 seen; bar 500")


def rest(bench: Bench) -> None:
    """One send at a time over HTTP, on a kept-alive connection."""
    with bench.client() as operator:
        operator.start_session("rest_a", role="orchestrator")
        operator.start_session("rest_b")
    url = gateway_process.start(bench.data, bench.environ, host="127.0.0.1", port=0)
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    headers = {"X-Session-ID": "rest_a", "Content-Type": "application/json"}
    body = json.dumps({"message": TEXT})
    times = []
    try:
        for number in range(1_100):
            began = time.perf_counter()
            connection.request("POST", "/api/sessions/rest_b/messages", body, headers)
            answer = connection.getresponse()
            answer.read()
            if number >= 100:
                times.append((time.perf_counter() - began) * 1000)
            if answer.status != 201:
                raise RuntimeError(f"the gateway answered {answer.status}")
    finally:
        connection.close()
        gateway_process.stop(bench.data)
    times.sort()
    floor = bench.figures["fdatasync_p50_ms"] + bench.figures["echo_p50_ms"]
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    bench.figures |= {"rest_p50_ms": p50, "rest_p99_ms": p99}
    bench.row(
        "send over HTTP, kept alive, p50 / p99",
        f"{p50:.3f} / {p99:.3f} ms",
        f"p50 = {p50 / floor:.2f} x (fdatasync + echo); bar 5 / 25",
    )


def _load(arguments: tuple[str, str, int, int, float]) -> tuple[int, float, float, float]:
    """One client process: a number of sends, or seconds. Accepted; begin and end (monotonic); CPU seconds."""
    router, session, count, in_flight, seconds = arguments
    until = time.monotonic() + seconds if seconds else float("inf")

    def outgoing() -> Iterator[OutgoingDoc]:
        for number in range(count):
            if time.monotonic() >= until:
                return
            yield {"id": new_message_id(), "to": f"load_{number % RECEIVERS}", "message": TEXT}

    accepted = 0
    with Client(router, Caller(session), timeout_s=60.0) as client:
        client.hello()
        cpu = time.process_time()
        began = time.monotonic()
        for result in client.pipeline(outgoing(), in_flight=in_flight):
            accepted += result["status"] == 201
        return accepted, began, time.monotonic(), time.process_time() - cpu


def _load_all(bench: Bench, count: int, seconds: float) -> tuple[int, float, float]:
    with bench.client() as operator:
        for number in range(RECEIVERS):
            operator.start_session(f"load_{number}")
        for number in range(PROCESSES):
            operator.start_session(f"loader_{number}", role="orchestrator")
    jobs = [(bench.endpoints.router, f"loader_{n}", count // PROCESSES, IN_FLIGHT, seconds) for n in range(PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        done = pool.map(_load, jobs)
    accepted = sum(result[0] for result in done)
    took_s = max(result[2] for result in done) - min(result[1] for result in done)
    return accepted, took_s, sum(result[3] for result in done)


def _until_filed(bench: Bench, timeout_s: float) -> float:
    began = time.monotonic()
    with bench.client() as client:
        while client.stats()["filingBacklog"] and time.monotonic() - began < timeout_s:
            time.sleep(0.05)
    return time.monotonic() - began


def burst(bench: Bench) -> None:
    """A burst, 64 in flight from 4 processes, one message a request."""
    accepted, took_s, cpu_s = _load_all(bench, bench.burst, 0.0)
    lag_s = _until_filed(bench, 120.0)
    rate = accepted / took_s
    bench.figures |= {"burst_per_s": rate, "burst_accepted": accepted, "burst_filing_lag_s": lag_s}
    bench.row(
        f"burst of {bench.burst:,}, 4 x 16 in flight",
        f"{rate:,.0f} /s",
        f"{accepted:,} accepted; client CPU {cpu_s / accepted * 1e6:.0f} us each; "
        f"filed {lag_s:.1f} s later; bar 12,000",
    )


def sustained(bench: Bench) -> None:
    """The same for a minute, and until the last message is a file."""
    accepted, took_s, _ = _load_all(bench, 10_000_000, bench.seconds)
    lag_s = _until_filed(bench, 120.0)
    rate, filed_rate = accepted / took_s, accepted / (took_s + lag_s)
    bench.figures |= {"sustained_per_s": rate, "sustained_filed_per_s": filed_rate, "sustained_lag_s": lag_s}
    bench.row(
        f"sustained {bench.seconds:.0f} s, 4 x 16 in flight",
        f"{rate:,.0f} /s",
        f"{filed_rate:,.0f} /s until all is filed ({lag_s:.1f} s later); bar 4,000",
    )


def commands(bench: Bench) -> None:
    """Everyday commands, as whole processes."""
    bench.figures |= whole_commands(bench)


# In this order: what needs a quiet disk, then what makes many files, and near the end what deletes many of them: ext4
# without a journal keeps away from inodes that were freed within the last minutes, and looks for others one by one.
PARTS: dict[str, Callable[[Bench], None]] = {
    "machine": machine,
    "warm": warm,
    "sustained_beside": sustained_beside,
    "sustained": sustained,
    "scale": scale,
    "commands": commands,
    "messengers": functools.partial(messengers, sends=300, reads=100, pushes=40, kills=10),
    "latency": latency,
    "push": push,
    "poll": poll,
    "rest": rest,
    "gateway_events": gateway_events,
    "mcp": mcp,
    "window": window,
    "search": searching,
    "throughput": throughput,
    "burst": burst,
    "profile": stages,
    "fan_outs": fan_outs.fan_outs,
    "log": logs,
    "disk_use": disk_use,
    "percentiles": percentiles,
    "million": million,
    "sweep": sweep,  # the last, since it removes files
}
# They judge the spool writer, which makes files: they wait until the disk has forgotten what was removed before.
_RESTED = frozenset({"sustained_beside", "scale", "million"})
BY_NAME_ONLY = frozenset({"million", "disk_use", "sweep", "search", "window"})
MESSAGES = {
    "million": 1_000_000,
    "disk_use": 40_000,
    "sweep": 20_000,
    "scale": 100_000,
    "log": 20_000,
    "search": 100_000,
    "window": 100_000,
}
# Where a minute at each of several depths, or of each kind of background, shows no more.
SECONDS = {"sustained": 20.0, "sustained_beside": 20.0, "percentiles": 40.0}


def main() -> int:
    """Run the parts; exit 1 when a part saw fewer messages than it sent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=[*PARTS, "house"], help="run this part (and `machine`)")
    parser.add_argument(
        "--against", metavar="PATH", help="measure this checkout and another one, which has its own .venv, in turns"
    )
    parser.add_argument(
        "--short", action="store_true", help="with --against: a few rounds, which only show that the comparison runs"
    )
    parser.add_argument("--seconds", type=float, help="length of the sustained parts, and of what is paced")
    parser.add_argument("--burst", type=int, default=40_000, help="messages in the burst")
    parser.add_argument("--messages", type=int, help="messages of `million`, `disk_use`, `sweep`, `scale` and `log`")
    parser.add_argument("--json", help="write the figures there")
    parser.add_argument("--all", action="store_true", help="also the parts that run only by name")
    parser.add_argument("--report", action="store_true", help="write docs/performance.md, of this run's parts alone")
    parser.add_argument("--from", dest="kept", metavar="FILE", help="write docs/performance.md again from a kept run")
    parser.add_argument(
        "--go-on", action="store_true", help="keep the parts of a run that broke off, and do the rest"
    )
    parser.add_argument("--base", help="a directory on the file system to measure; default: the temporary one")
    arguments = parser.parse_args()
    scratch_dirs.end_in_order()
    if arguments.kept:
        kept = report.read(arguments.kept)
        if any(shown.part == bars.PART for shown in kept.shown):
            bars.add(kept)  # with the bars of today
        report.write(kept, DOCS)
        return 0
    if arguments.against or arguments.only == ["house"]:
        if not arguments.against:
            parser.error("house needs --against PATH, another checkout with its own .venv")
        if arguments.only == ["fan_outs"]:
            rounds = 1 if arguments.short else fan_outs.ROUNDS
            rows = fan_outs.beside(arguments.against, os.path.dirname(DOCS), arguments.base, rounds)
        else:
            sizes = house.SHORT if arguments.short else house.WHOLE
            rows = house.house(arguments.against, os.path.dirname(DOCS), arguments.base, sizes)
        if arguments.json:
            with open(arguments.json, "w", encoding="utf-8") as file:
                json.dump(house.as_json(rows), file, indent=1)
        return 0
    print(f"Maestro messaging, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}; texts of {len(TEXT)} bytes\n")
    reports = arguments.report or not arguments.only
    findings = report.read(os.path.join(DOCS, report.DATA)) if arguments.go_on else Findings()
    figures: dict[str, Any] = dict(findings.figures)
    done = bars.measured(findings)
    if done:
        now = time.strftime("%H:%M UTC", time.gmtime())
        again = [name for name in PARTS if name not in done]
        before = findings.run.get("gone on with")
        sitting = f"{now}, at commit {commit()}: {', '.join(again)}"
        findings.run["gone on with"] = sitting if before is None else f"{before}; {sitting}"
    benches: list[Bench] = []
    try:
        for name, part in PARTS.items():
            wanted = name in arguments.only if arguments.only else arguments.all or name not in BY_NAME_ONLY
            if name in done or (not wanted and name != "machine"):
                continue
            os.sync()  # what the part before has written must not disturb this one
            began_s = time.monotonic()
            seconds = arguments.seconds or SECONDS.get(name, 60.0)
            bench = Bench(arguments.base, seconds, arguments.burst, arguments.messages or MESSAGES.get(name, 0))
            benches.append(bench)
            bench.figures |= figures
            bench.findings = findings
            if not findings.run:
                findings.run = about(bench.scratch)
            shown = len(findings.shown)
            try:
                if name in _RESTED:
                    waited_s, us = references.until_rested(bench.data)
                    bench.figures[f"{name}_new_file_us"] = us
                    bench.row("a new file before it, CPU", f"{us:.0f} us", f"waited {waited_s:.0f} s for the disk")
                part(bench)
            finally:
                bench.stop()
            figures |= bench.figures
            if len(findings.shown) == shown:
                findings.add(Table(name, "As it was printed", ["", "", ""], [list(row) for row in bench.rows]))
            figures[f"{bars.MINUTES}{name}"] = minutes = (time.monotonic() - began_s) / 60
            print(f"  ({name}: {minutes:.1f} minutes)", flush=True)
            findings.figures |= figures
            bars.add(findings)
            if reports:
                report.keep(findings, DOCS)  # so that an aborted run of an hour can be continued
        findings.run["load average at the end"] = f"{os.getloadavg()[0]:.2f}"
        if reports:
            report.write(findings, DOCS)
            print(f"\nwritten: {os.path.relpath(os.path.join(DOCS, report.PAGE))}")
    finally:
        for bench in benches:
            bench.remove()
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)
    whole = figures.get("push_seen", 600) == 600 and figures.get("poll_seen", 40) == 40
    whole = whole and figures.get("ws_push_seen", PUSHES) == PUSHES
    whole = whole and figures.get("ws_crowd_whole", CLIENTS) == CLIENTS
    whole = whole and figures.get("percentiles_whole", 1.0) == 1.0
    whole = whole and figures.get("messengers_whole", 1.0) == 1.0
    whole = whole and figures.get("sweep_whole", 1.0) == figures.get("million_sweep_whole", 1.0) == 1.0
    ratios = ("fan_out_ratio", "fan_out_ratio_empty", "fan_out_ratio_streamed")
    whole = whole and all(figures.get(name, 0.0) <= fan_outs.BAR for name in ratios)
    whole = whole and figures.get("sweep_added_worst_ms", 0.0) <= ADDED_MS_MAX
    return 0 if whole and figures.get("burst_accepted", arguments.burst) == arguments.burst else 1


if __name__ == "__main__":
    sys.exit(main())
