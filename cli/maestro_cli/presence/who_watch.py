"""Who watch: shows who is here, and each change, until it is interrupted.

Rule: on a terminal the table is drawn again where it was; into a pipe goes a line for each change; with JSON one
object for each change. Both begin with a line for each session. The broker may stop and start meanwhile.
"""

from __future__ import annotations

import os
import sys

from maestro_cli import following
from maestro_cli.context import now_ms
from maestro_cli.output import streams
from maestro_clients.texts.ages import moment
from maestro_clients.texts.presence_words import brief, is_silent
from maestro_schemas.errors import MaestroError

from . import who_table

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Any

    from maestro_cli.context import CommandContext
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import EventDoc, SessionPresenceDoc

# Longer tables are cut to the terminal; these lines stay free for the end and for what is reported.
_ROWS_KEPT = 2


def watch(context: CommandContext, project: str | None, *, as_json: bool) -> None:
    """Show who is here, then each change. Raises as `following.follow`."""
    on_terminal = not as_json and sys.stdout is not None and sys.stdout.isatty()
    if on_terminal:
        drawing = _Drawing(context, project)
        following.follow(context, None, drawing.ask, concerns=_concerns, tick=drawing.draw)
    else:
        following.follow(context, None, _Lines(project, as_json=as_json).ask, concerns=_concerns)


def screen(lines: list[SessionPresenceDoc], own: str | None, at_ms: int, size: tuple[int, int]) -> list[str]:
    """The picture in a terminal of these columns and rows."""
    columns, rows = size
    shown = who_table.table(lines, own, at_ms, columns)
    last = who_table.waits(lines, columns)[: max(rows // 3, 1)]
    room = max(rows - _ROWS_KEPT - len(last), 2)
    if len(shown) > room:
        shown = [*shown[: room - 1], f"… and {len(shown) - room + 1:,} more"]
    return [*shown, *last]


class _Drawing:
    """The table on a terminal."""

    def __init__(self, context: CommandContext, project: str | None) -> None:
        self._own = context.own_session
        self._project = project
        self._lines: list[SessionPresenceDoc] = []
        self._shown: list[str] = []

    def ask(self, client: AnyClient) -> bool:
        self._lines = who_table.ordered(client.presence(project_id=self._project))
        self.draw()
        # Drawn once more a moment later: what was reported of the broker stands in the picture.
        self._shown = []
        return True

    def draw(self) -> None:
        """Draw the table, if that changes something: ages grow, and terminals change their size."""
        wanted = screen(self._lines, self._own, now_ms(), terminal_size())
        if wanted != self._shown:
            self._shown = wanted
            streams.draw(wanted or ["No sessions."])


class _Lines:
    """A line for each change."""

    def __init__(self, project: str | None, *, as_json: bool) -> None:
        self._project = project
        self._as_json = as_json
        self._known: dict[str, SessionPresenceDoc] = {}
        self._said: dict[str, tuple[Any, ...]] = {}

    def ask(self, client: AnyClient) -> bool:
        at_ms = now_ms()
        found = {line["session"]: line for line in who_table.ordered(client.presence(project_id=self._project))}
        for session in self._known.keys() - found.keys():
            found[session] = _ended(client, self._known[session])
        for session, line in found.items():
            silent = not self._as_json and is_silent(line, at_ms)
            said = (line["state"], line.get("by"), line.get("detail"), line.get("name"), silent)
            if self._said.get(session) != said:
                self._said[session] = said
                self._say(line, at_ms)
        self._known = {session: line for session, line in found.items() if line["state"] != "ended"}
        self._said = {session: self._said[session] for session in self._known}
        return True

    def _say(self, line: SessionPresenceDoc, at_ms: int) -> None:
        if self._as_json:
            streams.say_json(line)
        else:
            who = f"{who_table.label(line)} ({line['role']}, {line['projectId']})"
            streams.say(f"{moment(at_ms, at_ms)}  {who}  {brief(line, at_ms)}")


def terminal_size() -> tuple[int, int]:
    """Columns and rows of the terminal behind standard output."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return 80, 24
    return columns or 80, rows or 24


def _ended(client: AnyClient, before: SessionPresenceDoc) -> SessionPresenceDoc:
    """A session that is no more among the active ones of the project."""
    try:
        [found] = client.presence(session=before["session"])
    except MaestroError as error:
        if error.code not in ("SESSION_NOT_FOUND", "AMBIGUOUS_NAME"):
            raise
        return {**before, "state": "ended", "by": "broker"}
    return found


def _concerns(event: EventDoc) -> bool:
    """Mail changes numbers alone, and is seen with the next request."""
    return event["event"].startswith("session.")
