"""Tool calls: the calls of MCP tools that wait for events, so that another request can end one.

Rule: a call is known by the session that makes it, with its token, and by the id of its request; a client ends only
its own. Two clients of one session that send no Mcp-Session-Id may use one id: each of these calls can be ended.
"""

from __future__ import annotations

import asyncio

# The session, its token, the id that MCP gave the client, and the request's id.
Key = tuple[str | None, str | None, str, str | float]


class ToolCalls:
    """The calls that are being carried out."""

    def __init__(self) -> None:
        self._ends: dict[Key, list[asyncio.Event]] = {}

    def begin(self, key: Key) -> asyncio.Event:
        """Note a call; the event is set when its client gives it up. `end` forgets it."""
        given_up = asyncio.Event()
        self._ends.setdefault(key, []).append(given_up)
        return given_up

    def end(self, key: Key, given_up: asyncio.Event) -> None:
        """Forget a call."""
        self._ends[key].remove(given_up)
        if not self._ends[key]:
            del self._ends[key]

    def give_up(self, key: Key) -> None:
        """Let the calls of this key end."""
        for given_up in self._ends.get(key, ()):
            given_up.set()
