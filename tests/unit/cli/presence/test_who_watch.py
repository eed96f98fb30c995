"""The picture of a watch: no more lines than the terminal has."""

from __future__ import annotations

from typing import Any

from maestro_cli.presence.who_watch import screen

NOW = 1_000_000_000


def lines(count: int, state: str = "idle") -> list[Any]:
    shown = {"role": "worker", "projectId": "shop", "state": state, "since": NOW, "by": "hook", "unread": 0}
    return [{"session": f"s{number}", **shown} for number in range(count)]


def test_what_fits_is_shown_whole() -> None:
    shown = screen(lines(3), None, NOW, (80, 24))
    assert [row.split()[0] for row in shown] == ["NAME", "s0", "s1", "s2"]


def test_a_longer_table_is_cut_and_says_by_how_much() -> None:
    shown = screen(lines(40, "waiting"), None, NOW, (200, 24))
    assert len(shown) <= 22
    cut = next(row for row in shown if row.startswith("…"))
    rows = [row for row in shown if " worker " in row]
    assert cut == f"… and {40 - len(rows)} more"
    assert any(row.startswith("40 wait for a person: s0") for row in shown)


def test_a_tiny_terminal_gets_a_picture_all_the_same() -> None:
    assert len(screen(lines(9), None, NOW, (10, 2))) == 2
