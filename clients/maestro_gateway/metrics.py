"""Metrics: the numbers at `/metrics`, for Prometheus.

Rule: the broker's numbers are its `stats`, asked for at each scrape and never kept. The gateway's own are counted
here, one set for each application, without a global registry. While the broker is away, the gateway's own numbers are
still shown, and `maestro_up` is 0.
"""

from __future__ import annotations

import asyncio
import time
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.responses import Response

from maestro_schemas import __version__
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROMETHEUS = "text/plain"

# A client can send any method and path; a label for each would fill the memory.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"
# A request takes half a millisecond where the disk is fast, and five seconds until the broker counts as away.
_DURATION_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LOOK_S = 2.0
# The counts among the broker's numbers of wakes.
_WAKES = frozenset({"made", "answered", "void", "unanswered", "held", "failed"})


class GatewayMetrics:
    """The gateway's own numbers. The handlers of streams count `websocket_clients` and `event_streams`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.websocket_clients = Gauge(
            "maestro_websocket_clients", "WebSocket connections that are open.", registry=self._registry
        )
        self.event_streams = Gauge(
            "maestro_event_streams", "Streams of server-sent events that are open.", registry=self._registry
        )
        self.mail_waits = Gauge("maestro_mail_waits", "Requests that wait for mail.", registry=self._registry)
        self.in_flight = Gauge(
            "maestro_http_requests_in_flight",
            "HTTP requests whose answer is not complete, open streams of events included.",
            registry=self._registry,
        )
        self._requests = Counter(
            "maestro_http_requests",
            "HTTP requests by the route's path, method and status.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "maestro_http_request_duration_seconds",
            "Time until an HTTP request's answer began, by the route's path and method.",
            ("route", "method"),
            buckets=_DURATION_BOUNDS_S,
            registry=self._registry,
        )

    def open_streams(self) -> dict[str, int]:
        """How many clients get events at the moment, by the way they come."""
        gauges = {
            "webSockets": self.websocket_clients,
            "eventStreams": self.event_streams,
            "mailWaits": self.mail_waits,
        }
        return {name: int(next(iter(gauge.collect())).samples[0].value) for name, gauge in gauges.items()}

    def answered(self, route: str, method: str, status: int, duration_s: float) -> None:
        """Count a request; `duration_s` is the time until its answer began."""
        method = method if method in _METHODS else _OTHER
        self._requests.labels(route, method, str(status)).inc()
        self._durations.labels(route, method).observe(duration_s)

    def render(self, stats: Mapping[str, Any] | None) -> bytes:
        """All numbers in Prometheus's text format. `stats`: the broker's, None where it does not answer."""
        registry = CollectorRegistry()
        registry.register(_BrokerNumbers(stats))
        return generate_latest(self._registry) + generate_latest(registry)


class MeasuringMiddleware:
    """Middleware that counts every HTTP request."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics, routes: Mapping[Any, str]) -> None:
        """`routes`: the endpoint of a route -> the route's path."""
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        # If the application sends no answer, the server sends this one.
        status, duration_s = 500, None

        async def note_start(message: Message) -> None:
            nonlocal status, duration_s
            if message["type"] == "http.response.start":
                status, duration_s = message["status"], time.perf_counter() - began_s
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, note_start)
            finally:
                route = self._routes.get(scope.get("endpoint"), _OTHER)
                if duration_s is None:
                    duration_s = time.perf_counter() - began_s
                self._metrics.answered(route, scope["method"], status, duration_s)


async def serve(request: Request) -> Response:
    """The page for Prometheus; asks the broker for its numbers."""
    gateway = request.app.state.gateway
    stats: dict[str, Any] | None = None
    try:
        async with asyncio.timeout(_LOOK_S):
            stats = await gateway.broker.client.stats()
    except TimeoutError:
        # Earlier than the client's own timeout: the scraper has a timeout too, and wants the other numbers.
        gateway.broker.search()
    except MaestroError:
        gateway.broker.search()
    return Response(gateway.metrics.render(stats), media_type=CONTENT_TYPE_LATEST)


class _BrokerNumbers(Collector):
    """The broker's `stats` as metrics. A number that an older broker does not send is left out."""

    def __init__(self, stats: Mapping[str, Any] | None) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats
        yield GaugeMetricFamily("maestro_up", "1 when the broker answers, else 0.", value=int(stats is not None))
        gateway = InfoMetricFamily("maestro_gateway", "The gateway.")
        gateway.add_metric([], {"version": __version__})
        yield gateway
        if stats is None:
            return
        broker = InfoMetricFamily("maestro_broker", "The broker that answers; its epoch changes with every start.")
        broker.add_metric([], {"version": str(stats.get("version")), "epoch": str(stats.get("epoch"))})
        yield broker
        yield from self._gauges(stats)
        yield from self._counters(stats)
        commit = stats.get("commit", {})
        yield from _histogram(
            "maestro_commit_duration_seconds",
            "Time that a commit took until it was durable.",
            commit.get("durationMs"),
            scale=1_000,
        )
        yield from _histogram("maestro_commit_records", "Records in one commit.", commit.get("records"))

    def _gauges(self, stats: Mapping[str, Any]) -> Iterator[Metric]:
        mailboxes, disk = stats.get("mailboxes", {}), stats.get("disk", {})
        wakes, files = stats.get("wakes", {}), stats.get("attachments", {})
        single = (
            ("maestro_start_time_seconds", "When the broker started, in Unix time.", _seconds(stats, "startedAt")),
            ("maestro_journal_head_lsn", "The last durable record.", stats.get("headLsn")),
            ("maestro_journal_filed_lsn", "The last record that is filed.", stats.get("filedLsn")),
            (
                "maestro_journal_checkpoint_lsn",
                "The record up to which a start reads files.",
                stats.get("checkpointLsn"),
            ),
            ("maestro_journal_bytes", "What the journal takes on the disk.", disk.get("journalBytes")),
            ("maestro_attachments", "Attached files, each once.", files.get("files")),
            ("maestro_attachments_bytes", "What attached files and unfinished uploads take.", files.get("bytes")),
            ("maestro_attachments_bytes_max", "The most that they may take.", files.get("bytesMax")),
            ("maestro_disk_free_bytes", "Free space of the data directory's disk.", disk.get("freeBytes")),
            ("maestro_filing_backlog_records", "Records not yet filed.", stats.get("filingBacklog")),
            ("maestro_filing_backlog_bytes", "What those take.", stats.get("filingBacklogBytes")),
            ("maestro_mailboxes", "Mailboxes that the broker knows.", mailboxes.get("known")),
            ("maestro_mailboxes_loaded", "Mailboxes of which mail is in memory.", mailboxes.get("loaded")),
            ("maestro_messages_pending", "Messages that were not delivered yet.", mailboxes.get("pending")),
            ("maestro_watched_topics", "Topics that watchers hold.", stats.get("watchers")),
            ("maestro_wakeable_sessions", "Sessions whose idle agents mail wakes.", wakes.get("sessions")),
            ("maestro_wakes_outstanding", "Wakes that are not answered yet.", wakes.get("outstanding")),
            ("maestro_warnings", "Warnings that `maestro status` shows.", len(stats.get("warnings", ()))),
        )
        for name, text, value in single:
            if value is not None:
                yield GaugeMetricFamily(name, text, value=value)
        yield from _gauge_family("maestro_sessions", "Sessions by status.", "status", stats.get("sessions"))
        yield from _gauge_family(
            "maestro_outbox_entries", "Sends that wait in the outbox, or failed there.", "state", stats.get("outbox")
        )

    def _counters(self, stats: Mapping[str, Any]) -> Iterator[Metric]:
        connections = stats.get("connections", {})
        single = (
            ("maestro_connections_opened", "Connections to the broker that were opened.", connections.get("opened")),
            ("maestro_connections_closed", "Connections to the broker that were closed.", connections.get("closed")),
            (
                "maestro_unsent_replies",
                "Answers that the broker could not send, because the client was gone.",
                connections.get("unsentReplies"),
            ),
        )
        for name, text, value in single:
            if value is not None:
                yield CounterMetricFamily(name, text, value=value)
        families = (
            ("maestro_messages", "What became of messages.", "event", stats.get("messages")),
            (
                "maestro_wakes",
                "Wakes of idle agents, and what became of them.",
                "event",
                {name: count for name, count in stats["wakes"].items() if name in _WAKES}
                if "wakes" in stats
                else None,
            ),
            (
                "maestro_refusals",
                "Requests, and parts of requests, that were refused.",
                "code",
                stats.get("refusedByCode"),
            ),
            ("maestro_arrivals_refused", "Arrivals that were no requests.", "why", stats.get("refused")),
        )
        for name, text, label, values in families:
            if values is not None:
                family = CounterMetricFamily(name, text, labels=[label])
                for key, value in values.items():
                    family.add_metric([str(key)], value)
                yield family


def _seconds(stats: Mapping[str, Any], name: str) -> float | None:
    return stats[name] / 1_000 if name in stats else None


def _gauge_family(name: str, text: str, label: str, values: Mapping[str, float] | None) -> Iterator[Metric]:
    if values is not None:
        family = GaugeMetricFamily(name, text, labels=[label])
        for key, value in values.items():
            family.add_metric([str(key)], value)
        yield family


def _histogram(name: str, text: str, found: Mapping[str, Any] | None, *, scale: float = 1) -> Iterator[Metric]:
    """Prometheus's buckets are cumulative."""
    if found is None:
        return
    bounds = [*(str(bound / scale) for bound in found["bounds"]), "+Inf"]
    counts = accumulate(found["counts"])
    buckets = list(zip(bounds, counts, strict=True))
    yield HistogramMetricFamily(name, text, buckets=buckets, sum_value=found["sum"] / scale)
