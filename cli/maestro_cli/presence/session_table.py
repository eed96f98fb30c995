"""Session table: what each session is and where it works, with the mail that waits for it.

Rule: pure; sessions in, lines out. The name comes first, because it is what others send to; the id is the first to go
where the terminal is narrow. A directory is cut in its middle: its end says most.
"""

from __future__ import annotations

import os

from maestro_cli.output.styles import styled
from maestro_cli.output.tables import Column, table
from maestro_clients.texts.ages import age
from maestro_clients.texts.fence import named
from maestro_clients.texts.presence_words import brief

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_schemas.documents import SessionDoc

# Where a column must be cut to less than this, it is left out.
_STATE_LEAST = 16
# Those behind the name and the state.
_COLUMNS = (
    Column("NEW", 2, right=True),
    Column("DIRECTORY", 3, least=60),
    Column("AGENT", 4, least=11),
    Column("LAST SEEN", 5, least=9),
    Column("ROLE", 6, least=12),
    Column("PROJECT", 7, least=12),
    Column("ID", 8, least=28),
)
# The part of a terminal that a directory may take, and its least width. It is cut here, in its middle.
_DIRECTORY_SHARE = 4
_DIRECTORY_CHARS_MIN = 20
_COLOURS = {"waiting": "yellow", "working": "green", "gone": "red"}


def lines(
    sessions: Sequence[SessionDoc],
    unread: Mapping[str, int],
    *,
    own: str | None,
    home: str,
    now_ms: int,
    width: int | None,
) -> list[str]:
    """The table. `unread`: by session, where the caller may know it. `own`: the caller's session. `home`: its user's.
    `width`: the terminal's; None for no bound."""
    room = None if width is None else max(width // _DIRECTORY_SHARE, _DIRECTORY_CHARS_MIN)
    rows = [
        [
            label(session) + (" (you)" if session["id"] == own else ""),
            _state(session, now_ms),
            _count(unread.get(session["id"])),
            directory(session["cwd"], home, room) if session.get("cwd") else "-",
            named(session.get("agent", "-")),
            age(session["lastActivity"], now_ms),
            session["role"],
            named(session["projectId"]),
            session["id"],
        ]
        for session in sessions
    ]
    # Where there is room for it, a state is whole: it says what a session waits for.
    state = Column("STATE", 1, least=max(_STATE_LEAST, (width or 0) * 2 // 5))
    return table((Column("NAME"), state, *_COLUMNS), rows, width) if rows else []


def label(session: SessionDoc) -> str:
    """What others send to: its name, or its id where it has none."""
    return named(session["name"]) if "name" in session else session["id"]


def directory(path: str, home: str, room: int | None) -> str:
    """The path with `~` for the home, and without parts of its middle where it has more than `room` characters."""
    home = home.rstrip("/")
    short = f"~{path[len(home) :]}" if home and (path == home or path.startswith(f"{home}/")) else path
    if room is None or len(short) <= room:
        return short
    first, *parts = short.split("/")
    if not first and len(parts) > 1:
        first = f"/{parts.pop(0)}"
    kept: list[str] = []
    for part in reversed(parts):
        if kept and len("/".join([first, "…", part, *kept])) > room:
            break
        kept.insert(0, part)
    fitted = "/".join([first, "…", *kept])
    return fitted if len(fitted) <= room else f"…{os.path.basename(short)[-room + 1 :]}"


def _state(session: SessionDoc, now_ms: int) -> str:
    presence = session.get("presence")
    words = brief(presence, now_ms)
    colour = _COLOURS.get(presence["state"]) if presence is not None else None
    return styled(words, colour) if colour else words


def _count(unread: int | None) -> str:
    if not unread:
        return "-" if unread is None else "0"
    return styled(f"{unread:,}", "bold")
