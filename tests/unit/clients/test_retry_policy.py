"""The retry policy: which errors are retried, after which wait, and until when. Sleeps are recorded, not done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from maestro_clients.retry_policy import FIRST_WAIT_S, WAIT_MAX_S, may_pass, retry, retry_async
from maestro_schemas.errors import CODES, MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable

PASSING = frozenset({"BUSY", "INDEX_UNAVAILABLE", "STOPPING", "STORAGE_FULL", "BROKER_UNREACHABLE"})


class Attempt:
    """It fails with the given errors, then succeeds."""

    def __init__(self, *failures: BaseException) -> None:
        self._failures = list(failures)
        self.count = 0
        self.slept_s: list[float] = []

    def __call__(self) -> str:
        self.count += 1
        if self._failures:
            raise self._failures.pop(0)
        return "done"

    async def awaited(self) -> str:
        return self()

    def run(self, within_s: float, may_retry: Callable[[BaseException], bool] = may_pass) -> str:
        return retry(self, within_s=within_s, may_retry=may_retry, sleep=self.slept_s.append)


def failures(code: str, count: int, retry_after_s: float | None = None) -> list[MaestroError]:
    return [MaestroError(code, f"no {number}", retry_after_s=retry_after_s) for number in range(count)]


def test_a_success_is_not_repeated() -> None:
    """It needs no sleep and no second call."""
    attempt = Attempt()
    assert attempt.run(1.0) == "done"
    assert (attempt.count, attempt.slept_s) == (1, [])


@pytest.mark.parametrize("code", sorted(PASSING))
def test_transient_errors_are_retried(code: str) -> None:
    """Each wait is twice as long as the one before, up to WAIT_MAX_S."""
    attempt = Attempt(*failures(code, 7))
    assert attempt.run(60.0) == "done"
    assert attempt.count == 8
    assert attempt.slept_s == [min(FIRST_WAIT_S * 2**number, WAIT_MAX_S) for number in range(7)]


@pytest.mark.parametrize("code", sorted(set(CODES) - PASSING))
def test_every_other_error_is_raised_at_once(code: str) -> None:
    """A retry does not change a refusal, and a sender must learn of a limit."""
    attempt = Attempt(*failures(code, 1))
    with pytest.raises(MaestroError) as raised:
        attempt.run(60.0)
    assert raised.value.code == code
    assert (attempt.count, attempt.slept_s) == (1, [])


def test_a_refusal_ends_the_tries() -> None:
    """This holds after a retryable failure too."""
    attempt = Attempt(*failures("BUSY", 1), *failures("FORBIDDEN", 1))
    with pytest.raises(MaestroError) as raised:
        attempt.run(60.0)
    assert raised.value.code == "FORBIDDEN"
    assert attempt.count == 2


def test_other_exceptions_are_not_retried() -> None:
    """A fault in the program does not pass by itself."""
    attempt = Attempt(ValueError("a fault"))
    with pytest.raises(ValueError, match="a fault"):
        attempt.run(60.0)
    assert attempt.count == 1


def test_it_waits_as_long_as_it_is_asked_to() -> None:
    """`retryAfter` is a lower bound of the wait."""
    attempt = Attempt(*failures("STORAGE_FULL", 2, retry_after_s=2.0))
    assert attempt.run(60.0) == "done"
    assert attempt.slept_s == [2.0, 2.0]


def test_it_gives_up_where_the_wait_is_longer_than_the_time() -> None:
    """It gives up at once instead of sleeping in vain."""
    attempt = Attempt(*failures("BUSY", 5, retry_after_s=30.0))
    with pytest.raises(MaestroError) as raised:
        attempt.run(3.0)
    assert raised.value.message == "no 0"
    assert (attempt.count, attempt.slept_s) == (1, [])


def test_the_last_error_is_the_one_that_is_raised() -> None:
    """All sleeps together stay within the time."""
    attempt = Attempt(*failures("BROKER_UNREACHABLE", 100))
    with pytest.raises(MaestroError) as raised:
        attempt.run(3.0)
    assert raised.value.message == f"no {attempt.count - 1}"
    assert 2.0 < sum(attempt.slept_s) <= 3.0
    assert attempt.count == len(attempt.slept_s) + 1


def test_the_caller_may_retry_fewer_errors() -> None:
    """Without autostart, a missing broker does not come back."""
    attempt = Attempt(*failures("BROKER_UNREACHABLE", 1))
    with pytest.raises(MaestroError):
        attempt.run(60.0, lambda error: may_pass(error) and getattr(error, "code", "") != "BROKER_UNREACHABLE")
    assert attempt.count == 1


def test_an_attempt_that_is_awaited() -> None:
    """The same policy works in an event loop."""
    attempt = Attempt(*failures("BUSY", 2))
    assert asyncio.run(retry_async(attempt.awaited, within_s=10.0)) == "done"
    assert attempt.count == 3
    refused = Attempt(*failures("BUSY", 1), *failures("FORBIDDEN", 1))
    with pytest.raises(MaestroError) as raised:
        asyncio.run(retry_async(refused.awaited, within_s=10.0))
    assert raised.value.code == "FORBIDDEN"
    assert refused.count == 2
