"""The broker's clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from maestro_broker.clock import Clock

if TYPE_CHECKING:
    import pytest


def test_the_clock_is_not_behind_the_journal_and_ignores_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is read only once, at the start."""
    future_ms = time.time_ns() // 1_000_000 + 10_000_000
    assert Clock(future_ms).now_ms() >= future_ms
    clock = Clock()
    before = clock.now_ms()
    assert abs(before - time.time() * 1000) < 5_000
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert before <= clock.now_ms() < before + 5_000


def test_how_far_it_is_ahead_of_a_clock_that_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    assert abs(clock.ahead_ms()) < 5_000
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns - 3_600 * 10**9)
    assert 0 <= clock.ahead_ms() - 3_600_000 < 60_000
