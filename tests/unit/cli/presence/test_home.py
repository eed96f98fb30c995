"""What `maestro` alone shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from maestro_cli.output.wrapping import shown_width
from maestro_cli.presence import home

if TYPE_CHECKING:
    from maestro_schemas.documents import SessionPresenceDoc


def look(count: int = 3, **more: Any) -> dict[str, Any]:
    states = ("waiting", "working", "idle")
    sessions = [
        {"session": f"sess_{number}", "name": f"ann-{number}", "role": "worker", "projectId": "shop",
         "state": states[min(number, 2)], "by": "hook", "unread": number, "since": 0}
        for number in range(count)
    ]  # fmt: skip
    found = {"running": True, "sessions": cast("list[SessionPresenceDoc]", sessions), "unread": 2, "warnings": []}
    return {**found, **more}


def test_who_waits_then_the_own_mail_then_who_is_here() -> None:
    lines = home.lines(look(), "sess_1", None)
    assert lines[:4] == [
        "3 sessions: 1 waiting, 1 working, 1 idle; 3 unread",
        "1 waits for a person: ann-0",
        "2 new messages for you: maestro inbox",
        "",
    ]
    assert lines[4].split() == ["NAME", "STATE", "SINCE", "NEW", "AGENT"]
    assert lines[6].startswith("ann-1 (you)")
    assert len(lines) == 8


def test_of_many_the_first_are_shown() -> None:
    lines = home.lines(look(200, unread=1, warnings=["the disk is full", "two"]), None, None)
    assert lines[-1] == "and 188 more: maestro who"
    assert lines[1] == "2 warnings about the post office: maestro status"
    assert "1 new message for you: maestro inbox" in lines
    assert len(lines) <= 22


def test_without_a_broker_or_sessions() -> None:
    stopped = {**look(0), "running": False, "unread": None}
    assert home.lines(stopped, None, None)[0].startswith("No broker runs.")
    only_mail = home.lines(look(0, unread=1), None, None)
    assert only_mail == ["No session is here.", "1 new message for you: maestro inbox"]
    assert "1 session: " in home.lines(look(1, unread=None, warnings=["one"]), None, None)[0]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("count", [0, 1, 12, 200])
def test_it_fits_the_terminal(width: int, count: int) -> None:
    assert max(map(shown_width, home.lines(look(count), None, width))) <= width
