"""Part `gateway_events`: how soon a WebSocket client has an event, and what a thousand events cost for many.

Rule: a real gateway before the bench's broker; the many clients live in a process of their own and count what they
get, by LSN. In turns with it, a bare server sends the same frames to as many.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from websockets.sync.client import connect

from bench.crowd import BareServer, Crowd
from bench.findings import Table
from bench.processes import cpu_us
from bench.references import percentile
from maestro_clients.processes import gateway_process
from maestro_clients.protocol.new_ids import new_message_id

if TYPE_CHECKING:
    from bench.crowd import Counted
    from bench.run import Bench
    from maestro_schemas.documents import OutgoingDoc

TEXT = "x" * 512
PUSHES = 600
CLIENTS = 200
EVENTS = 1_000
_TURNS = 2
_WAIT_S = 120.0


class Cost(NamedTuple):
    """One turn: seconds until the last client had the last event; CPU in us a frame of the server, the broker and the
    clients."""

    took_s: float
    server_us: float
    broker_us: float
    clients_us: float


def gateway_events(bench: Bench, clients: int = CLIENTS, events: int = EVENTS) -> None:
    """Push to one client; then a thousand events to each of many."""
    url = gateway_process.start(bench.data, bench.environ, host="127.0.0.1", port=0).split()[0]
    try:
        _push(bench, url.replace("http://", "ws://", 1))
        _crowd(bench, url.replace("http://", "ws://", 1), clients, events)
    finally:
        gateway_process.stop(bench.data)


def _push(bench: Bench, url: str) -> None:
    """From the sender's `accepted` to the frame with the body in a client's hand."""
    with bench.client() as operator:
        operator.start_session("ws_a", role="orchestrator")
        operator.start_session("ws_b")
    got: dict[str, float] = {}
    arrived = threading.Semaphore(0)
    with connect(f"{url}/ws?frames=flat", additional_headers={"X-Session-ID": "ws_b"}, compression=None) as opened:

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


def _crowd(bench: Bench, url: str, clients: int, events: int) -> None:
    with bench.client() as operator:
        operator.start_session("crowd_a", role="orchestrator")
        operator.start_session("crowd_b")
    ours: list[Cost] = []
    bare: list[Cost] = []
    whole = got = 0
    for _ in range(_TURNS):
        counted, cost = _ours(bench, url, clients, events)
        ours.append(cost)
        whole, got = whole + counted.whole, got + counted.got
        bare.append(_bare(counted.frames, clients))
    us, it = (Cost(*map(statistics.mean, zip(*turns, strict=True))) for turns in (ours, bare))
    rate = clients * events / us.took_s
    ratio = us.server_us / it.server_us
    bench.figures |= {
        "ws_crowd_whole": whole / _TURNS,
        "ws_crowd_got": got / _TURNS,
        "ws_crowd_s": us.took_s,
        "ws_crowd_per_s": rate,
        "ws_crowd_gateway_us": us.server_us,
        "ws_crowd_broker_event_us": us.broker_us * clients,
        "ws_crowd_bare_us": it.server_us,
        "ws_crowd_cpu_ratio": ratio,
        "ws_crowd_time_ratio": us.took_s / it.took_s,
    }
    bench.row(
        f"{events:,} events to each of {clients} WebSockets",
        f"{rate:,.0f} frames/s",
        f"the last client has the last event after {us.took_s:.2f} s, of a bare server {it.took_s:.2f} s; "
        f"{got:,} of {clients * events * _TURNS:,} came, the clients on the same CPUs",
    )
    bench.row(
        "  CPU of the gateway a frame",
        f"{us.server_us:.1f} us",
        f"{ratio:.2f} x a bare server's {it.server_us:.1f}; an event takes {us.server_us * clients:,.0f} us of it, "
        f"and {us.broker_us * clients:,.0f} us of the broker",
    )
    bench.findings.add(
        Table(
            "gateway_events",
            f"{events:,} events to each of {clients} WebSockets",
            [
                "",
                "until the last client has the last, s",
                "frames a second",
                "server's CPU a frame, us",
                "server's CPU an event, us",
                "broker's CPU an event, us",
                "clients' CPU a frame, us",
            ],
            [
                [
                    name,
                    cost.took_s,
                    clients * events / cost.took_s,
                    cost.server_us,
                    cost.server_us * clients,
                    cost.broker_us * clients if cost is us else None,
                    cost.clients_us,
                ]
                for name, cost in (("Maestro's gateway", us), ("a bare server", it))
            ],
            f"Means of {_TURNS} turns. The bare server is uvicorn with the gateway's settings, and sends each "
            f"frame to all without a look at it. {whole:,} of {clients * _TURNS:,} clients of the gateway got all "
            "events once and in order.",
        )
    )


def _ours(bench: Bench, url: str, clients: int, events: int) -> tuple[Counted, Cost]:
    gateway = gateway_process.find(bench.data)
    assert gateway is not None
    outgoing: list[OutgoingDoc] = [{"id": new_message_id(), "to": "crowd_b", "message": TEXT} for _ in range(events)]
    # About the sender there is one frame an event.
    with Crowd(f"{url}/ws", clients, events, "crowd_a") as crowd, bench.client("crowd_a") as client:
        before = [cpu_us(pid).whole for pid in (gateway.pid, bench.endpoints.pid)]
        began_s = time.monotonic()
        accepted = sum(result["status"] == 201 for result in client.pipeline(outgoing, in_flight=16))
        assert accepted == events
        counted = crowd.counted()
        used = [cpu_us(pid).whole for pid in (gateway.pid, bench.endpoints.pid)]
    frames = clients * events
    server_us, broker_us = ((now - then) / frames for now, then in zip(used, before, strict=True))
    return counted, Cost(counted.done_s - began_s, server_us, broker_us, counted.cpu_s * 1e6 / frames)


def _bare(texts: list[str], clients: int) -> Cost:
    frames = clients * len(texts)
    with BareServer() as server, Crowd(f"{server.url}/ws", clients, len(texts), "crowd_a") as crowd:
        before = cpu_us(server.pid).whole
        began_s = time.monotonic()
        server.feed(texts)
        counted = crowd.counted()
        used = cpu_us(server.pid).whole - before
    assert counted.whole == clients
    return Cost(counted.done_s - began_s, used / frames, 0.0, counted.cpu_s * 1e6 / frames)
