"""The screen of `maestro status`."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_cli.output import status_summary
from maestro_cli.output.wrapping import shown_width

STATS: dict[str, Any] = {
    "version": "0.1.0",
    "pid": 1234,
    "startedAt": 1_796_000_000_000,
    "uptimeMs": 11_520_345,
    "dataDir": "/data/maestro",
    "sessions": {"idle": 7, "working": 3, "completed": 0},
    "mailboxes": {"pending": 14, "fullest": {"sess_1": 9, "sess_2": 3, "sess_3": 1, "sess_4": 1}},
    "messages": {"accepted": 1_204, "delivered": 1_190, "read": 0},
    "refusedByCode": {},
    "outbox": {"waiting": 0, "failed": 0},
    "disk": {"freeBytes": 2**31, "journalBytes": 2**20, "mailBytes": None},
    "http": {"running": True, "url": "http://127.0.0.1:5577"},
    "limits": {"pending_max": {"value": 10_000}},
    "warnings": [],
}


def test_a_broker_that_is_well() -> None:
    lines = status_summary.lines(STATS, {"sess_1": "ann"}, None)
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:-1]}
    assert lines[0] == "The broker is well."
    assert rows["up"].startswith("3h 12m, since ")
    assert rows["up"].endswith("; version 0.1.0, pid 1234")
    assert rows["sessions"] == "7 idle, 3 working"
    assert rows["mail"] == "14 pending; since the start 1,204 accepted, 1,190 delivered"
    assert rows["fullest"] == "ann 9, sess_2 3, sess_3 1 (of 10,000)"
    assert rows["disk"] == "2 GiB free, 1 MiB of journal"
    assert rows["page"] == "http://127.0.0.1:5577"
    assert rows["files"] == "/data/maestro"
    # What is as it should be is not said.
    assert {"refused", "outbox"}.isdisjoint(rows)


def test_what_is_wrong_comes_first() -> None:
    wrong = {
        **STATS,
        "warnings": ["the disk is nearly full"],
        "outbox": {"waiting": 2, "failed": 1},
        "refusedByCode": {"BUSY": 2, "RATE_LIMITED": 12, "A": 1, "B": 1, "C": 1},
        "http": {"running": False},
        "sessions": {},
    }
    lines = status_summary.lines(wrong, {}, None)
    assert lines[:3] == [
        "The broker runs, with 2 warnings:",
        "  warning: the disk is nearly full",
        "  warning: 1 message of the outbox was refused: maestro outbox",
    ]
    text = "\n".join(lines)
    assert "12 RATE_LIMITED, 2 BUSY, 1 A, 1 B, 1 more" in text
    assert "2 waiting" in text
    assert "not running" in text
    assert status_summary.lines({**wrong, "outbox": {}}, {}, None)[0] == "The broker runs, with 1 warning:"


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_it_fits_one_screen(width: int) -> None:
    lines = status_summary.lines({**STATS, "warnings": ["the disk is nearly full, and so on"]}, {}, width)
    assert max(map(shown_width, lines)) <= width
    assert len(lines) <= 24 or width < 80


def test_an_older_broker_says_less() -> None:
    assert status_summary.lines({"warnings": []}, {}, 80)[0] == "The broker is well."
