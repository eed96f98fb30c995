"""Count window: what was counted within the last minutes, and how long the next must wait."""

from __future__ import annotations

from maestro_broker.core.model.count_window import CountWindow


def test_the_wait_ends_when_enough_has_left_the_window() -> None:
    window = CountWindow(1_000)
    assert window.wait_ms(0, 5, 5) == 0
    window.add(0, 2)
    window.add(100, 3)
    assert (window.total, window.wait_ms(200, 1, 5)) == (5, 800)
    assert window.wait_ms(200, 3, 5) == 900
    assert window.wait_ms(200, 9, 0) == 0
    assert window.wait_ms(1_000, 2, 5) == 0
    assert not window.is_over(1_099)
    assert window.is_over(1_100)
    assert window.total == 0


def test_for_more_than_the_limit_no_wait_helps() -> None:
    window = CountWindow(1_000)
    assert window.wait_ms(0, 6, 5) == 1
    window.add(0, 2)
    assert window.wait_ms(0, 6, 5) == 1_000
