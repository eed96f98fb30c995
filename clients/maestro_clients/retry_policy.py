"""Retry policy: what is tried again, how often, and for how long.

Rule: only a MaestroError whose code says that the same request may succeed later; always the same call, which
carries the same ids and the same body; never sooner than the error's `retry_after_s`, and never past the time that
the caller has. tenacity costs 35 ms to import, so it comes in only when a first try has failed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

T = TypeVar("T")

# Nobody answered: whether the request was done is not known.
UNANSWERED = frozenset({"BROKER_UNREACHABLE", "TIMEOUT"})
# The broker is there and can't take it at this moment.
NOT_NOW = frozenset({"BUSY", "STOPPING", "STORAGE_FULL"})

FIRST_WAIT_S = 0.05
WAIT_MAX_S = 1.0


def retry(
    attempt: Callable[[], T],
    *,
    codes: frozenset[str],
    within_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """`attempt()`, again while it raises one of `codes`, within `within_s` seconds in all; its last error after.

    Waits 0.05 s, then twice as long each time up to 1 s, or what the error asks for where that is longer; gives up
    at once where the wait would be longer than the time that is left. Raises whatever `attempt` raises.
    """
    began_s = time.monotonic()
    try:
        return attempt()
    except MaestroError as error:
        if not _may_succeed(error, codes):
            raise
        failures = [error]
    import tenacity

    def again() -> T:
        # The first try, made before the policy could be afforded, is the policy's first attempt.
        if failures:
            raise failures.pop()
        return attempt()

    def is_over(state: RetryCallState) -> bool:
        # Slept and elapsed, because where `sleep` is a test's own, time stands still.
        spent_s = max(time.monotonic() - began_s, state.idle_for)
        return spent_s + state.upcoming_sleep > within_s

    policy = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: _may_succeed(error, codes)),
        wait=_wait_s,
        stop=is_over,
        sleep=sleep,
        reraise=True,
    )
    return policy(again)


def _may_succeed(error: BaseException, codes: frozenset[str]) -> bool:
    return isinstance(error, MaestroError) and error.retryable and error.code in codes


def _wait_s(state: RetryCallState) -> float:
    own_s = min(FIRST_WAIT_S * 2.0 ** (state.attempt_number - 1), WAIT_MAX_S)
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.retry_after_s if isinstance(error, MaestroError) else None
    return max(own_s, asked_s or 0.0)
