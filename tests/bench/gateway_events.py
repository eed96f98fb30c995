"""Part `gateway_events`: how soon a WebSocket client has an event, and whether many of them have all.

Rule: a real gateway before the bench's broker; the many clients live in a process of their own and count what they
get, by LSN.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect

from bench.references import percentile
from maestro_clients.processes import gateway_process
from maestro_clients.protocol.new_ids import new_message_id

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event as ProcessEvent

    from bench.run import Bench
    from maestro_schemas.documents import OutgoingDoc

TEXT = "x" * 512
PUSHES = 600
CLIENTS = 200
EVENTS = 1_000
_WAIT_S = 120.0


class Counted(NamedTuple):
    """`whole`: clients that got every event once and in order. `got`: events of all. `done_s`: monotonic."""

    whole: int
    got: int
    done_s: float


def gateway_events(bench: Bench) -> None:
    """Push to one client; then a thousand events to each of many."""
    url = gateway_process.start(bench.data, bench.environ, host="127.0.0.1", port=0).split()[0]
    try:
        _push(bench, url.replace("http://", "ws://", 1))
        _crowd(bench, url.replace("http://", "ws://", 1))
    finally:
        gateway_process.stop(bench.data)


def _push(bench: Bench, url: str) -> None:
    """From the sender's `accepted` to the frame with the body in a client's hand."""
    with bench.client() as operator:
        operator.start_session("ws_a", role="orchestrator")
        operator.start_session("ws_b")
    got: dict[str, float] = {}
    arrived = threading.Semaphore(0)
    with connect(f"{url}/ws", additional_headers={"X-Session-ID": "ws_b"}, compression=None) as opened:

        def watch() -> None:
            while len(got) < PUSHES:
                raw = opened.recv(timeout=_WAIT_S)
                now_s = time.perf_counter()
                frame = json.loads(raw)
                if frame["event"] == "message:created" and frame["data"]["message"] == TEXT:
                    got[frame["data"]["id"]] = now_s
                    arrived.release()

        thread = threading.Thread(target=watch)
        thread.start()
        accepted: dict[str, float] = {}
        with bench.client("ws_a") as client:
            for _ in range(PUSHES):
                result = client.send("ws_b", TEXT)
                accepted[result["id"]] = time.perf_counter()
                arrived.acquire(timeout=10.0)
                time.sleep(0.002)  # paced, so that each push is one of its own and not a part of a page
        thread.join()
    times = sorted(max(0.0, (got[one] - accepted[one]) * 1000) for one in got)
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    bench.figures |= {"ws_push_p50_ms": p50, "ws_push_p99_ms": p99, "ws_push_seen": len(got)}
    bench.row(
        "push to a WebSocket, body in hand, p50 / p99",
        f"{p50:.3f} / {p99:.3f} ms",
        f"{len(got)} of {PUSHES} seen; bar p50 5",
    )


def _crowd(bench: Bench, url: str) -> None:
    with bench.client() as operator:
        operator.start_session("crowd_a", role="orchestrator")
        operator.start_session("crowd_b")
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    receiving, sending = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_clients, args=(url, ready, sending))
    process.start()
    try:
        assert ready.wait(_WAIT_S), "the clients did not connect"
        began_s = time.monotonic()
        outgoing: list[OutgoingDoc] = [
            {"id": new_message_id(), "to": "crowd_b", "message": TEXT} for _ in range(EVENTS)
        ]
        with bench.client("crowd_a") as client:
            accepted = sum(result["status"] == 201 for result in client.pipeline(outgoing, in_flight=16))
        assert accepted == EVENTS
        assert receiving.poll(_WAIT_S), "the clients did not finish"
        counted: Counted = receiving.recv()
    finally:
        process.terminate()
        process.join()
    took_s = counted.done_s - began_s
    bench.figures |= {"ws_crowd_whole": counted.whole, "ws_crowd_got": counted.got, "ws_crowd_s": took_s}
    bench.row(
        f"{EVENTS:,} events to each of {CLIENTS} WebSockets",
        f"{counted.got / took_s:,.0f} frames/s",
        f"{counted.whole} of {CLIENTS} got all once and in order; {counted.got:,} of {CLIENTS * EVENTS:,} in "
        f"{took_s:.1f} s, the clients on the same CPUs",
    )


def _clients(url: str, ready: ProcessEvent, sending: multiprocessing.connection.Connection[Counted, Counted]) -> None:
    sending.send(asyncio.run(_count_all(url, ready)))


async def _count_all(url: str, ready: ProcessEvent) -> Counted:
    async with contextlib.AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(connect_async(f"{url}/ws", compression=None, max_queue=64))
            for _ in range(CLIENTS)
        ]
        for one in opened:
            # About the sender there is one frame an event.
            await one.send(json.dumps({"type": "subscribe", "sessionIds": ["crowd_a"]}))
            assert json.loads(await one.recv())["type"] == "subscribed"
        ready.set()
        lsns = await asyncio.gather(*map(_count, opened))
        done_s = time.monotonic()
    first = lsns[0]
    whole = sum(one == sorted(set(one)) and one == first and len(one) == EVENTS for one in lsns)
    return Counted(whole, sum(map(len, lsns)), done_s)


async def _count(opened: ClientConnection) -> list[int]:
    lsns: list[int] = []
    with contextlib.suppress(TimeoutError):
        while len(lsns) < EVENTS:
            raw = await asyncio.wait_for(opened.recv(), _WAIT_S / 2)
            lsns.append(json.loads(raw)["lsn"])
    return lsns
