"""The cost of a REST call does not grow with the number of sessions.

Rule: two post offices, one of 50 sessions and one of 5,000, are asked in turns, call by call, in the same run. The
fastest tenth of the calls of each is compared, because the machine may be busy with other work. The test asserts a
ratio and no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.async_client import AsyncClient
from maestro_clients.protocol.callers import Caller
from support.gateways import Gateway, send
from support.post_office import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

FEW, MANY = 50, 5_000
RATIO_MAX = 1.2
CALLS = 300
AT_ONCE = 100

pytestmark = pytest.mark.slow


class Side:
    """A post office of `count` sessions, each with a mailbox, and a gateway with an open connection."""

    def __init__(self, office: PostOffice, gateway: Gateway, count: int) -> None:
        self.office = office
        self._connection = http.client.HTTPConnection(*gateway.address, timeout=20)
        asyncio.run(self._fill(count))
        self._sent: list[str] = []
        with office.client("s0") as client:
            for number in range(CALLS):
                self._sent.append(client.send("s1", f"hello {number}")["id"])

    async def _fill(self, count: int) -> None:
        operator = AsyncClient(self.office.router())
        for first in range(0, count, AT_ONCE):
            some = range(first, first + min(AT_ONCE, count - first))
            await asyncio.gather(
                *(operator.start_session(f"s{i}", name=f"name {i}", role="orchestrator") for i in some)
            )
            await asyncio.gather(*(operator.send(f"s{i}", "hello", caller=Caller("s0")) for i in some if i))
        await operator.aclose()

    def timed(self, method: str, path: str, body: Any = None) -> tuple[int, float]:
        """The status of one call, and its time in ms. `{message}` is a message, to `s1` where the call uses it up."""
        path = path.replace("{message}", self._sent.pop() if method == "DELETE" else self._sent[-1])
        began_s = time.perf_counter()
        status = send(self._connection, method, path, body).status
        return status, (time.perf_counter() - began_s) * 1_000

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.fixture(scope="module")
def sides() -> Iterator[list[Side]]:
    """The few and the many."""
    with contextlib.ExitStack() as ends:
        made = []
        for count in (FEW, MANY):
            office = scratch()
            ends.callback(office.close)
            office.start(rate_limit=0)
            gateway = ends.enter_context(Gateway(office))
            made.append(Side(office, gateway, count))
            ends.callback(made[-1].close)
        yield made


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/messages/{message}", None),
        ("GET", "/api/messages/{message}/thread", None),
        ("PATCH", "/api/messages/{message}", {"status": "delivered"}),
        ("GET", "/api/sessions/s1/messages?limit=5", None),
        ("GET", "/api/sessions/name%201", None),
        ("GET", "/api/messages/absent_0000000", None),
        ("DELETE", "/api/messages/{message}", None),
    ],
    ids=["read", "thread", "confirm", "mailbox", "name", "absent", "delete"],
)
def test_a_call_without_a_session_costs_the_same(
    sides: list[Side], method: str, path: str, body: dict[str, str] | None
) -> None:
    """No look-up grows with the number of mailboxes."""
    took_ms: list[list[float]] = [[], []]
    expected = 404 if "absent" in path else 204 if method == "DELETE" else 200
    for _ in range(CALLS):
        for side, found in zip(sides, took_ms, strict=True):
            status, once_ms = side.timed(method, path, body)
            assert status == expected
            found.append(once_ms)
    few, many = (statistics.mean(sorted(found)[: CALLS // 10]) for found in took_ms)
    print(f"{method} {path}: {few:.2f} ms with {FEW} sessions, {many:.2f} ms with {MANY:,}")
    assert many < few * RATIO_MAX
