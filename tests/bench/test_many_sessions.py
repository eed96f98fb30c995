"""5,000 sessions: a page of the list, the status, and a send by name cost what they cost among 50.

Rule: both post offices are measured in turns, so what else the machine does hits both. Both have as many records.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

import pytest

from maestro_clients.async_client import AsyncClient
from support.post_office import scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_clients.client import Client

FEW, MANY = 50, 5_000
RATIO_MAX = 1.2
_TURNS = 300
# The machine may be disturbed in one of them.
_ROUNDS = 3
_AT_ONCE = 250

# By name: the operator's client, and that of a session.
OPERATIONS: dict[str, Callable[[Client, Client], object]] = {
    "page of 50": lambda operator, _session: operator.session_page(limit=50),
    "status": lambda operator, _session: operator.stats(),
    "send by name": lambda _operator, session: session.send("name 7", "x"),
    "session by name": lambda operator, _session: operator.session("name 7"),
}


@pytest.fixture(scope="module")
def clients() -> Iterator[list[tuple[Client, Client]]]:
    """The clients of the small and of the large post office."""
    offices = [scratch() for _ in range(2)]
    try:
        made = []
        for office, count in zip(offices, (FEW, MANY), strict=True):
            office.start(change_limit=0, pending_max=1_000_000)
            asyncio.run(_fill(office.router(), count))
            made.append((office.client(), office.client("s1")))
        yield made
    finally:
        for office in offices:
            office.close()


async def _fill(address: str, count: int) -> None:
    """Start `count` sessions, and change one so often that there are as many records as of MANY sessions."""
    async with AsyncClient(address, timeout_s=60.0) as client:
        for first in range(0, MANY, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, MANY))
            await asyncio.gather(
                *(
                    client.start_session(f"s{number}", name=f"name {number}", role="orchestrator")
                    if number < count
                    else client.touch_session("s1", cwd=f"/{number}")
                    for number in numbers
                )
            )


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_grows_with_the_number_of_sessions(clients: list[tuple[Client, Client]], name: str) -> None:
    ratios = []
    for _ in range(_ROUNDS):
        times: list[list[float]] = [[], []]
        for turn in range(_TURNS):
            for side in (0, 1) if turn % 2 else (1, 0):
                began_s = time.perf_counter()
                OPERATIONS[name](*clients[side])
                times[side].append(time.perf_counter() - began_s)
        few, many = (statistics.median(side) for side in times)
        ratios.append(many / few)
        print(f"{name}: {few * 1e6:.0f} us among {FEW}, {many * 1e6:.0f} us among {MANY:,}: x {many / few:.2f}")
        if ratios[-1] <= RATIO_MAX:
            break
    assert min(ratios) <= RATIO_MAX
