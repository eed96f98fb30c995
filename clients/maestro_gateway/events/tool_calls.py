"""Tool calls: the calls of MCP tools that wait for events, so that another request can end one.

Rule: a call is known by the session that makes it and the id of its request; a client ends only its own.
"""

from __future__ import annotations

import asyncio

Key = tuple[str | None, str, str | float]


class ToolCalls:
    """The calls that are being carried out."""

    def __init__(self) -> None:
        self._ends: dict[Key, asyncio.Event] = {}

    def begin(self, key: Key) -> asyncio.Event:
        """Note a call; the event is set when its client gives it up. `end` forgets it."""
        return self._ends.setdefault(key, asyncio.Event())

    def end(self, key: Key) -> None:
        """Forget a call. Can be repeated."""
        self._ends.pop(key, None)

    def give_up(self, key: Key) -> None:
        """Let a call end, if it is carried out."""
        if key in self._ends:
            self._ends[key].set()
