"""The table of who is here: its order, its words, and its width in narrow terminals."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

import pytest

from maestro_cli.presence.who_table import ordered, table, waits
from maestro_clients.texts.presence_words import SILENT_AFTER_MS

if TYPE_CHECKING:
    from maestro_schemas.documents import SessionPresenceDoc

NOW = 1_000_000_000
MINUTE_MS = 60_000


def line(session: str, state: str, ago_ms: int | None = 0, **more: Any) -> SessionPresenceDoc:
    found: dict[str, Any] = {
        "session": session,
        "role": "worker",
        "projectId": "shop",
        "state": state,
        "by": "hook",
        "unread": 0,
    }
    if ago_ms is not None:
        found["since"] = NOW - ago_ms
    return cast("SessionPresenceDoc", {**found, **more})


SIX = [
    line("ann", "idle", 3 * MINUTE_MS, agent="codex"),
    line("gus", "unknown", None, by="broker"),
    line("ben", "working", 12_000),
    line("cid", "gone", 60 * MINUTE_MS, by="process", unread=5, oldestAt=NOW - 50 * MINUTE_MS),
    line("fay", "gone", 60 * MINUTE_MS, by="process"),
    line("dee", "waiting", 4 * MINUTE_MS, detail="permission:Bash", name="dee"),
    line("hal", "ended"),
    line("eva", "waiting", 9 * MINUTE_MS),
    line("ida", "watching", None, by="subscription"),
    line("new", "dreaming"),
]


def test_who_needs_something_comes_first() -> None:
    order = ["eva", "dee", "cid", "ben", "ann", "ida", "gus", "fay", "hal", "new"]
    assert [one["session"] for one in ordered(SIX)] == order


def test_the_last_line_names_who_waits_and_for_what() -> None:
    assert waits(ordered(SIX), None) == ["2 wait for a person: eva, dee (permission: Bash)"]
    assert waits([SIX[5]], None) == ["1 waits for a person: dee (permission: Bash)"]
    assert waits([SIX[0]], None) == []
    folded = waits(ordered(SIX), 20)
    assert max(map(len, folded)) <= 20
    assert " ".join(folded) == "2 wait for a person: eva, dee (permission: Bash)"


def test_a_row_without_a_bound() -> None:
    rows = [row.split("  ") for row in table(SIX, "ann", NOW, None)]
    cells = [[cell.strip() for cell in row if cell] for row in rows]
    assert cells[0] == ["NAME", "ROLE", "PROJECT", "STATE", "SINCE", "BY", "NEW", "OLDEST", "AGENT"]
    assert cells[1] == ["ann (you)", "worker", "shop", "idle", "3m", "hook", "0", "-", "codex"]
    assert cells[2] == ["gus", "worker", "shop", "no sign", "-", "broker", "0", "-", "-"]
    assert cells[4] == ["cid", "worker", "shop", "gone", "1h", "process", "5", "50m", "-"]


def test_a_silent_turn_is_not_called_ended_and_unknown_numbers_are_left_out() -> None:
    silent = line("ben", "working", SILENT_AFTER_MS + 7 * MINUTE_MS, projectId="")
    del silent["unread"]
    [_, row] = table([silent], None, NOW, None)
    assert "working, silent for 22m" in row
    assert row.split()[2] == "-"
    assert row.split()[-3:] == ["-", "-", "-"]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
def test_no_row_is_wider_than_the_terminal(width: int) -> None:
    rows = table([*SIX, line("x" * 64, "waiting", detail="permission:" + "t" * 60)], "ann", NOW, width)
    assert max(map(len, rows)) <= width
    assert rows[0].startswith("NAME")
    assert "STATE" in rows[0]


def test_the_columns_that_matter_least_go_first() -> None:
    heads = [table(SIX, None, NOW, width)[0].split() for width in (80, 60, 50, 40)]
    assert heads[0] == ["NAME", "ROLE", "PROJECT", "STATE", "SINCE", "NEW", "OLDEST"]
    assert heads[-1] == ["NAME", "STATE", "SINCE", "NEW"]
    for wide, narrow in itertools.pairwise(heads):
        assert [column for column in wide if column in narrow] == narrow


def test_a_name_is_a_word_or_stands_in_quotes() -> None:
    [_, row] = table([line("s", "idle", name='dee (permission: Bash), eva\x1b[2J"')], None, NOW, None)
    assert row.startswith('"dee (permission: Bash), eva')
    assert row.isprintable()
    assert row.count('"') == 2
