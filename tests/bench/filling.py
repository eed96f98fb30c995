"""Filling: a post office with as much mail as a measurement wants, made through the real broker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_clients.processes.broker_process import Endpoints

# A report of some lines, as agents write them.
TYPICAL = "The tests of task_456 pass; two remarks on the parser are in the review, the second one matters. " * 3
_BATCH = 256
_BUSY = frozenset({429, 503})
# Accepted; or accepted before, where a first answer was lost.
_DONE = frozenset({200, 201})


class Served(Protocol):
    """A post office with a broker that runs."""

    @property
    def endpoints(self) -> Endpoints: ...
    def client(self, session: str | None = None) -> Client: ...


def mailbox(number: int) -> str:
    """The name of one of the mailboxes that are filled."""
    return f"many_{number}"


def fill(bench: Served, count: int, mailboxes: int) -> tuple[int, float]:
    """Send `count` typical messages in batches to the mailboxes in turn; how many were accepted, and seconds."""
    with bench.client() as operator:
        operator.start_session("filler", role="orchestrator")
        for number in range(mailboxes):
            operator.start_session(mailbox(number))
    accepted = 0
    began = time.monotonic()
    with Client(bench.endpoints.router, Caller("filler"), timeout_s=60.0) as client:
        client.hello()
        waiting: list[Any] = []
        fresh: Iterator[Any] = (
            {"id": new_message_id(), "to": mailbox(number % mailboxes), "message": TYPICAL} for number in range(count)
        )
        while True:
            while len(waiting) < _BATCH and (new := next(fresh, None)) is not None:
                waiting.append(new)
            if not waiting:
                return accepted, time.monotonic() - began
            results = client.send_many(waiting)
            again = [one for one, result in zip(waiting, results, strict=True) if result["status"] in _BUSY]
            accepted += sum(result["status"] in _DONE for result in results)
            if again:
                time.sleep(0.25)
            waiting = again


def until_filed(bench: Served, timeout_s: float = 1_200.0) -> float:
    """Seconds until every message is a file."""
    began = time.monotonic()
    with bench.client() as client:
        while client.stats()["filingBacklog"] and time.monotonic() - began < timeout_s:
            time.sleep(0.1)
    return time.monotonic() - began
