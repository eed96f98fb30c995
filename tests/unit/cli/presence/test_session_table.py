"""The table of sessions, and its directories."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.output.wrapping import shown_width
from maestro_cli.presence.session_table import directory, lines
from maestro_schemas.documents import SessionDoc

NOW_MS = 1_770_536_800_000


def session(number: int, **fields: Any) -> SessionDoc:
    plain = {
        "id": f"sess_1770536761607_k3v9x2m{number:02}",
        "role": "worker",
        "projectId": "shop",
        "lastActivity": NOW_MS - 60_000,
        "presence": {"state": "working", "since": NOW_MS - 12_000, "by": "hook"},
    }
    return cast("SessionDoc", {**plain, **fields})


SESSIONS = [
    session(1, name="shop", agent="claude-code", cwd="/users/me/src/shop"),
    session(2, name="shop-2", agent="codex", cwd="/users/me/src/web/packages/with/a/long/path/api"),
    session(3, cwd="/users/me", role="orchestrator", presence={"state": "gone", "since": NOW_MS - 7_200_000}),
    session(4, name="two words", agent="an agent"),
]
UNREAD = {SESSIONS[0]["id"]: 1_234, SESSIONS[1]["id"]: 0}


def shown(width: int | None, sessions: list[SessionDoc] = SESSIONS) -> list[str]:
    return lines(sessions, UNREAD, own=SESSIONS[1]["id"], home="/users/me", now_ms=NOW_MS, width=width)


def test_all_columns_where_nothing_bounds_them() -> None:
    head, first, second, third, fourth = shown(None)
    assert head.split() == ["NAME", "STATE", "NEW", "DIRECTORY", "AGENT", "LAST", "SEEN", "ROLE", "PROJECT", "ID"]
    assert first.split() == [
        *("shop", "working", "12s", "1,234", "~/src/shop", "claude-code", "1m", "ago", "worker", "shop"),
        SESSIONS[0]["id"],
    ]
    assert second.startswith("shop-2 (you) ")
    assert " 0  ~/src/web/packages/with/a/long/path/api " in second
    assert third.startswith(f"{SESSIONS[2]['id']}  gone, last sign 2h ago "), "an id is an address too"
    assert " -  ~  " in third, "what the caller may not know is no 0"
    assert fourth.startswith('"two words" ')
    assert '  "an agent"  ' in fourth


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (40, "NAME STATE NEW"),
        (80, "NAME STATE NEW DIRECTORY AGENT LAST SEEN"),
        (120, "NAME STATE NEW DIRECTORY AGENT LAST SEEN ROLE PROJECT"),
        (200, "NAME STATE NEW DIRECTORY AGENT LAST SEEN ROLE PROJECT ID"),
    ],
)
def test_what_a_terminal_shows(width: int, columns: str) -> None:
    table = shown(width, SESSIONS[:2])
    assert table[0].split() == columns.split()
    assert all(shown_width(line) <= width for line in table)
    assert not any("directory…" in line or "pa…" in line for line in table), "a directory keeps its end"


@given(st.integers(10, 240))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert all(shown_width(line) <= width for line in shown(width))


def test_no_sessions_are_no_table() -> None:
    assert shown(80, []) == []


@pytest.mark.parametrize(
    ("path", "room", "said"),
    [
        ("/users/me", None, "~"),
        ("/users/me/a/b", None, "~/a/b"),
        ("/users/melanie/a", None, "/users/melanie/a"),
        ("/srv/site", 20, "/srv/site"),
        ("/users/me/src/web/packages/api", 20, "~/…/web/packages/api"),
        ("/users/me/src/web/packages/api", 19, "~/…/packages/api"),
        ("/srv/customers/web/packages/api", 20, "/srv/…/packages/api"),
        ("/users/me/" + "x" * 40, 20, "…" + "x" * 19),
        ("/" + "x" * 40, 20, "…" + "x" * 19),
    ],
)
def test_a_directory(path: str, room: int | None, said: str) -> None:
    assert directory(path, "/users/me/", room) == said


@given(st.text("/ab…\u5e97", max_size=80), st.integers(8, 60))
def test_a_directory_fits_its_room_and_keeps_its_end(path: str, room: int) -> None:
    made = directory(path, "/a", room)
    assert len(made) <= max(room, 1)


def test_without_a_home_a_directory_is_whole() -> None:
    assert directory("/a/b", "", None) == "/a/b"
    assert directory("/a/b", "/", None) == "/a/b"


def test_a_state_is_whole_at_80_columns() -> None:
    """What a session waits for matters more than its role."""
    waiting = {"state": "waiting", "since": NOW_MS - 720_000, "by": "hook", "detail": "permission:Bash"}
    rows = shown(80, [*SESSIONS, session(5, name="dee", presence=waiting, cwd="/users/me/src/shop")])
    assert any("waiting 12m (permission: Bash)" in row for row in rows)
