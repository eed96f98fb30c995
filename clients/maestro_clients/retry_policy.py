"""Retry policy: which requests are tried again, after which failures, and for how long.

Rule: only an error that a later, unchanged request may not meet, because the broker is busy or away; always the same
request, with the same ids and the same body; never sooner than the error's `retry_after_s`, and never past the time
that the caller has. tenacity costs 35 ms to import, so it is imported only after a first attempt has failed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState

T = TypeVar("T")

FIRST_WAIT_S = 0.05
WAIT_MAX_S = 1.0


def may_pass(error: BaseException) -> bool:
    """Whether the broker is busy or away, so that the same request may succeed in a moment. A TIMEOUT has used up the
    caller's time, and a limit (RATE_LIMITED, MAILBOX_FULL) is for the sender to hear about."""
    return (
        isinstance(error, MaestroError)
        and error.retryable
        and error.kind in ("busy", "unreachable")
        and error.code != "TIMEOUT"
    )


def retry(
    attempt: Callable[[], T],
    *,
    within_s: float,
    may_retry: Callable[[BaseException], bool] = may_pass,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """`attempt()`, again while it raises an error that `may_retry`, within `within_s` seconds in all.

    Waits 0.05 s, then twice as long each time up to 1 s, or what the error asks for where that is longer; gives up
    at once where the wait would be longer than the time that is left. Raises the last error of `attempt`.
    """
    began_s = time.monotonic()
    try:
        return attempt()
    except MaestroError as error:
        if not may_retry(error):
            raise
        first = [error]
    import tenacity

    def again() -> T:
        if first:
            raise first.pop()  # tenacity counts the attempt above as its first
        return attempt()

    return tenacity.Retrying(sleep=sleep, **_options(began_s, within_s, may_retry))(again)


async def retry_async(
    attempt: Callable[[], Awaitable[T]],
    *,
    within_s: float,
    may_retry: Callable[[BaseException], bool] = may_pass,
) -> T:
    """As `retry`, for an attempt that is awaited."""
    began_s = time.monotonic()
    try:
        return await attempt()
    except MaestroError as error:
        if not may_retry(error):
            raise
        first = [error]
    import tenacity

    async def again() -> T:
        if first:
            raise first.pop()
        return await attempt()

    return await tenacity.AsyncRetrying(**_options(began_s, within_s, may_retry))(again)


def _options(began_s: float, within_s: float, may_retry: Callable[[BaseException], bool]) -> dict[str, Any]:
    import tenacity

    def is_over(state: RetryCallState) -> bool:
        # The slept time too: where `sleep` is a test's own, the clock stands still.
        spent_s = max(time.monotonic() - began_s, state.idle_for)
        return spent_s + state.upcoming_sleep > within_s

    return {"retry": tenacity.retry_if_exception(may_retry), "wait": _wait_s, "stop": is_over, "reraise": True}


def _wait_s(state: RetryCallState) -> float:
    own_s = min(FIRST_WAIT_S * 2.0 ** (state.attempt_number - 1), WAIT_MAX_S)
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.retry_after_s if isinstance(error, MaestroError) else None
    return max(own_s, asked_s or 0.0)
