"""Throughput: durable sends a second, beside Redis and NATS JetStream, at four depths.

Rule: one Python client process each, on the same file system, in the same run, in turns, every message durable before
its answer, and every message counted at its server afterwards. Ratios are of means over the turns.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench import processes, references
from bench.findings import Plot, Table
from bench.peers import LOADS, MODES, RECEIVERS, TEXT, Load, Nats, Peer, Redis, in_tasks, missing
from maestro_clients.async_client import AsyncClient
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.run import Bench
    from maestro_schemas.documents import OutgoingDoc

DEPTHS = (1, 16, 64, 256)
# Of a full burst: at depth 1 nothing piles up, so fewer tell as much.
_DEPTH_1_SHARE = 5
_TURNS = 3
# Requests in flight with batches: the client prepares one while the broker handles another.
_REQUESTS = 4
# Up to here all go in one request, as in a pipeline of Redis's: four of four are more commits for no gain.
_ONE_REQUEST = 16
_PROCESSES = 4
_SPIN_US = 300


def maestro_load(address: str, mode: str, depth: int, count: int, seconds: float) -> Load:
    """As MODES has it. `batches`: requests of a quarter of what is in flight, a few messages excepted. `spinning`:
    singles by a client that stays awake."""
    spin_us = _SPIN_US if mode == "spinning" else 0
    batch = 1 if mode in ("singles", "spinning") else depth if depth <= _ONE_REQUEST else depth // _REQUESTS
    session = f"loader_{os.getpid()}"
    with Client(address) as operator:
        operator.start_session(session, role="orchestrator")
    if mode == "tasks":
        return asyncio.run(_tasks(address, session, depth, count, seconds))
    with Client(address, Caller(session), timeout_s=60.0, spin_us=spin_us) as client:
        client.hello()
        began = time.monotonic()
        until = began + seconds if seconds else float("inf")

        def outgoing() -> Iterator[OutgoingDoc]:
            for number in range(count):
                if time.monotonic() >= until:
                    return
                yield {"id": new_message_id(), "to": f"load_{number % RECEIVERS}", "message": TEXT}

        # A burst is a list, of which the client sends several requests by one system call.
        messages = outgoing() if seconds else list(outgoing())
        accepted = sum(result["status"] == 201 for result in client.pipeline(messages, in_flight=depth, batch=batch))
        return Load(accepted, began, time.monotonic())


async def _tasks(address: str, session: str, depth: int, count: int, seconds: float) -> Load:
    async with AsyncClient(address, Caller(session), timeout_s=60.0) as client:
        await client.hello()

        async def put(number: int) -> None:
            await client.send(f"load_{number % RECEIVERS}", TEXT)

        return await in_tasks(put, depth, count, seconds)


class Ours:
    """The bench's own broker, as a peer."""

    name = "Maestro"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.address = bench.endpoints.router
        with bench.client() as operator:
            for number in range(RECEIVERS):
                operator.start_session(f"load_{number}")

    def stop(self) -> None:
        """The bench does it."""

    def held(self) -> int:
        """As Peer."""
        with self._bench.client() as client:
            return int(client.stats()["messages"]["accepted"])

    def durability(self) -> str:
        """As Peer."""
        return "fdatasync of the journal before each answer; one for what arrived together"

    def until_filed(self, timeout_s: float = 300.0) -> float:
        """How long it takes until every message is a file."""
        began = time.monotonic()
        with self._bench.client() as client:
            while client.stats()["filingBacklog"] and time.monotonic() - began < timeout_s:
                time.sleep(0.05)
        return time.monotonic() - began


def throughput(bench: Bench) -> None:
    """A burst at each depth, in both modes; then four processes at once."""
    ours = Ours(bench)
    peers = _start(bench, Redis, Nats)
    everybody: list[Peer] = [ours, *peers]
    rates: dict[tuple[str, str, int], list[float]] = {}
    try:
        for peer in everybody:
            bench.row(f"durability: {peer.name}", "", peer.durability())
        limits(bench)
        for depth in DEPTHS:
            count = bench.burst // _DEPTH_1_SHARE if depth == 1 else bench.burst
            for turn in range(_TURNS):
                for mode in MODES:
                    for peer in everybody[turn % len(everybody) :] + everybody[: turn % len(everybody)]:
                        rate = _burst(peer, mode, depth, _share_of(peer, depth, count))
                        rates.setdefault((peer.name, mode, depth), []).append(rate)
                        _settle(ours, peer)
                for peer in peers:
                    if peer.name == "Redis" and depth > 1:
                        rate = _burst(peer, "packed", depth, _share_of(peer, depth, count))
                        rates.setdefault((peer.name, "packed", depth), []).append(rate)
            for mode in MODES:
                _tell(bench, rates, everybody, mode, depth)
        redis = [peer for peer in peers if peer.name == "Redis"]
        spinning(bench, ours, redis)
        turns: dict[str, list[float]] = {}
        for turn in range(_TURNS):
            for peer in everybody[turn % len(everybody) :] + everybody[: turn % len(everybody)]:
                turns.setdefault(peer.name, []).append(_several(peer, 16, _share_of(peer, 16, bench.burst)))
                _settle(ours, peer)
        several = {peer.name: statistics.mean(turns[peer.name]) for peer in everybody}
        bench.figures |= {f"several_{name.lower()}_per_s": rate for name, rate in several.items()}
        bench.row(
            f"burst, {_PROCESSES} processes x 16 in flight, singles",
            "  ".join(f"{name} {rate:,.0f}/s" for name, rate in several.items()),
        )
    finally:
        for peer in peers:
            peer.stop()
    _show(bench, rates, everybody, several)
    if redis:
        _show_packed(bench, rates)


def _settle(ours: Ours, peer: Peer) -> None:
    """Before the next measurement: our files are made, and the kernel has written them. Otherwise the next one would
    share its cores and its disk with ours."""
    if peer is ours:
        ours.until_filed()
        os.sync()


def spinning(bench: Bench, ours: Ours, beside: list[Peer]) -> None:
    """One in flight, with a client that stays awake while it waits and one that sleeps, in turns with Redis."""
    count = bench.burst // _DEPTH_1_SHARE // _TURNS
    jobs: list[tuple[str, Peer, str]] = [
        ("Maestro, spinning client", ours, "spinning"),
        ("Maestro", ours, "singles"),
        *((peer.name, peer, "singles") for peer in beside),
    ]
    rates: dict[str, list[float]] = {}
    cpu_us: dict[str, list[float]] = {}
    for turn in range(_TURNS):
        for name, peer, mode in jobs[turn % len(jobs) :] + jobs[: turn % len(jobs)]:
            used_s = time.process_time()
            rates.setdefault(name, []).append(_burst(peer, mode, 1, count))
            cpu_us.setdefault(name, []).append((time.process_time() - used_s) / count * 1e6)
            _settle(ours, peer)
    means = {name: statistics.mean(found) for name, found in rates.items()}
    cpu = {name: statistics.mean(found) for name, found in cpu_us.items()}
    first, *others = means
    bench.figures["spinning_1_per_s"] = means[first]
    bench.figures |= {f"spinning_{peer.name.lower()}_1_per_s": means[peer.name] for peer in beside}
    bench.figures["spinning_1_cpu_us"] = cpu[first]
    bench.row(
        "1 in flight, spinning client",
        f"{means[first]:,.0f} /s",
        "  ".join(f"{name} {means[name]:,.0f} ({means[first] / means[name]:.2f} x)" for name in others)
        + "; client CPU "
        + ", ".join(f"{name} {each:.0f} us" for name, each in cpu.items()),
    )
    bench.findings.add(
        Table(
            "throughput",
            f"1 in flight, spinning client: durable sends a second, {count * _TURNS:,} each",
            ["client", "a second", "spinning / it", "client's CPU, us a send"],
            [[name, round(rate), round(means[first] / rate, 2), round(cpu[name])] for name, rate in means.items()],
            f"`Client(..., spin_us={_SPIN_US})`: each wait stays awake for that long before it sleeps (decision 52).",
        )
    )


def sustained_beside(bench: Bench) -> None:
    """`--seconds` at each depth, in batches; ours until every message is a file. NATS keeps files, too."""
    ours = Ours(bench)
    peers = _start(bench, Nats)
    everybody: list[Peer] = [ours, *peers]
    rows: list[list[str | int | float | None]] = []
    filer_us: list[float] = []
    try:
        for depth in DEPTHS:
            rates = {}
            for peer in everybody:
                seconds = bench.seconds if peer is ours else bench.seconds / 3
                before = processes.cpu_us(bench.endpoints.pid)
                load = _load_of(peer)(peer.address, "batches", depth, 100_000_000, seconds)
                lag_s = ours.until_filed() if peer is ours else 0.0
                if peer is ours:
                    # Without clocks inside it, as the part `profile` has.
                    used = processes.cpu_us(bench.endpoints.pid).each(before, load.accepted)
                    bench.figures[f"sustained_filer_{depth}_us"] = used.writer
                    filer_us.append(used.writer)
                    os.sync()
                rates[peer.name] = load.accepted / (load.ended_s - load.began_s + lag_s)
            for name, rate in rates.items():
                bench.figures[f"sustained_{name.lower()}_{depth}_per_s"] = rate
            rows.append([depth, *(round(rate) for rate in rates.values()), *_ratios(rates), round(filer_us[-1], 1)])
            bench.row(
                f"sustained {bench.seconds:.0f} s, {depth} in flight, filed",
                f"{rates['Maestro']:,.0f} /s",
                "  ".join(f"{name} {rate:,.0f} ({rates['Maestro'] / rate:.2f} x)" for name, rate in rates.items()),
            )
    finally:
        for peer in peers:
            peer.stop()
    names = [peer.name for peer in everybody]
    bench.findings.add(
        Table(
            "throughput",
            f"Sustained over {bench.seconds:.0f} s, durable sends a second (ours until every message is a file)",
            ["in flight", *names, *(f"Maestro / {name}" for name in names[1:]), "spool writer's CPU, us a message"],
            rows,
            f"NATS, whose rate does not change with time, for a third of it. {_before(bench)}",
        )
    )


def _before(bench: Bench) -> str:
    us = bench.figures.get("sustained_beside_new_file_us")
    return "" if us is None else f"Before it, an empty new file took {us:.0f} us of CPU."


def _show_packed(bench: Bench, rates: dict[tuple[str, str, int], list[float]]) -> None:
    rows: list[list[str | int | float | None]] = []
    for depth in DEPTHS[1:]:
        ours = statistics.mean(rates["Maestro", "singles", depth])
        packed = statistics.mean(rates["Redis", "packed", depth])
        bench.figures[f"packed_redis_{depth}_per_s"] = packed
        rows.append([depth, round(ours), round(packed), round(ours / packed, 2)])
    bench.findings.add(
        Table(
            "throughput",
            "Singles, where Redis's client packs up to eight commands for a system call as ours does",
            ["in flight", "Maestro", "Redis", "Maestro / Redis"],
            rows,
            "By redis-py's `pack_commands`, below its public calls. The bars are of one command a call, as before.",
        )
    )


def limits(bench: Bench) -> None:
    """What the machine can do at most."""
    overwritten = references.fdatasync_ms(bench.scratch, 2_000)
    appended = references.fdatasync_growing_ms(bench.scratch, 2_000)
    echoes = {depth: references.echo_rate(bench.environ["MAESTRO_RUNTIME_DIR"], depth) for depth in DEPTHS}
    created = references.create_rate(os.path.join(bench.scratch, "limits"))
    rows: list[list[str | int | float | None]] = [
        ["write + fdatasync of one record, preallocated file", round(1000 * len(overwritten) / sum(overwritten))],
        ["write + fdatasync of one record, growing file", round(1000 * len(appended) / sum(appended))],
        ["files created, renamed and linked", round(created)],
    ]
    rows += [[f"DEALER/ROUTER echo, {depth} in flight", round(rate)] for depth, rate in echoes.items()]
    bench.findings.add(Table("throughput", "What the machine can do", ["", "a second"], rows))
    for name, rate in rows:
        bench.row(f"limit: {name}", f"{rate:,} /s")


def _start(bench: Bench, *wanted: type[Redis | Nats]) -> list[Peer]:
    lacking = missing()
    for name, what in lacking.items():
        bench.row(f"{name} is not measured", "", f"not installed: {what} (pip install -e '.[peers]')")
    return [peer(bench.scratch) for peer in wanted if peer.name not in lacking]


def _share_of(peer: Peer, depth: int, count: int) -> int:
    """At depth 1 a turn's part of the messages; and a fifth of them for NATS, which syncs each by itself, so that its
    rate is the same however long it lasts."""
    if depth == 1:
        return count // _TURNS
    return count // _DEPTH_1_SHARE if isinstance(peer, Nats) else count


def _load_of(peer: Peer) -> Callable[[str, str, int, int, float], Load]:
    return LOADS.get(peer.name, maestro_load)


def _burst(peer: Peer, mode: str, depth: int, count: int) -> float:
    held = peer.held()
    load = _load_of(peer)(peer.address, mode, depth, count, 0.0)
    kept = peer.held() - held
    extra = int(peer.name == "NATS")  # its first, which opens the stream
    if load.accepted != count or kept != count + extra:
        raise RuntimeError(f"{peer.name}: {count} sent, {load.accepted} acknowledged, {kept} kept")
    return count / (load.ended_s - load.began_s)


def _several(peer: Peer, depth: int, count: int) -> float:
    """Messages a second of several client processes together. (Not by multiprocessing: a peer's library may start
    threads at its import.)"""
    code = (
        "import sys, time; sys.path[:0] = sys.argv[7:]\n"
        "from bench import peers, throughput\n"
        "load = peers.LOADS.get(sys.argv[1], throughput.maestro_load)\n"
        "done = load(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))\n"
        "print(*done)"
    )
    arguments = [peer.name, peer.address, "singles", str(depth), str(count // _PROCESSES), "0", *sys.path]
    running = [
        subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(_PROCESSES)
    ]
    loads = [process.communicate(timeout=600)[0].split() for process in running]
    took_s = max(float(load[2]) for load in loads) - min(float(load[1]) for load in loads)
    return sum(int(load[0]) for load in loads) / took_s


def _ratios(rates: dict[str, float]) -> list[float]:
    return [round(rates["Maestro"] / rate, 2) for name, rate in rates.items() if name != "Maestro"]


def _tell(
    bench: Bench, rates: dict[tuple[str, str, int], list[float]], everybody: list[Peer], mode: str, depth: int
) -> None:
    means = {peer.name: statistics.mean(rates[peer.name, mode, depth]) for peer in everybody}
    for name, rate in means.items():
        bench.figures[f"{mode}_{name.lower()}_{depth}_per_s"] = rate
    bench.row(
        f"burst, {mode}, {depth} in flight",
        f"{means['Maestro']:,.0f} /s",
        "  ".join(f"{name} {rate:,.0f} ({means['Maestro'] / rate:.2f} x)" for name, rate in means.items()),
    )


def _show(
    bench: Bench,
    rates: dict[tuple[str, str, int], list[float]],
    everybody: list[Peer],
    several: dict[str, float],
) -> None:
    names = [peer.name for peer in everybody]
    for mode in MODES:
        rows: list[list[str | int | float | None]] = []
        for depth in DEPTHS:
            means = {name: statistics.mean(rates[name, mode, depth]) for name in names}
            spread = [f"{min(rates[n, mode, depth]):,.0f} to {max(rates[n, mode, depth]):,.0f}" for n in names]
            rows.append([depth, *(round(rate) for rate in means.values()), *_ratios(means), "; ".join(spread)])
        bench.findings.add(
            Table(
                "throughput",
                f"Burst of {bench.burst:,}, {MODES[mode]}: durable sends a second",
                ["in flight", *names, *(f"Maestro / {name}" for name in names[1:]), "from, to"],
                rows,
                f"Means of {_TURNS} turns; at depth 1, and for NATS, a burst of {bench.burst // _DEPTH_1_SHARE:,}.",
            )
        )
    bench.findings.add(
        Plot(
            "throughput",
            "throughput",
            f"Durable sends a second, burst of {bench.burst:,}, one client process",
            "messages in flight",
            "messages a second",
            {
                f"{name}, {mode}": [(depth, statistics.mean(rates[name, mode, depth])) for depth in DEPTHS]
                for name in names
                for mode in MODES
            },
            log_x=True,
            log_y=True,
        )
    )
    bench.findings.add(
        Table(
            "throughput",
            f"{_PROCESSES} client processes, 16 in flight each, singles",
            ["", "a second", "Maestro / it"],
            [[name, round(rate), round(several["Maestro"] / rate, 2)] for name, rate in several.items()],
        )
    )
